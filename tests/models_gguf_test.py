"""Models in GGUF files: what init writes and run computes of tests/data/models, as llama.cpp's converter would have written them.

The folders are written anew here under the names and keys of llama.cpp, by the rules of its converter (convert_hf_to_gguf.py): rows of queries and keys of each head as
neighbours for llama and granite, weights of Gemma's norms with the 1 added, GPT-2's matrices transposed, factors of frequencies as tensors. Weights and outputs are those that the
public modelling code computed of the folders (tests/data/models/README.md).
"""
import glob
import json
import math
import os
import struct
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "input")]
from gguf_files_test import gguf, stored, text  # noqa: E402
from harness import SOURCE, Program, run_tests  # noqa: E402

FOLDERS = os.path.join(SOURCE, "tests", "data", "models")
CASES = os.path.join(SOURCE, "tests", "data", "files", "gguf")
# folder: architecture of the GGUF file
ARCHITECTURES = {"llama": "llama", "llama3_sharded_bf16": "llama", "v5_llama3": "llama", "llama_linear": "llama", "llama_yarn": "llama", "granite": "granite", "gpt2": "gpt2",
                 "qwen2": "qwen2", "qwen3": "qwen3", "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3", "gemma3_it": "gemma3", "phi": "phi2", "phi3": "phi3",
                 "phi3_longrope": "phi3", "starcoder2": "starcoder2"}
# The end of a tensor's name below its layer: what llama.cpp calls it.
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.dense": "attn_output",
         "self_attn.qkv_proj": "attn_qkv", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "input_layernorm": "attn_norm", "attn.c_attn": "attn_qkv",
         "attn.c_proj": "attn_output", "ln_1": "attn_norm"}


def u32(n):
    return 4, struct.pack("<I", n)


def f32(x):
    return 6, struct.pack("<f", x)


def word(w):
    return 8, text(w)


def flags(bits):
    return 9, struct.pack("<IQ", 7, len(bits)) + bytes(bits)


def tensors_in(folder):
    """name: array of all safetensors of a folder, widened to float32."""
    out = {}
    for path in glob.glob(os.path.join(folder, "*.safetensors")):
        with open(path, "rb") as file:
            data = file.read()
        size = struct.unpack("<Q", data[:8])[0]
        for name, entry in json.loads(data[8:8 + size]).items():
            if name == "__metadata__":
                continue
            raw = data[8 + size:][slice(*entry["data_offsets"])]
            if entry["dtype"] == "BF16":
                array = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
            else:
                array = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]).astype("<f4")
            out[name] = array.reshape(entry["shape"])
    return out


