"""diff with a model: names that people's hooks give, layers of a file and of a folder against the model's layers.

THEIRS are the weights and outputs that the public modelling code computed (tests/data/models), and projections calculated here.
"""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Program, run_tests  # noqa: E402
from models_gguf_test import tensors_in  # noqa: E402

FOLDERS = os.path.join(SOURCE, "tests", "data", "models")


class Tests(Program):
    def load(self, name):
        """A folder's layers: number -> stages as the model's code computed them, with what its projections give."""
        folder, out = os.path.join(FOLDERS, name), {}
        tensors = tensors_in(folder)
        for path in sorted(os.listdir(folder)):
            if not path.startswith("expect_"):
                continue
            with open(os.path.join(folder, path), encoding="utf-8") as file:
                case = json.load(file)
            stages = {k: np.array(v["data"]).reshape(v["shape"]) for k, v in case["expect"].items()}
            hidden = np.load(os.path.join(folder, case["hidden"]))
            for stage, end in (("queries", "q_proj"), ("keys", "k_proj"), ("values", "v_proj")):
                for tensor, matrix in tensors.items():
                    if tensor.endswith(f"layers.{case['layer']}.self_attn.{end}.weight"):
                        stages[stage] = hidden @ matrix.T
            out[case["layer"]] = stages
        return folder, out

    def diff(self, name, theirs, *words, status=0, tight=False):
        tolerance = [] if tight else ["--atol", "3e-5", "--rtol", "1e-4"]
        done = self.call("diff", theirs, *words, *tolerance, "-f", "json")
        self.report.equal(f"{name}: exit", (done.status, done.said if done.status > 1 else ""), (status, ""))
        return json.loads(done.out) if done.status < 2 else {}

    def compared(self, found):
        return {s["name"] for s in found.get("stages", []) if s["present"] and not s.get("missing_in_ours")}

    def test_names(self):
        """Each name by itself finds its stage and its layer."""
        folder, layers = self.load("llama")
        words = ["--model", folder, "--layer", "1", "--embeddings", os.path.join(folder, "hidden_1.npy")]
        s = layers[1]
        values = np.repeat(s["values"].reshape(*s["values"].shape[:2], 2, -1), 2, axis=2).swapaxes(1, 2)
        s["concat"] = (s["weights"] @ values).swapaxes(1, 2).reshape(*s["output"].shape[:2], -1)
        heads = {"queries": 4, "keys": 2, "values": 2}
        by_head = lambda stage: s[stage].reshape(*s[stage].shape[:2], heads[stage], -1)  # noqa: E731
        last = lambda stage: s[stage].swapaxes(-3, -2)  # noqa: E731
        names = {
            "queries": {"model.layers.1.self_attn.q_proj": s["queries"], "layers.1.self_attn.q_proj.output": s["queries"], "blocks.1.attn.hook_q": by_head("queries"),
                        "encoder.layer.1.attention.self.query": s["queries"], "transformer.layer.1.attention.q_lin": s["queries"], "layers.1.attention.wq": s["queries"],
                        "encoder.block.1.layer.0.SelfAttention.q": s["queries"]},
            "keys": {"model.layers.1.self_attn.k_proj": s["keys"], "blocks.1.attn.hook_k": by_head("keys"), "encoder.layer.1.attention.self.key": s["keys"]},
            "values": {"model.layers.1.self_attn.v_proj": s["values"], "blocks.1.attn.hook_v": by_head("values"), "Vcur-1": by_head("values")},
            "rotated_queries": {"Qcur-1": last("rotated_queries"), "blocks.1.attn.hook_rot_q": last("rotated_queries")},
            "rotated_keys": {"Kcur-1": last("rotated_keys")},
            "weights": {"blocks.1.attn.hook_pattern": s["weights"], "kq_soft_max-1": s["weights"], "model/layers/1/self_attn/weights": s["weights"],
                        "blocks.1.attn.attn_drop": s["weights"], "encoder.layer.1.attention.self.dropout": s["weights"]},
            "context": {"blocks.1.attn.hook_z": s["concat"].reshape(*s["concat"].shape[:2], 4, -1)},
            "concat": {"kqv_out-1": s["concat"], "model.layers.1.self_attn.o_proj.input": s["concat"], "encoder.layer.1.attention.self": s["concat"]},
            "output": {"model.layers.1.self_attn.o_proj": s["output"], "model.layers.1.self_attn": s["output"], "transformer.h.1.attn.c_proj": s["output"], "layer_01": s["output"],
                       "layer1": s["output"], "1": s["output"], "blocks.1.attn.proj": s["output"], "h.1.attn": s["output"], "encoder.layer.1.attention.output.dense": s["output"],
                       "model.layers.1.self_attn.o_proj.0": s["output"], "encoder.block.1.layer.0.SelfAttention.o": s["output"], "attn_out-1": s["output"]},
        }
        for stage, given in names.items():
            for name, array in given.items():
                np.savez(self.path("t.npz"), **{name: array, name.replace("1", "7", 1): array + 1})
                found = self.diff(name, "t.npz", *words)
                self.report.equal(f"{name}: the stage", self.compared(found), {stage})
                self.report.equal(f"{name}: the layer", found.get("layer"), 1)
                self.report.check(any("not compared: layer 7" in n for n in found.get("notes", [])), f"{name}: another layer is said", "layer 7", found.get("notes"))
                np.savez(self.path("t.npz"), **{name: array + 1})
                self.diff(f"{name}, wrong", "t.npz", *words, status=1)
                np.savez(self.path("t.npz"), **{name.replace("1", "7", 1): array})
                self.report.equal(f"{name}: only another layer", self.call("diff", "t.npz", *words).status, 3)

    def test_left_out(self):
        """What is no stage of an attention is no stage by a likeness: it is named, and a difference."""
        folder, layers = self.load("llama")
        words = ["--model", folder, "--layer", "1", "--embeddings", os.path.join(folder, "hidden_1.npy")]
        for name, why in (("transformer.h.1.mlp.c_proj", ""), ("model.layers.1.mlp.dense", ""), ("model.layers.1.self_attn.qkv_proj", "queries, keys and values in one"),
                          ("transformer.h.1.attn.c_attn", "queries, keys and values in one"), ("model.layers.1.input_layernorm", "ours has no such stage")):
            np.savez(self.path("t.npz"), **{"model.layers.1.self_attn.o_proj".replace("model.layers", name[:name.index(".1.")]): layers[1]["output"], name: layers[1]["output"]})
            found = self.diff(name, "t.npz", *words, status=1)
            self.report.check(any(name in n and why in n for n in found.get("not_compared", [])), f"{name}: named", why, found.get("not_compared"))
            self.diff(f"{name}: --ignore-unknown", "t.npz", *words, "--ignore-unknown")
        # Before the norm there is such a stage.
        block = ["--model", folder, "--layer", "1", "--block", os.path.join(folder, "block_1.npy")]
        np.savez(self.path("t.npz"), **{"model.layers.1.input_layernorm": np.load(os.path.join(folder, "hidden_1.npy"))})
        self.report.equal("the norm before", self.compared(self.diff("the norm before", "t.npz", *block)), {"normed_embeddings"})
        np.savez(self.path("t.npz"), attn=layers[1]["weights"])
        self.report.equal("attn alone may be anything", self.call("diff", "t.npz", *words).status, 3)

    def test_cause(self):
        """The mistake of a port is named in the words of its code."""
        folder, layers = self.load("llama")
        s = layers[1]
        scores = s["rotated_queries"] @ np.repeat(s["rotated_keys"], 2, axis=1).swapaxes(-1, -2)
        scores[..., np.triu(np.ones(scores.shape[-2:], bool), 1)] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        np.savez(self.path("t.npz"), **{"model.layers.1.self_attn.weights": weights / weights.sum(-1, keepdims=True)})
        found = self.diff("no scale", "t.npz", "--model", folder, "--layer", "1", "--embeddings", os.path.join(folder, "hidden_1.npy"), status=1)
        self.report.equal("the cause", [c["id"] for c in found.get("causes", [])], ["no_scale"])

    def test_stacks(self):
        """One file with the layers of encoder and decoder, and both attentions of the decoder: --stack says which."""
        folder = os.path.join(FOLDERS, "t5")
        cases = {}
        for path in os.listdir(folder):
            if path.startswith("expect_"):
                with open(os.path.join(folder, path), encoding="utf-8") as file:
                    cases[path[len("expect_"):-len(".json")].rsplit("_", 1)[0]] = json.load(file)
        self.report.equal("stacks", set(cases), {"encoder", "decoder", "cross"})
        shaped = lambda e: np.array(e["data"]).reshape(e["shape"])  # noqa: E731
        np.savez(self.path("t.npz"), **{f"{case['module']}.o": shaped(case["expect"]["output"]) for case in cases.values()})
        for stack, case in cases.items():
            words = ["--model", folder, "--layer", str(case["layer"]), "--stack", stack, "--embeddings", os.path.join(folder, case["hidden"])]
            words += ["--key-embeddings", os.path.join(folder, case["key_hidden"])] if "key_hidden" in case else []
            found = self.diff(stack, "t.npz", *words)
            self.report.equal(f"{stack}: the stage", self.compared(found), {"output"})
            self.report.check(any("of another stack" in n for n in found.get("notes", [])), f"{stack}: the others are said", "of another stack", found.get("notes"))

    def test_blindspots(self):
        folder, layers = self.load("gemma2")
        states = os.path.join(folder, "block_1.npy")
        self.call("init", "--model", folder, "--layer", "1", "--block", states, "-o", "l.json")
        words = [["l.json", "--root", folder], ["--model", folder, "--layer", "1", "--block", states]]
        done = [self.call("blindspots", *w, "-f", "json") for w in words]
        self.report.equal("exit", [d.status for d in done], [0, 0])
        self.report.equal("the same as of its document", done[1].out, done[0].out)

    def test_traces(self):
        """A trace says which layer of which model it is, and is compared with that one."""
        folder, layers = self.load("gemma2")
        every = ["--model", folder, "--layer", "all", "--block", os.path.join(folder, "block_{layer}.npy")]
        self.call("run", *every, "-o", "t{layer}.json", "-o", "t{layer}.npz", "-o", "t{layer}.ndjson")
        for n in (0, 1):
            with open(self.path(f"t{n}.json"), encoding="utf-8") as file:
                self.report.equal(f"source of layer {n}", json.load(file)["source"], {"file": folder, "layer": n})
            with open(self.path(f"t{n}.ndjson"), encoding="utf-8") as file:
                self.report.equal(f"source of layer {n} in events", json.loads(file.readline())["source"], {"file": folder, "layer": n})
            about = json.loads(bytes(np.load(self.path(f"t{n}.npz"))["attn_calc.json"]))
            self.report.equal(f"source of layer {n} in npz", about["source"]["layer"], n)
            for end in ("json", "npz", "ndjson"):
                found = self.diff(f"t{n}.{end}", f"t{n}.{end}", "--model", folder, "--layer", str(n), "--block", os.path.join(folder, f"block_{n}.npy"), tight=True)
                self.report.equal(f"t{n}.{end}: the layer", found.get("layer"), n)
            other = self.call("diff", f"t{n}.json", "--model", folder, "--layer", str(1 - n), "--block", os.path.join(folder, f"block_{1 - n}.npy"))
            self.report.equal(f"t{n}.json beside the other layer", (other.status, f"has no layer {1 - n}" in other.said), (3, True))
        self.call("run", *every, "-f", "ndjson", "-o", "all.ndjson")
        found = self.diff("a stream of all", "all.ndjson", *every, tight=True)
        self.report.equal("a stream: layers", [p["layer"] for p in found.get("layers", [])], [0, 1])

    def folder_of(self, files):
        """A folder THEIRS with files of arrays."""
        path = self.path("theirs")
        os.makedirs(path, exist_ok=True)
        for old in os.listdir(path):
            os.remove(os.path.join(path, old))
        for name, content in files.items():
            at = os.path.join(path, name)
            if name.endswith(".npy"):
                np.save(at, content)
            elif name.endswith(".npz"):
                np.savez(at, **content)
            else:
                with open(at, "w", encoding="utf-8") as file:
                    file.write(content)
        return "theirs"

    def test_folder(self):
        """A file for each layer, by every way to number it; the first layer that differs is named."""
        folder, layers = self.load("gemma2")
        every = ["--model", folder, "--layer", "all", "--block", os.path.join(folder, "block_{layer}.npy")]
        one = ["--model", folder, "--layer", "1", "--block", os.path.join(folder, "block_1.npy")]
        for name in ("layer_0{}.npz", "layer.{}.npz", "{}.npz", "acts_layer{}.npz", "block-{}.npz", "layers.{}.attn.npz", "run2_layer_{}.npz"):
            good = {name.format(n): {"weights": layers[n]["weights"], "output": layers[n]["output"]} for n in (0, 1)}
            found = self.diff(name, self.folder_of(good), *every)
            self.report.equal(f"{name}: layers", [p["layer"] for p in found.get("layers", [])], [0, 1])
            self.report.equal(f"{name}: stages", [self.compared(p) for p in found.get("layers", [])], [{"weights", "output"}] * 2)
            good[name.format(1)]["output"] = layers[1]["output"] + 1
            found = self.diff(f"{name}: wrong", self.folder_of(good), *every, status=1)
            self.report.equal(f"{name}: the first", found.get("first"), {"layer": "layer 1", "stage": "output"})
            said = self.call("diff", "theirs", *every, "--atol", "3e-5").text
            self.report.matches(f"{name}: in words", said, "the first that differs: layer 1\n")
            good[name.format(1)]["output"] = layers[1]["output"]
            found = self.diff(f"{name}: --layer 1", self.folder_of(good), *one)
            self.report.check(any("not compared: layer 0" in n for n in found.get("notes", [])), f"{name}: the other is said", "layer 0", found.get("notes"))
            del good[name.format(1)]
            found = self.diff(f"{name}: a layer is missing", self.folder_of(good), *every, status=1)
            self.report.check(any("layer 1" in m for m in found.get("missing", [])), f"{name}: which", "layer 1", found.get("missing"))

    def test_files_by_array(self):
        """A file for each array; one array for each layer, whose stage follows from its shape; one file with all layers."""
        folder, layers = self.load("gemma2")
        every = ["--model", folder, "--layer", "all", "--block", os.path.join(folder, "block_{layer}.npy")]
        for first, second in (("weights_layer{}.npy", "output_layer{}.npy"), ("layer_{}_weights.npy", "layer_{}_output.npy"),
                              ("model.layers.{}.self_attn.weights.npy", "model.layers.{}.self_attn.o_proj.npy"), ("kq_soft_max-{}.npy", "attn_out-{}.npy")):
            files = {name.format(n): layers[n][stage] for n in (0, 1) for name, stage in ((first, "weights"), (second, "output"))}
            found = self.diff(first, self.folder_of(files), *every)
            self.report.equal(f"{first}: stages", [(p["layer"], self.compared(p)) for p in found.get("layers", [])], [(n, {"weights", "output"}) for n in (0, 1)])
        for stage in ("weights", "output"):
            found = self.diff(f"lone {stage}", self.folder_of({f"{n}.npy": layers[n][stage] for n in (0, 1)}), *every)
            self.report.equal(f"lone {stage}: stages", [self.compared(p) for p in found.get("layers", [])], [{stage}] * 2)
        whole = {f"model.layers.{n}.self_attn.o_proj": layers[n]["output"] for n in (0, 1)}
        for name, theirs in (("in a folder", self.folder_of({"all.npz": whole})), ("a file", "all.npz")):
            np.savez(self.path("all.npz"), **whole)
            self.report.equal(f"{name}: layers", [p["layer"] for p in self.diff(name, theirs, *every).get("layers", [])], [0, 1])

    def test_no_layers(self):
        """Files that the model, its states or documents use are no layers; others without a number are named."""
        folder, layers = self.load("gemma2")
        files = {f"layer_{n}.npz": {"output": layers[n]["output"]} for n in (0, 1)}
        files.update({f"block_{n}.npy": np.load(os.path.join(folder, f"block_{n}.npy")) for n in (0, 1)})
        theirs = self.folder_of({**files, "notes.md": "3 layers", ".hidden.npy": "no array", "config.json": "{}"})
        every = ["--model", folder, "--layer", "all", "--block", "theirs/block_{layer}.npy"]
        found = self.diff("beside their states", theirs, *every)
        self.report.equal("layers", [p["layer"] for p in found.get("layers", [])], [0, 1])
        self.report.check(any("notes.md" in n for n in found["layers"][0]["notes"]), "what is not read is said", "notes.md", found["layers"][0]["notes"])
        self.report.equal("nothing of layers", self.call("diff", self.folder_of({"notes.md": ""}), *every[:-1], os.path.join(folder, "block_{layer}.npy")).status, 3)
        # Documents beside the tensors that they name.
        for side in ("OURS", "THEIRS"):
            os.makedirs(self.path(side))
            np.savez(self.path(f"{side}/w.npz"), x=np.eye(3))
        with open(self.path("OURS/a.json"), "w", encoding="utf-8") as file:
            json.dump({"variant": "simplified", "embeddings": {"file": "w.npz"}}, file)
        self.call("run", "OURS/a.json", "-o", "THEIRS/a.npz")
        found = self.diff("two folders", "THEIRS", "OURS")
        self.report.equal("w.npz is no layer", (found.get("missing"), [f["name"] for f in found.get("files", [])]), ([], ["a.npz"]))


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__.splitlines()[0]))
