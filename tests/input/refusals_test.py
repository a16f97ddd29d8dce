"""Wrong inputs are told what they are and what to do: each row is an input and what its error has to say.

The words that a row asks for name the cause and the remedy; a document that is right stands beside where a rule could refuse too much.
"""
import json
import os
import re
import struct
import subprocess
import sys
import zipfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SANITIZED, Program, run_tests  # noqa: E402

X = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
W = [[1.0, 0.5], [0.25, 1.0]]
QKV = {"W_query": W, "W_key": W, "W_value": W}
LAYER = "model.layers.0.self_attn."


def safetensors(tensors):
    """tensors: name -> (dtype, shape, bytes); the layout of safetensors' README."""
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def npy(header, data):
    text = header.encode() + b" " * (-(11 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


class Tests(Program):
    def put(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
        return name

    def refused(self, name, arguments, *words, status=3):
        done = self.call(*arguments)
        self.report.equal(f"{name}: exit", (done.status, done.out), (status, b""))
        for word in words:
            self.report.matches(f"{name}: {word}", " ".join(done.said.split()), word)

    def accepted(self, name, arguments):
        done = self.call(*arguments)
        self.report.equal(f"{name}: exit", (done.status, done.said), (0, done.said))
        return done

    def document(self, **more):
        return self.put("x.json", {"embeddings": X, **more})

    # Weights below a prefix.

    def model(self, **more):
        """A layer with the four projections and `more`: tensors by their name below the layer."""
        w = np.array(W, "<f4")
        names = {**{f"{r}_proj.weight": w for r in "qkvo"}, **more}
        return self.put("m.safetensors", safetensors({LAYER + n: ("F32", list(t.shape), t.tobytes()) for n, t in names.items()}))

    def test_prefix_unread(self):
        """What is neither read nor known for a mask or a table is refused by name, in a document and on the command line."""
        one = np.ones(2, "<f4")
        unread = {"sinks": (np.ones(1, "<f4"), '"sinks": {"file"'), "relative_attention_bias.weight": (np.ones((4, 1), "<f4"), "position_bias"),
                  "query_layernorm.weight": (one, "qk_norm"), "kv_layernorm.weight": (one, "qk_norm"),
                  "q_norm.norm.weight": (one, "qk_norm"), "rotary_emb.weight": (one, ""), "k_proj.weight_scale": (one, "one by one"),
                  "bias": (one, ""), "mask_bias": (one, "")}
        for name, (tensor, hint) in unread.items():
            self.model(**{name: tensor})
            for arguments in ([self.document(), "--weights", "m.safetensors", "--prefix", LAYER],
                              [self.put("y.json", {"embeddings": X, "weights": {"file": "m.safetensors", "prefix": LAYER}})]):
                self.refused(f"{name} {len(arguments)}", arguments, rf"holds {name} below .*is not the name of a weight and nothing reads", hint)
        self.model(**{"dense.weight": np.array(W, "<f4")})
        self.refused("two of the output", [self.document(), "--weights", "m.safetensors", "--prefix", LAYER],
                     '"dense.weight" and "o_proj.weight" are both the output weight', "")
        ignored = {"bias": np.ones((1, 1, 4, 4), "<f4"), "masked_bias": np.float32(1).reshape(()), "rotary_emb.inv_freq": one, "attn.bias": np.ones((1, 1, 4, 4), "<f4"),
                   "attention.masked_bias": np.float32(1).reshape(()), "mask": np.ones((4, 4), "<f4"), "rotary_sin": one, "slope_rate": one}
        for name, tensor in ignored.items():
            self.model(**{name: tensor})
            done = self.accepted(name, [self.document(), "--weights", "m.safetensors", "--prefix", LAYER, "-f", "json"])
            self.report.matches(f"{name} is told", json.loads(done.out)["plan"]["weights"]["from"] if done.status == 0 else done.said, f"not used: {name}")

    def test_prefix_referred(self):
        """A tensor that a key of the document names counts as read."""
        self.model(sinks=np.zeros(1, "<f4"))
        sinks = {"file": "m.safetensors", "name": LAYER + "sinks"}
        self.accepted("named on the command line", [self.document(sinks=sinks), "--weights", "m.safetensors", "--prefix", LAYER])
        self.accepted("named in the document", [self.document(sinks=sinks, weights={"file": "./m.safetensors", "prefix": LAYER})])
        self.accepted("in any order", [self.put("x.json", {"weights": {"file": "m.safetensors", "prefix": LAYER}, "embeddings": X, "sinks": sinks})])
        self.refused("of another file", [self.document(weights={"file": "m.safetensors", "prefix": LAYER}, sinks={"file": self.put(
            "other.safetensors", safetensors({LAYER + "sinks": ("F32", [1], bytes(4))})), "name": LAYER + "sinks"})], "holds sinks below")

    def test_prefix_words(self):
        self.model()
        call = lambda prefix: [self.document(), "--weights", "m.safetensors", "--prefix", prefix]  # noqa: E731
        self.refused("no such name", call("h.0."), 'has no tensor whose name begins with "h.0."', "names of weights begin with: model")
        self.refused("without its dot", call(LAYER[:-1]), r'has weights below "model\.layers\.0\.self_attn\.", but', "last dot is missing")
        self.refused("names, none of a weight", call("model.layers."), r'has no name of a weight among the 4 that begin with "model\.layers\."')
        literal = {LAYER + n: W for n in ("q_proj.weight", "k_proj.weight", "v_proj.weight")}
        self.refused("in the document", [self.document(weights={"prefix": LAYER, **literal, LAYER + "sinks": [1]})], '"sinks" is not the name of a weight', '"sinks": {"file"')
        self.accepted("a mask in the document", [self.document(weights={"prefix": LAYER, **literal, LAYER + "masked_bias": 1, LAYER + "mask": W})])

    # Names.

    def test_bias_without_weight(self):
        weights = {"query.bias": [1, 2], "key.weight": W, "value.weight": W}
        self.refused("BERT", [self.document(weights=weights)], 'no "query.weight"')
        for bias, others, missed in (
                ("q_proj.bias", {"k_proj.weight": W, "v_proj.weight": W}, "q_proj.weight"), ("k.bias", {"q.weight": W, "v.weight": W}, "k.weight"),
                ("W_value.bias", {"W_query.weight": W, "W_key.weight": W}, "W_value.weight"), ("b_key", {"W_query": W, "W_value": W}, "W_key"),
                ("b_out", QKV, "W_out"), ("o_proj.bias", QKV, "o_proj.weight"), ("out_proj.bias", QKV, "out_proj.weight"), ("W_out.bias", QKV, "W_out.weight"),
                ("o.bias", QKV, "o.weight"), ("c_proj.bias", QKV, "c_proj.weight")):
            self.refused(bias, [self.document(weights={**others, bias: [1, 2]})], rf'{bias} is a bias without its weight: there is no "{missed}"')
        for others, missed in (({"q_proj_weight": W}, "k_proj_weight"), ({"q_proj.weight": W}, "k_proj.weight"), ({"query.weight": W, "key.weight": W}, "value.weight"),
                               ({"q.weight": W}, "k.weight"), ({"W_query.weight": W}, "W_key.weight"), ({"W_key": W}, "W_query"), ({"c_proj.weight": W}, "c_attn.weight"),
                               ({"o_proj.weight": W}, "q_proj.weight"), ({"W_Q": [W]}, "W_K")):
            self.refused(f"{others}", [self.document(weights=others)], f'has no "{missed}"')

    def test_names_of_others(self):
        for word, meant in {"inputs": "embeddings", "x": "embeddings", "vectors": "embeddings", "sentence": '"tokens": \\[', "words": "tokens", "q": "queries", "k": "keys",
                            "v": "values", "heads": "num_heads", "n_head": "num_heads", "num_attention_heads": "num_heads", "num_key_value_heads": "num_kv_heads",
                            "rope_theta": '"rope": {"base"', "attention_mask": '"mask": {"keep"', "is_causal": "causal", "sliding_window": '"window": {"left"'}.items():
            self.refused(word, [self.put("x.json", {"embeddings": X, word: 1})], f'unknown key "{word}"', f"hint: .*{meant}")
        for word, meant in {"mha": "multi_head", "gqa": "grouped_query", "mqa": "multi_query", "bahdanau": "additive", "luong": "multiplicative"}.items():
            self.refused(word, [self.document(variant=word)], "/variant", meant)
        for word, meant in {"fp32": "float32", "double": "float64", "float": "float32"}.items():
            self.refused(word, [self.document(dtype=word)], "/dtype", f'did you mean "{meant}"')
            self.refused(word + " asked for", [self.document(), "--dtype", word], meant, status=2)
        for word, meant in {"latex": "tex", "markdown": "md", "jsonl": "ndjson"}.items():
            self.refused(word, [self.document(), "-f", word], f'"{meant}"', status=2)
        for word, meant in {"attn_weights": "weights", "attn_scores": "scores", "context_vec": "context", "hook_pattern": "weights", "kq": "scores"}.items():
            self.refused(word, [self.document(), "--stages", word], f'did you mean "{meant}"', status=2)
        for word, value, meant in (("wk", W, "W_k"), ("W_quer", W, "W_query"), ("b_quer", [1, 2], "b_query")):
            self.refused(f"{word} {value}", [self.document(weights={**QKV, word: value})], f'unknown key "{word}" in /weights', f'did you mean "{meant}"')
        for word, value, meant in (("Wq", W, "W_query"), ("W_v", W, "W_value"), ("wq.weight", W, "W_query"), ("to_k.weight", W, "W_key"), ("query/kernel", W, "W_query")):
            self.refused(f"{word} beside {meant}", [self.document(weights={**QKV, word: value})], f'"{word}" and "{meant}" are both the', "")
        self.refused("a matrix of three axes", [self.document(weights={"Wq": [W], "Wk": W, "Wv": W})], "has 3 axes", "")
        long = {f"q_layernorm.norms.{h}.weight": [1, 1] for h in (0, 2)}
        self.refused("a head without a norm", [self.document(weights={**QKV, **long}, qk_norm={"type": "rms"})], "is the norm of head 2, but head 1 has none", "")
        uneven = {"q_layernorm.norms.0.weight": [1, 1], "q_layernorm.norms.1.weight": [1]}
        self.refused("norms of two widths", [self.document(weights={**QKV, **uneven}, qk_norm={"type": "rms"})], "is \\[1\\], but the norm of head 0 is \\[2\\]", "")
        self.refused("heads that no head has", [self.document(weights={**QKV, **{f"q_layernorm.norms.{h}.weight": [1, 1] for h in (0, 1)}}, qk_norm={"type": "rms"})], r"is \[2, 2\], expected \[heads 1, dim 2\]", "")
        done = self.call(self.put("x.json", {"embeddings": X, "zzzzzzzz": 1}))
        hint = done.said.split("hint: ")[1].split(", and ")[0].split("here:")[1].split()
        self.report.equal("at most eight suggestions", len(hint), 8)
        self.report.check(all(len(line) <= 110 for line in done.said.splitlines()), "hints are wrapped", "110 columns", done.said)

    def test_half_heads(self):
        """Lambda and what it is made of; half heads that are counted."""
        given = {"variant": "differential", "queries": [[[1, 2]]] * 4, "keys": [[[1, 2]]] * 4, "values": [[[1, 2, 3]]] * 2}
        vectors = {f"lambda_{n}": [0.1, 0.2] for n in ("q1", "k1", "q2", "k2")}

        def refused(name, pattern, hint="", **more):
            self.refused(name, [self.put("x.json", {**given, **more})], pattern, hint)
        refused("no lambda", 'has no "lambda"', "lambda is a number, or exp")
        refused("two lambdas", 'lambda_init stands beside "lambda"', "", **{"lambda": 1, "lambda_init": 0.5})
        refused("vectors beside a number", "is a part of lambda", "", weights=vectors, **{"lambda": 1})
        refused("no vectors", 'has no "lambda_q1"', "", lambda_init=0.5)
        refused("a vector of another width", "lambda_k2 has 1 number, but half heads have the width 2", "", lambda_init=0.5, weights={**vectors, "lambda_k2": [1]})
        refused("whole heads", r"num_heads is 4, but queries \[4, 1, 2\] have 4 half heads, two for each head", "", num_heads=4, **{"lambda": 1})
        refused("an odd number", "3 heads of queries, expected two half heads", "", queries=[[[1, 2]]] * 3, **{"lambda": 1})
        refused("a head of values for each", "a head of values goes with two half heads of keys", "", values=[[[1]]] * 4, **{"lambda": 1})
        refused("another pairing", 'expected "interleaved" or "halves"', "", pairing="half", **{"lambda": 1})
        self.refused("another variant", [self.put("x.json", {**given, "variant": "scaled_dot_product", "values": [[[1, 2, 3]]] * 4, "lambda": 1})],
                     '"lambda" is for variant "differential"', "")

    def test_widths_of_values(self):
        """A packed matrix of a delta net whose values are of another width than its keys: another weight says it, or it is refused."""
        parts = [[[round(0.1 * (r + 1) * (c - 1), 3) for c in range(2)] for r in range(rows)] for rows in (2, 2, 6)]  # q, k, v: [rows, d_in]
        packed = {"in_proj_qkv.weight": sum(parts, [])}
        apart = dict(zip(("q_proj.weight", "k_proj.weight", "v_proj.weight"), parts))
        out = {"out_proj.weight": [[0.5, -1, 0.25, 1, 2, -0.5], [1, 0, 1, -1, 0.5, 0.75]]}
        delta = {"variant": "delta", "num_heads": 1, "num_value_heads": 2}
        self.refused("nothing says it", [self.document(**delta, weights=packed)], "10 outputs, which are keys and values of 4 widths: values of 1 to 4 columns", "out|norm.weight")
        state = {"past_state": [[[0, 0, 0], [0, 0, 0]]] * 2}
        for name, more, beside in (("the output projection", {}, out), ("the cache", state, {})):
            found = [json.loads(self.accepted(f"{name} says it", [self.document(**delta, **more, weights={**w, **beside}), "-f", "json"]).out)["stages"]["context"]
                     for w in (packed, apart)]
            self.report.equal(f"{name} says it: contexts", found[0], found[1])

    def test_what_is_not_json(self):
        for text, remedy in (("[1,2,],", "no comma after the last"), ("1,}", "no comma after the last"), ("1 // one", "no comments"), ("/* one */ 1", "no comments"), ("1 # one", "no comments"),
                             (".5", "0.5, not .5"), ("-.5", "0.5, not .5"), ("1.", "1.0, not 1."), ("+1", "without a plus"), ("'a'", "double quotes"), ("True", "true, false, null"),
                             ("None", "true, false, null"), ("NaN", '"NaN"'), ("-Infinity", '"-Infinity"'), ("(1, 2)", "brackets")):
            self.refused(text, [self.put("x.json", f'{{"_a": {text}}}'.encode())], f"hint: .*{remedy}".replace("+", "\\+").replace("(", "\\("))
        self.refused("a bare name", [self.put("x.json", b"{embeddings: [[1]]}")], "names in double quotes")
        self.refused("a single-quoted name", [self.put("x.json", b"{'embeddings': [[1]]}")], "in double quotes")

    # Files.

    def test_what_is_not_a_document(self):
        np.save(self.path("a.npy"), np.ones(3))
        np.savez(self.path("a.npz"), a=np.ones(3))
        self.put("a.safetensors", safetensors({"a": ("F32", [1], bytes(4))}))
        self.put("a.onnx", b"\x08\x08\x12\x07pytorch\x1a\x05" + bytes(40))
        self.put("m.index.json", {"metadata": {}, "weight_map": {"a": "a.safetensors"}})
        self.put("a.gguf", b"GGUF\x03\x00\x00\x00" + bytes(40))
        self.put("a.pt", b"\x80\x02\x8a\nl\xfc\x9c" + bytes(40))
        good = self.put("good.json", {"embeddings": X})
        for suffix in ("json", "ndjson", "csv"):
            self.report.equal(f"a trace as {suffix}", self.call(good, "-o", f"t.{suffix}").status, 0)
        listed = "check lists .*diff compares .*convert"
        for name, words in {"a.npy": ("is an npy file", listed), "a.npz": ("npz file", listed), "a.safetensors": ("is a safetensors file", listed), "a.onnx": ("is an ONNX model", listed), "m.index.json": ("is an index of shards", listed),
                            "a.gguf": ("is a GGUF file", listed), "a.pt": ("is a pickle", listed), "t.json": ("is a trace", "diff compares"),
                            "t.ndjson": ("is a trace", "diff compares"), "t.csv": ("is a trace", "diff compares")}.items():
            for command in ("run", "explain", "blindspots"):
                self.refused(f"{command} {name}", [command, name], rf"{name.replace('.', '.')}.*{words[0]}", words[1])
        # A byte 0 elsewhere is still a byte 0.
        self.refused("a byte 0", ["run", self.put("x.json", b'{"embeddings": [[1]], "\x00": 1}')], "NUL byte")

    def test_endless(self):
        """Inputs without an end are refused before memory runs out: the address space of the process is 1 GB here, which
        is too little for the sanitizers' own."""
        if SANITIZED:
            return
        for name, command in (("zeros", "{p} /dev/zero"), ("zeros, piped", "{p} - < /dev/zero"), ("zeros as theirs", "{p} diff /dev/zero x.json"), ("zeros as ours", "{p} diff x.json /dev/zero"),
                              ("text", "yes | {p}"), ("a list", "(printf '{{\"a\":['; yes 1,) | {p}"), ("white space", "yes '' | {p}"), ("convert", "{p} convert /dev/zero -o y.npz")):
            self.document()
            done = subprocess.run(["sh", "-c", "ulimit -v 1000000; " + command.format(p=self.program)], cwd=self.folder, capture_output=True, timeout=60)
            self.report.equal(f"{name}: exit", (done.returncode, done.stdout), (3, b""))
            self.report.matches(name, done.stderr.decode(), "^attn-calc: error: ")

    def test_unread_types(self):
        """One tensor of a type that is not read leaves the others of its file readable, and is listed."""
        w = np.array(W, "<f4").tobytes()
        sizes = {"F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F6_E2M3": 0.75, "F6_E3M2": 0.75, "F4": 0.5, "C64": 8}
        for dtype, size in sizes.items():
            self.put("w.safetensors", safetensors({"good": ("F32", [2, 2], w), "odd": (dtype, [2, 4], bytes(int(8 * size)))}))
            ref = {"file": "w.safetensors", "name": "good"}
            self.accepted(f"beside {dtype}", [self.document(weights={n: ref for n in QKV})])
            listed = json.loads(self.accepted(f"check {dtype}", ["check", "w.safetensors", "-f", "json"]).out)
            self.report.equal(f"{dtype} is listed", [(t["name"], t["shape"], t["dtype"]) for t in listed["tensors"]], [("good", [2, 2], "float32"), ("odd", [2, 4], dtype)])
            self.report.matches(f"{dtype} as text", self.call("check", "w.safetensors").text, rf"{16 + int(8 * size)} bytes(.|\n)*odd +\[2, 4\] +{dtype}")
            done = self.accepted(f"convert {dtype}", ["convert", "w.safetensors", "-f", "json"])
            self.report.equal(f"{dtype} is left out", list(json.loads(done.out)), ["good"])
            self.report.matches(f"{dtype} is said", done.said, f'left out: it holds "odd", whose numbers are of the type {dtype}, which is not read')
            done = self.accepted("convert good", ["convert", "w.safetensors", "--stages", "good", "-f", "json"])
            self.report.check("odd" not in done.said, "the other one is asked for", "no word of odd", done.said)
            for arguments in ([self.document(weights={**QKV, "W_key": {"file": "w.safetensors", "name": "odd"}})], ["convert", "w.safetensors", "--stages", "odd", "-o", "y.npz"],
                              ["convert", "w.safetensors", "--stages", "good,odd", "-o", "y.npz"]):
                self.refused(f"{dtype} {arguments[0]}", arguments, f'"odd", whose numbers are of the type {dtype}, which is not read', "types that are read")
            self.put("w.safetensors", safetensors({"odd": (dtype, [2, 4], bytes(int(8 * size)))}))
            self.refused(f"{dtype} alone", ["convert", "w.safetensors", "-o", "y.npz"], f"the file holds .* of the type {dtype}")
            self.put("w.safetensors", safetensors({"odd": (dtype, [2, 4], bytes(int(8 * size) + 1))}))
            self.refused(f"{dtype} of another size", ["check", "w.safetensors"], "needs")
        fields = [("x", "<f4"), ("it's \x1b", [("a", "<i2", (3,))])]
        for dtype, odd in (("|O", np.array([{}, None])), ("<c16", np.array([1j, 2])), (repr(fields), np.zeros(2, fields))):
            np.savez(self.path("w.npz"), good=np.array(W), odd=odd)
            ref = {"file": "w.npz", "name": "good"}
            self.accepted(f"beside {dtype}", [self.document(weights={n: ref for n in QKV})])
            listed = json.loads(self.accepted(f"check {dtype}", ["check", "w.npz", "-f", "json"]).out)
            self.report.equal(f"{dtype} is listed", [(t["name"], t["shape"], t["dtype"]) for t in listed["tensors"]], [("good", [2, 2], "float64"), ("odd", [2], dtype)])
            done = self.accepted(f"convert {dtype}", ["convert", "w.npz", "-f", "json"])
            self.report.equal(f"{dtype} is left out", list(json.loads(done.out)), ["good"])
            self.report.matches(f"{dtype} is said", done.said, 'left out: it holds "odd.npy", which holds numbers of (dtype "' + re.escape(dtype) + '"|a structured type)')
            for arguments in ([self.document(weights={**QKV, "W_key": {"file": "w.npz", "name": "odd"}})], ["convert", "w.npz", "--stages", "odd", "-o", "y.npy"]):
                self.refused(f"{dtype} {arguments[0]}", arguments, "holds numbers of (dtype|a structured type)")
            np.save(self.path("w.npy"), odd, allow_pickle=True)
            self.refused(f"npy of {dtype}", ["check", "w.npy"], "holds numbers of (dtype|a structured type)")
        self.put("w.safetensors", safetensors({"odd": ("F4", [3], bytes(2))}))
        self.refused("half a byte", ["check", "w.safetensors"], "whole bytes")
        self.put("w.safetensors", safetensors({"odd": ("F7", [3], bytes(3))}))
        self.refused("an unknown type", ["check", "w.safetensors"], "F7")

    def test_npy_header(self):
        """Python's literals as numpy reads them: ast.literal_eval, and 3L up to version 2.0."""
        data = np.arange(9.0).tobytes()
        text = "{{'descr': '<f8', 'fortran_order': False, 'shape': {}, }}"
        ref = {"variant": "simplified", "embeddings": {"file": "a.npy"}}
        for shape in ("(03, 3)", "(3, 03)", "(003, 3)", "(3 3)", "(3)", "[3, 3]", "(,)", "(3,, 3)", "(-3, -3)", "(+3, 3)", "(3LL, 3)", "(3., 3)", "(0x3, 3)"):
            self.put("a.npy", npy(text.format(shape), data))
            self.refused(shape, [self.put("x.json", ref)], "/embeddings/file .* has a header that ")
        for shape in ("(3, 3)", "(3,3)", "(3L, 3L)", "( 3 , 3 , )"):
            self.put("a.npy", npy(text.format(shape), data))
            self.accepted(shape, [self.put("x.json", ref)])
        self.put("a.npy", npy(text.format("(0, 3)"), b""))
        self.refused("no rows", [self.put("x.json", ref)], "/embeddings is empty")

    # Consequences.

    def test_seeds(self):
        """torch.manual_seed takes -2^63 to 2^64 - 1; its generator has the low 32 bits (torch-rng.md)."""
        def drawn(seed):
            done = self.call(self.put("x.json", f'{{"variant": "simplified", "embeddings": {{"init": "torch.randn", "seed": {seed}, "shape": [3, 4]}}}}'.encode()), "-f", "json", "--stages", "queries")
            return json.loads(done.out)["stages"]["queries"]["data"] if done.status == 0 else done.said
        for seed, low in ((2**64 - 1, 2**32 - 1), (2**63, 0), (2**63 + 5, 5), (-1, 2**32 - 1), (-2**63, 0), (2**32 + 7, 7)):
            self.report.equal(f"seed {seed}", drawn(seed), drawn(low))
        for seed in (2**64, -2**63 - 1, 10**30, 1.5):
            self.report.matches(f"seed {seed}", drawn(seed), "/embeddings/seed is ")
        done = self.accepted("in the plan", [self.document(weights={"init": "torch.nn.Linear", "seed": 2**64 - 1, "d_out": 2}), "-f", "json"])
        self.report.equal("the seed in the plan", json.loads(done.out)["plan"]["weights"]["seed"] if done.status == 0 else None, 2**64 - 1)
        self.accepted("dropout", [self.document(dropout={"p": 0.5, "seed": 2**64 - 1})])

    def test_structured_types(self):
        """Nothing that a header calls a type acts on a terminal; one that is cut is refused."""
        for descr, good in (("[('a\x1b[2J', '<f4')]", True), ("'\x1b[2J'", True), ("[('a', '<f4')", False), ("[('a', '<f4'])", False), ("[('a", False), ("[", False)):
            header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (2,), }}".encode()
            with zipfile.ZipFile(self.path("w.npz"), "w") as archive:
                archive.writestr("odd.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8))
            done = self.call("check", "w.npz")
            self.report.check(done.status == (0 if good else 3) and "\x1b" not in done.text + done.said, f"descr {descr!r}", "listed without escapes" if good else "exit 3", (done.status, done.text, done.said))

    def test_consequences(self):
        self.refused("grouped heads without weights", [self.document(num_heads=2, num_kv_heads=1)], "/num_kv_heads is 1 beside 2 heads, but there are no weights")
        tall = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [1.0, 1.0, 1.0]]
        w4 = {n: [[1.0, 2.0]] * 4 for n in QKV}
        self.refused("embeddings that fit transposed", [self.put("x.json", {"embeddings": tall, "weights": w4})], "embeddings have a row for each token: transposed, .3, 4., they would fit")
        for document, pointer in (({"embeddings": {"init": "torch.randn", "seed": 1, "shape": [10**10, 4]}}, "/embeddings/shape"), ({"embeddings": {"init": "torch.rand", "seed": 1, "shape": [2, 10**10, 4]}}, "/embeddings/shape"),
                                  ({"embeddings": X, "weights": {"init": "torch.nn.Linear", "seed": 1, "d_out": 10**11}}, "/weights/d_out")):
            self.refused(f"{pointer} too large", [self.put("x.json", document)], rf"x\.json:1:\d+: {pointer} asks for .*10+.* of memory")


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))