def as_neighbours(rows, heads):
    """The converter's order: of each head row 0, row D/2, row 1, row D/2 + 1, ..."""
    return rows.reshape(heads, 2, len(rows) // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def llama3_factors(config, r):
    """What each frequency is divided by, as the scaling llama3 says it."""
    dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    base = r.get("rope_theta") or config["rope_theta"]
    old, out = r["original_max_position_embeddings"], []
    for i in range(dim // 2):
        wave = 2 * math.pi * base ** (2 * i / dim)
        if wave < old / r["high_freq_factor"]:
            out.append(1)
        elif wave > old / r["low_freq_factor"]:
            out.append(r["factor"])
        else:
            smooth = (old / wave - r["low_freq_factor"]) / (r["high_freq_factor"] - r["low_freq_factor"])
            out.append(1 / ((1 - smooth) / r["factor"] + smooth))
    return np.array(out, "f4")


def converted(folder, arch):
    """-> tensors and pairs of the GGUF file"""
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    config = config.get("text_config", config)
    heads = config.get("num_attention_heads") or config["n_head"]
    kv = config.get("num_key_value_heads") or heads
    width = config.get("hidden_size") or config["n_embd"]
    dim = config.get("head_dim") or width // heads
    layers = config.get("num_hidden_layers") or config["n_layer"]
    tensors, keys = {}, {}
    for name, array in tensors_in(folder).items():
        if "vision" in name or "." not in name:
            continue
        for end, theirs in NAMES.items():
            head, found, kind = name.rpartition("." + end + ".")
            if not found or not head.split(".")[-1].isdigit():
                continue
            if end.startswith("attn.c_") and kind == "weight":
                array = array.T
            if arch in ("llama", "granite") and theirs in ("attn_q", "attn_k"):
                array = as_neighbours(array, heads if theirs == "attn_q" else kv)
            if arch.startswith("gemma") and "norm" in theirs:
                array = array + 1
            tensors[f"blk.{head.split('.')[-1]}.{theirs}.{kind}"] = np.ascontiguousarray(array, "f4")
    keys.update({"block_count": u32(layers), "context_length": u32(config.get("max_position_embeddings") or config["n_positions"]), "embedding_length": u32(width),
                 "attention.head_count": u32(heads)})
    if arch != "gpt2":
        keys["attention.head_count_kv"] = u32(kv)
    if config.get("head_dim"):
        keys["attention.key_length"] = keys["attention.value_length"] = u32(dim)
    if "rms_norm_eps" in config:
        keys["attention.layer_norm_rms_epsilon"] = f32(config["rms_norm_eps"])
    for key in ("layer_norm_epsilon", "layer_norm_eps", "norm_epsilon"):
        if key in config:
            keys["attention.layer_norm_epsilon"] = f32(config[key])
    r = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if arch != "gpt2":
        keys["rope.freq_base"] = f32(r.get("rope_theta") or config["rope_theta"])
    if arch in ("llama", "granite", "phi2", "phi3"):
        keys["rope.dimension_count"] = u32(int(dim * config.get("partial_rotary_factor", 1)))
    kind = r.get("rope_type") or r.get("type")
    if kind == "llama3":
        tensors["rope_freqs.weight"] = llama3_factors(config, r)
    elif kind in ("linear", "yarn"):
        keys["rope.scaling.type"], keys["rope.scaling.factor"] = word(kind), f32(r["factor"])
        if kind == "yarn":
            keys["rope.scaling.original_context_length"] = u32(r["original_max_position_embeddings"])
            keys["rope.scaling.yarn_beta_fast"], keys["rope.scaling.yarn_beta_slow"] = f32(r.get("beta_fast", 32)), f32(r.get("beta_slow", 1))
    elif kind == "longrope":
        old, longest = config["original_max_position_embeddings"], config["max_position_embeddings"]
        tensors["rope_factors_long.weight"], tensors["rope_factors_short.weight"] = np.array(r["long_factor"], "f4"), np.array(r["short_factor"], "f4")
        keys["rope.scaling.original_context_length"] = u32(old)
        keys["rope.scaling.attn_factor"] = f32(math.sqrt(1 + math.log(longest / old) / math.log(old)))
    if arch in ("gemma2", "gemma3", "phi3", "starcoder2"):
        keys["attention.sliding_window"] = u32(config.get("sliding_window") or 0)
    if arch == "gemma3":
        pattern = config.get("sliding_window_pattern") or config["_sliding_window_pattern"]
        keys["attention.sliding_window_pattern"] = flags([(n + 1) % pattern != 0 for n in range(layers)])
        keys["rope.freq_base_swa"] = f32(config["rope_local_base_freq"])
    if config.get("attn_logit_softcapping"):
        keys["attn_logit_softcapping"] = f32(config["attn_logit_softcapping"])
    if arch == "granite":
        keys["attention.scale"] = f32(config["attention_multiplier"])
    pairs = [("general.architecture", *word(arch)), *((f"{arch}.{k}", *v) for k, v in keys.items()), ("tokenizer.ggml.model", *word("none"))]
    return {k: stored(v, "F32")[0] for k, v in tensors.items()}, pairs, config


class Tests(Program):
    def put(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
        return name

    def document(self, name, *words):
        done = self.call("init", *words, "-o", "-")
        if not self.report.equal(f"{name}: init", done.status, 0):
            print(done.said)
            return {}
        return json.loads(done.out)

    def stages(self, name, *words):
        done = self.call("run", *words, "-q", "-f", "json")
        if not self.report.equal(f"{name}: exit", (done.status, done.said), (0, "")):
            return {}
        return {k: np.array(v["data"], dtype=float) for k, v in json.loads(done.out)["stages"].items()}

    def fits(self, name, stages, case):
        for stage, want in case["expect"].items():
            wanted = np.array(want["data"], dtype=float)
            got = stages.get(stage, np.zeros(0)).reshape(-1)
            good = got.size == wanted.size and np.all(np.abs(got - wanted) <= case["atol"] + case["rtol"] * np.abs(wanted))
            self.report.check(good, f"{name}: {stage}", "what the model computed", np.abs(got - wanted).max() if got.size == wanted.size else got.size)

    def cases(self, folder):
        for path in sorted(glob.glob(os.path.join(folder, "expect_*.json"))):
            if "vision" not in path:
                with open(path, encoding="utf-8") as file:
                    yield json.load(file)

    def test_converted(self):
        """Every architecture gives what the folder's own code computed, stage by stage: rotated queries and keys too, in the folder's order."""
        for name, arch in ARCHITECTURES.items():
            folder = os.path.join(FOLDERS, name)
            tensors, pairs, config = converted(folder, arch)
            file = self.put(f"{name}.gguf", gguf(tensors, pairs))
            for case in self.cases(folder):
                for option, key in (("--embeddings", "hidden"), ("--block", "block_hidden")):
                    label, layer = f"{name} {case['layer']} {option}", str(case["layer"])
                    words = ["--model", file, "--layer", layer, option, os.path.join(folder, case[key])]
                    document = self.document(label, *words)
                    for setting, source in document.get("_from", {}).items():
                        self.report.check("config.json" not in source, f"{label}: _from.{setting}", f"keys of {arch}", source)
                    self.report.equal(f"{label}: head_rows", document.get("weights", {}).get("head_rows"), "interleaved" if arch in ("llama", "granite") else None)
                    if arch in ("gemma2", "gemma3") and config["query_pre_attn_scalar"] != config["head_dim"]:
                        # llama.cpp knows no query_pre_attn_scalar: it divides by the root of the heads' width.
                        self.report.check(abs(document["scale"] - config["head_dim"] ** -0.5) < 1e-12, f"{label}: scale", config["head_dim"] ** -0.5, document["scale"])
                        document["scale"] = config["query_pre_attn_scalar"] ** -0.5
                        words = [self.put("layer.json", document), "--root", folder]
                    self.fits(label, self.stages(label, *words), case)

    def test_permuted(self):
        """The rows are said to be put back, and queries are those of the folder."""
        folder = os.path.join(FOLDERS, "llama")
        tensors, pairs, _ = converted(folder, "llama")
        self.put("m.gguf", gguf(tensors, pairs))
        words = ["--layer", "1", "--embeddings", os.path.join(folder, "hidden_1.npy")]
        ours, theirs = self.stages("gguf", "--model", "m.gguf", *words), self.stages("folder", "--model", folder, *words)
        self.report.equal("stages", list(ours), list(theirs))
        for stage in theirs:
            self.report.check(np.array_equal(ours[stage], theirs[stage]), f"the same {stage}", "equal", "other numbers")
        said = self.call("check", "--model", "m.gguf", *words).text
        self.report.matches("check says so", " ".join(said.split()), "attn_q.weight.*put back from neighbours to halves")
        document = self.document("m", "--model", "m.gguf", *words)
        self.report.equal("from", document["_from"]["num_kv_heads"], "llama.attention.head_count_kv")
        self.report.check("put back" in document["_from"]["weights.head_rows"], "why", "put back", document["_from"])
        for bias in ("attn_q", "attn_k"):
            rows = tensors[f"blk.1.{bias}.weight"][1][0]
            tensors[f"blk.1.{bias}.bias"] = stored(as_neighbours(np.arange(rows, dtype="f4"), 4 if bias == "attn_q" else 2), "F32")[0]
        self.put("b.gguf", gguf(tensors, pairs))
        biased = self.stages("biases", "--model", "b.gguf", *words)
        for stage in ("queries", "keys"):
            added = (biased[stage] - theirs[stage])[0, :, 0].reshape(-1)
            self.report.check(np.allclose(added, np.arange(added.size), atol=1e-4), f"biases of {stage} are put back too", "0, 1, 2, ...", added)

    def test_library_files(self):
        """Files that ggml wrote."""
        rng = np.random.default_rng(5)
        for name, width, layer in (("llama_permuted", 16, 0), ("names_gpt2", 12, 0), ("names_qwen2", 12, 0)):
            path = os.path.join(CASES, name + ".gguf")
            np.save(self.path("x.npy"), rng.normal(size=(4, width)).astype("f4"))
            stages = self.stages(name, "--model", path, "--layer", str(layer), "--block", "x.npy")
            self.report.check("output" in stages and stages["output"].shape[-2:] == (4, width), f"{name}: output", (4, width), {k: v.shape for k, v in stages.items()})
        # The same layer in both orders: llama_permuted.safetensors has that of Hugging Face.
        np.save(self.path("x.npy"), rng.normal(size=(4, 16)).astype("f4"))
        here = self.stages("permuted", "--model", os.path.join(CASES, "llama_permuted.gguf"), "--layer", "0", "--embeddings", "x.npy")
        self.put("y.json", {"embeddings": {"file": "x.npy"}, "num_heads": 4, "num_kv_heads": 2, "causal": True, "rope": {"base": 10000, "pairs": "half"},
                            "weights": {f"{n}_proj.weight": {"file": os.path.join(CASES, "llama_permuted.safetensors"), "name": f"model.layers.0.self_attn.{n}_proj.weight"} for n in "qkvo"}})
        there = self.stages("as Hugging Face has it", "y.json", "--root", CASES)
        for stage in ("queries", "rotated_keys", "weights", "output"):
            self.report.check(np.allclose(here[stage], there[stage], atol=1e-6), f"llama_permuted: {stage}", "equal", np.abs(here[stage] - there[stage]).max())

    def test_parts(self):
        """A split model is read by the name of any part; a part that is missing is named."""
        folder = os.path.join(FOLDERS, "qwen2")
        tensors, pairs, _ = converted(folder, "qwen2")
        names = sorted(tensors)
        for k in (1, 2):
            own = pairs if k == 1 else []
            part = [("split.no", 2, struct.pack("<H", k - 1)), ("split.count", 2, struct.pack("<H", 2)), ("split.tensors.count", 5, struct.pack("<i", len(names)))]
            self.put(f"m-0000{k}-of-00002.gguf", gguf({n: tensors[n] for n in names[k - 1::2]}, own + part))
        case = next(self.cases(folder))
        for k in (1, 2):
            words = ["--model", f"m-0000{k}-of-00002.gguf", "--layer", "1", "--embeddings", os.path.join(folder, case["hidden"])]
            self.fits(f"part {k}", self.stages(f"part {k}", *words), case)
        os.remove(self.path("m-00001-of-00002.gguf"))
        done = self.call("init", *words[:4], "-o", "-")
        self.report.equal("a part is missing: exit", done.status, 3)
        self.report.matches("its name", done.said, 'has no file "m-00001-of-00002.gguf"')

    def test_every_layer(self):
        folder = os.path.join(FOLDERS, "gemma2")
        tensors, pairs, _ = converted(folder, "gemma2")
        self.put("m.gguf", gguf(tensors, pairs))
        done = self.call("init", "--model", "m.gguf", "--layer", "all", "-o", "l{layer}.json")
        self.report.equal("init of all", (done.status, [os.path.exists(self.path(f"l{n}.json")) for n in (0, 1, 2)]), (0, [True, True, False]))
        for n, wanted in ((0, {"left": 2}), (1, None)):
            one = self.document(f"layer {n}", "--model", "m.gguf", "--layer", str(n))
            self.report.equal(f"the window of layer {n}", one.get("window"), wanted)
        done = self.call("run", "--model", "m.gguf", "--layer", "all", "--block", os.path.join(folder, "block_{layer}.npy"), "-f", "json", "--stages", "output")
        self.report.equal("all layers", (done.status, done.text.count('"attn-calc/trace/1"')), (0, 2))

    def refused(self, name, words, status, *parts):
        done = self.call("init", *words, "-o", "-")
        self.report.equal(f"{name}: exit", (done.status, done.out), (status, b""))
        for part in parts:
            self.report.check(part in " ".join(done.said.split()), f"{name}: says", part, done.said)

    def test_refusals(self):
        tensors, pairs, _ = converted(os.path.join(FOLDERS, "llama"), "llama")
        good = dict((k, (t, raw)) for k, t, raw in pairs)

        def model(change=None, more=None):
            made = {**good, **(change or {})}
            return ["--model", self.put("m.gguf", gguf({**tensors, **(more or {})}, [(k, *v) for k, v in made.items() if v])), "--layer", "1"]

        self.report.equal("as it is", self.call("init", *model(), "-o", "-").status, 0)
        self.refused("an architecture", model({"general.architecture": word("mamba9")}), 3, "m.gguf", 'general.architecture is "mamba9"', "known: llama, gpt2", "--as NAME")
        self.refused("no architecture", model({"general.architecture": None}), 3, "general.architecture")
        self.refused("--as", [*model(), "--as", "lama"], 2, "--as lama", "known: llama")
        self.refused("a layer too far", [*model()[:3], "7"], 3, "llama.block_count", "--layer 0 to 1")
        self.refused("no heads", model({"llama.attention.head_count": None}), 3, "attention.head_count")
        self.refused("a key that is not read", model({"llama.attention.clamp_kqv": f32(8)}), 3, '"llama.attention.clamp_kqv"', "nothing here reads")
        self.refused("a scaling", model({"llama.rope.scaling.type": word("ntk")}), 3, "llama.rope.scaling.type", '"ntk"')
        self.refused("two scalings", model({"llama.rope.scaling.type": word("linear"), "llama.rope.scaling.factor": f32(2)}, {"rope_freqs.weight": stored(np.ones(4), "F32")[0]}),
                     3, "rope_freqs.weight")
        self.refused("fewer columns", model({"llama.rope.dimension_count": u32(4)}), 3, "turns 4 of 8 columns", "llama.rope.dimension_count")
        self.refused("a tensor that is not read", model(None, {"blk.1.attn_q_norm.weight": stored(np.ones(8), "F32")[0]}), 3, "blk.1.attn_q_norm.weight", "nothing here reads")
        self.refused("another width", model({"llama.attention.head_count_kv": u32(4)}), 3, "blk.1.attn_k.weight", "expected 32 outputs: keys")
        self.refused("no file", ["--model", "gone.gguf", "--layer", "0"], 3, "gone.gguf")
        self.refused("a stack", [*model(), "--stack", "encoder"], 2, "--stack encoder")
        self.report.equal("not causal", self.document("not causal", *model({"llama.attention.causal": (7, b"\0")})).get("causal"), False)
        heads = self.document("heads by layer", *model({"llama.attention.head_count_kv": (9, struct.pack("<IQII", 4, 2, 1, 2))}))
        self.report.equal("heads by layer", heads.get("num_kv_heads"), 2)

    def test_head_rows(self):
        """The setting by itself, and where it has no meaning."""
        x, w = [[1, 2], [0, 1]], np.arange(8.0).reshape(4, 2)
        base = {"embeddings": x, "num_heads": 1, "weights": {"q_proj.weight": w.tolist(), "k_proj.weight": w.tolist(), "v_proj.weight": w.tolist()}}
        plain = self.stages("plain", self.put("p.json", base))
        base["weights"]["head_rows"] = "interleaved"
        put_back = self.stages("put back", self.put("i.json", base))
        for stage in ("queries", "keys"):
            self.report.check(np.array_equal(put_back[stage], plain[stage][..., [0, 2, 1, 3]]), f"{stage}: rows 0, 2, 1, 3", "reordered", put_back[stage])
        self.report.check(np.array_equal(put_back["values"], plain["values"]), "values stay", plain["values"], put_back["values"])
        base["weights"]["head_rows"] = "halves"
        self.report.check(np.array_equal(self.stages("halves", self.put("h.json", base))["queries"], plain["queries"]), "halves change nothing", "", "")
        for name, weights in (("packed", {"qkv.weight": np.ones((12, 2)).tolist()}), ("in_out", {f"W_{n}": np.ones((2, 4)).tolist() for n in ("query", "key", "value")}),
                              ("odd", {f"{n}_proj.weight": np.ones((3, 2)).tolist() for n in "qkv"})):
            done = self.call(self.put("r.json", {"embeddings": x, "weights": {**weights, "head_rows": "interleaved"}}))
            self.report.equal(f"{name}: exit", done.status, 3)
            self.report.matches(f"{name}: where", done.said, "/weights/")


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__.splitlines()[0]))
