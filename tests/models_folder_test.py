"""Model folders: what init writes and run computes of tests/data/models, and every row of the table of architectures.

The folders, their hidden states and the expected weights and outputs come from the public modelling code (tests/data/models/README.md).
A layer is computed from what enters its attention (--embeddings) and from what enters its block (--block), by the document that
init writes and by run --model: all of them have to give what is expected, within the tolerances of the case.

A model type of docs/models.md without a folder of its own is read from the folder of another one that computes the same (SAME), or its
document is held against the defaults of its class (SILENT): folders of zeros in the shapes of released models.
"""
import collections
import glob
import io
import json
import os
import pickle
import re
import shutil
import struct
import sys
import types
import unittest.mock
import zipfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import SOURCE, Program, json_values, run_tests  # noqa: E402

FOLDERS = os.path.join(SOURCE, "tests", "data", "models")
# model type: a folder whose keys all say what this type computes as well
SAME = {"mixtral": "llama", "ministral": "llama", "qwen2_moe": "qwen2", "qwen2_vl": "qwen2", "qwen2_vl_text": "qwen2", "qwen2_5_vl": "qwen2",
        "qwen2_5_vl_text": "qwen2", "qwen3_moe": "qwen3", "qwen3_vl": "qwen3", "qwen3_vl_text": "qwen3", "qwen3_vl_moe": "qwen3",
        "qwen3_vl_moe_text": "qwen3", "granitemoe": "granite", "granitemoeshared": "granite", "cohere": "cohere_qk_norm", "olmo": "olmo_clip",
        "olmo3": "olmo2", "mistral": "mistral", "lfm2_moe": "lfm2", "roberta": "bert", "xlm-roberta": "bert", "electra": "bert", "camembert": "bert",
        "mt5": "t5", "deit": "vit", "clip_text_model": "clip", "clip_vision_model": "clip", "gemma4_unified_text": "v5_gemma4_text",
        "gemma4_text": "v5_gemma4_text", "ministral3": "v5_ministral3", "apertus": None,
        "kimi_k2": "v5_deepseek_v3", "glm4_moe_lite": "v5_deepseek_v3"}
QKVO = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
NORMS = ["self_attn.q_norm", "self_attn.k_norm"]


def llama(heads, kv, dim, width, norm="input_layernorm", norms=None, bias=""):
    """Names and shapes of the tensors of a layer."""
    out = dict(zip(QKVO, ([heads * dim, width], [kv * dim, width], [kv * dim, width], [width, heads * dim])))
    out = {f"{k}.weight": v for k, v in out.items()}
    for k in bias:
        out[f"self_attn.{k}_proj.bias"] = [out[f"self_attn.{k}_proj.weight"][0]]
    if norm:
        out[f"{norm}.weight"] = [width]
    for name, n in zip(NORMS, norms or []):
        out[f"{name}.weight"] = [n]
    return out


def rope(base, pairs="half", dims=None, **scaling):
    return {"base": base, "pairs": pairs, **({"dims": dims} if dims else {}), **({"scaling": scaling} if scaling else {})}


# model type, layer: what config.json says besides, tensors of the layer below model.layers.N., and members that the document has to have
# (None: none of that name). What a silent config.json means is from the classes of the public code.
SILENT = [
    ("llama", 0, {"hidden_size": 64}, llama(32, 32, 2, 64), {"num_heads": 32, "num_kv_heads": 32, "rope": rope(10000, dims=2), "window": None, "causal": True}),
    ("mistral", 1, {"hidden_size": 64}, llama(32, 8, 2, 64), {"num_kv_heads": 8, "window": {"left": 4095}, "rope": rope(10000, dims=2)}),
    ("mistral", 1, {"hidden_size": 64, "sliding_window": None}, llama(32, 8, 2, 64), {"window": None}),
    ("mixtral", 0, {"hidden_size": 64}, llama(32, 8, 2, 64), {"rope": rope(1000000, dims=2), "window": None, "embeddings_norm": {"eps": 1e-5}}),
    ("qwen2", 30, {"hidden_size": 64, "use_sliding_window": True, "sliding_window": 9}, llama(32, 32, 2, 64), {"window": {"left": 8}}),
    ("qwen2", 27, {"hidden_size": 64, "use_sliding_window": True, "sliding_window": 9}, llama(32, 32, 2, 64), {"window": None}),
    ("qwen2", 30, {"hidden_size": 64, "sliding_window": 9}, llama(32, 32, 2, 64), {"window": None}),
    ("qwen3", 0, {"hidden_size": 64}, llama(32, 32, 128, 64, norms=[128, 128]), {"qk_norm": {"type": "rms", "over": "head", "eps": 1e-6}, "scale": 1 / 128 ** 0.5}),
    ("qwen3_moe", 0, {"hidden_size": 64}, llama(32, 4, 2, 64, norms=[2, 2]), {"num_kv_heads": 4}),
    ("gemma", 0, {"hidden_size": 64}, llama(16, 16, 256, 64), {"scale": 1 / 16, "embeddings_norm": {"plus_one": True}}),
    ("gemma2", 0, {"hidden_size": 64}, llama(8, 4, 256, 64), {"softcap": 50, "scale": 1 / 16, "window": {"left": 4095}}),
    ("gemma2", 1, {"hidden_size": 64, "attn_logit_softcapping": None}, llama(8, 4, 256, 64), {"softcap": None, "window": None}),
    ("gemma3_text", 4, {"hidden_size": 64, "rope_scaling": {"rope_type": "linear", "factor": 8}}, llama(8, 4, 256, 64, norms=[256, 256]),
     {"rope": rope(10000), "window": {"left": 4095}, "qk_norm": {"plus_one": True}}),
    ("gemma3_text", 5, {"hidden_size": 64, "rope_scaling": {"rope_type": "linear", "factor": 8}}, llama(8, 4, 256, 64, norms=[256, 256]),
     {"rope": rope(1000000, type="linear", factor=8), "window": None}),
    ("gemma3_text", 0, {"hidden_size": 64, "use_bidirectional_attention": True, "sliding_window": 9}, llama(8, 4, 256, 64, norms=[256, 256]),
     {"causal": False, "window": {"left": 4, "right": 4}}),
    ("olmo3", 3, {"hidden_size": 64, "rope_scaling": {"rope_type": "linear", "factor": 2}}, llama(32, 32, 2, 64, "", [64, 64]),
     {"rope": rope(10000, type="linear", factor=2), "window": None, "embeddings_norm": None, "qk_norm": {"over": "width"}}),
    ("olmo3", 2, {"hidden_size": 64, "rope_scaling": {"rope_type": "linear", "factor": 2}}, llama(32, 32, 2, 64, "", [64, 64]),
     {"rope": {"base": 10000, "pairs": "half", "dims": 2}, "window": {"left": 4095}}),
    ("olmo", 0, {"hidden_size": 64}, llama(32, 32, 2, 64, ""), {"embeddings_norm": {"type": "layer", "eps": 1e-5}, "clip_qkv": None}),
    ("olmoe", 0, {"hidden_size": 64, "clip_qkv": 3.5}, llama(16, 16, 4, 64, norms=[64, 64]), {"clip_qkv": {"max": 3.5, "after": "norm"}, "embeddings_norm": {"eps": 1e-5}}),
    ("cohere2", 2, {"hidden_size": 64}, llama(64, 64, 1, 64), {"window": {"left": 4095}}),
    ("glm", 0, {"hidden_size": 64}, llama(32, 2, 128, 64, bias="qkv"), {"rope": rope(10000, "interleaved", 64), "embeddings_norm": {"eps": 1.5625e-7}}),
    ("glm4", 0, {"hidden_size": 64}, llama(32, 2, 128, 64), {"rope": rope(10000, "interleaved", 64)}),
    ("glm4_moe", 0, {"hidden_size": 96 * 2}, llama(96, 8, 2, 192), {"rope": {"pairs": "half"}, "qk_norm": None}),
    ("ernie4_5", 0, {"hidden_size": 64}, llama(16, 2, 128, 64), {"rope": rope(500000, "interleaved", 128)}),
    ("ernie4_5_moe", 0, {"hidden_size": 40}, llama(20, 4, 2, 40), {"num_kv_heads": 4}),
    ("nemotron", 0, {"hidden_size": 96, "head_dim": 4}, {**llama(48, 48, 4, 96), "input_layernorm.bias": [96]},
     {"embeddings_norm": {"type": "layer", "plus_one": True, "eps": 1e-5}, "rope": {"dims": 2}}),
    ("apertus", 0, {"hidden_size": 64, "hidden_act": "xielu"}, llama(32, 32, 2, 64, "attention_layernorm", [2, 2]),
     {"rope": rope(12000000, type="llama3", factor=8, low_freq_factor=1, high_freq_factor=4, original_max_position_embeddings=8192)}),
    ("exaone4", 3, {"hidden_size": 64}, llama(32, 32, 2, 64, "", [2, 2]), {"rope": None, "window": None, "embeddings_norm": None}),
    ("exaone4", 3, {"hidden_size": 64, "sliding_window": None}, llama(32, 32, 2, 64, "", [2, 2]), {"rope": {"base": 10000}}),
    ("exaone4", 2, {"hidden_size": 64, "sliding_window_pattern": "LLLG"}, llama(32, 32, 2, 64, "", [2, 2]), {"window": {"left": 4095}}),
    ("smollm3", 7, {"hidden_size": 32}, llama(16, 4, 2, 32), {"rope": None}),
    ("smollm3", 7, {"hidden_size": 32, "use_sliding_window": True, "sliding_window": 9}, llama(16, 4, 2, 32), {"rope": None, "window": {"left": 8}}),
    ("smollm3", 6, {"hidden_size": 32, "use_sliding_window": True, "sliding_window": 9}, llama(16, 4, 2, 32), {"rope": {"base": 2000000}, "window": None}),
    ("smollm3", 6, {"hidden_size": 32}, llama(16, 4, 2, 32), {"rope": {"base": 2000000}}),
    ("minimax_m2", 0, {"hidden_size": 64, "rotary_dim": 64}, llama(48, 8, 128, 64, norms=[6144, 1024]), {"rope": {"dims": 64}, "qk_norm": {"over": "width"}}),
    ("gpt_oss", 0, {"hidden_size": 64}, {**llama(64, 8, 64, 64), "self_attn.sinks": [64]},
     {"window": {"left": 127}, "rope": rope(150000, type="yarn", factor=32, truncate=False, original_max_position_embeddings=4096), "empty_rows": None}),
    ("nanochat", 0, {"hidden_size": 12}, llama(6, 6, 2, 12, ""), {"rope": {"reverse": True}, "qk_norm": {"after": "rope"}, "embeddings_norm": {"type": "rms"}}),
    ("phi", 0, {"hidden_size": 128}, {("self_attn.dense.weight" if "o_proj" in k else k): v for k, v in llama(32, 32, 4, 128).items()},
     {"rope": {"dims": 2}, "qk_norm": None, "embeddings_norm": {"type": "layer"}}),
    ("phi3", 0, {"hidden_size": 64, "rope_scaling": {"type": "su", "short_factor": [1], "long_factor": [2]}, "max_position_embeddings": 131072},
     {"self_attn.qkv_proj.weight": [192, 64], "self_attn.o_proj.weight": [64, 64], "input_layernorm.weight": [64]},
     {"rope": {"scaling": {"type": "longrope", "original_max_position_embeddings": 4096, "max_position_embeddings": 131072}}, "window": None}),
    ("starcoder2", 0, {"hidden_size": 48, "sliding_window": 9}, llama(24, 2, 2, 48), {"num_kv_heads": 2, "window": {"left": 8}, "embeddings_norm": {"type": "layer"}}),
    ("jamba", 4, {"hidden_size": 64}, llama(32, 8, 2, 64), {"rope": None, "num_kv_heads": 8}),
    ("dbrx", 0, {"d_model": 32, "attn_config": {"kv_n_heads": 4, "clip_qkv": 8, "rope_theta": 500000}},
     {"norm_attn_norm.attn.Wqkv.weight": [48, 32], "norm_attn_norm.attn.out_proj.weight": [32, 32], "norm_attn_norm.norm_1.weight": [32]},
     {"clip_qkv": 8, "num_kv_heads": 4, "rope": {"base": 500000}}),
    ("mimo_v2_flash", 1, {"hidden_size": 64, "v_head_dim": 8, "head_dim": 12},
     {**llama(64, 8, 12, 64), "self_attn.v_proj.weight": [64, 64], "self_attn.o_proj.weight": [64, 512], "self_attn.attention_sink_bias": [64]},
     {"num_kv_heads": 8, "window": {"left": 127}, "value_scale": 0.707, "rope": rope(10000, dims=4)}),
    ("mimo_v2_flash", 0, {"hidden_size": 64, "v_head_dim": 8, "head_dim": 12, "attention_value_scale": None},
     {**llama(64, 4, 12, 64), "self_attn.v_proj.weight": [32, 64], "self_attn.o_proj.weight": [64, 512]},
     {"num_kv_heads": 4, "window": None, "value_scale": None, "sinks": None, "rope": {"base": 5000000}}),
    ("gpt_neo", 1, {"hidden_size": 64, "attention_types": [[["global", "local"], 12]], "num_layers": 24},
     {**{f"attn.attention.{n}.weight": [64, 64] for n in ("q_proj", "k_proj", "v_proj", "out_proj")}, "attn.attention.bias": [1, 1, 8, 8], "ln_1.weight": [64]},
     {"scale": "none", "window": {"left": 255}, "rope": None}),
    ("albert", 5, {"hidden_size": 128, "num_hidden_layers": 12}, None, {"causal": False, "num_heads": 64}),
    ("nomic_bert", 0, {"n_embd": 24, "n_head": 12}, {"attn.Wqkv.weight": [72, 24], "attn.out_proj.weight": [24, 24]}, {"rope": rope(1000, dims=2), "embeddings_norm": None}),
    ("dinov2", 0, {"hidden_size": 24}, None, {"embeddings_norm": {"type": "layer", "eps": 1e-6}, "causal": False}),
    ("gemma4_text", 5, {"hidden_size": 64, "attention_k_eq_v": True, "num_global_key_value_heads": 1},
     {k: v for k, v in llama(8, 1, 512, 64, norms=[512, 512]).items() if "v_proj" not in k},
     {"scale": 1, "value_norm": {"type": "rms", "eps": 1e-6}, "rope": rope(1000000, dims=512, type="proportional", partial_rotary_factor=0.25)}),
    ("llama4_text", 3, {"hidden_size": 64}, llama(40, 8, 128, 64), {"rope": None, "query_scale": {"beta": 0.1, "every": 8192, "shift": 1}, "qk_norm": None, "chunk": None}),
    ("llama4_text", 0, {"hidden_size": 64}, llama(40, 8, 128, 64), {"chunk": 8192, "qk_norm": {"type": "rms", "after": "rope"}, "query_scale": None}),
    ("olmo_hybrid", 3, {"hidden_size": 60, "rope_parameters": None}, llama(30, 30, 2, 60, "", [60, 60]), {"rope": None, "qk_norm": {"over": "width"}}),
]
# model type, stack: tensors of layer 0, where other prefixes are usual
STACKS = {
    "umt5": {s: {f"{'encoder' if s == 'encoder' else 'decoder'}.block.0.{m}.{n}.weight": [16, 8] if n != "o" else [8, 16] for n in "qkvo"}
             for s, m in (("encoder", "layer.0.SelfAttention"), ("decoder", "layer.0.SelfAttention"), ("cross", "layer.1.EncDecAttention"))},
    **{t: {s: {f"model.{'encoder' if s == 'encoder' else 'decoder'}.layers.0.{m}.{n}_proj.weight": [32, 32] for n in ("q", "k", "v", "out")}
           for s, m in (("encoder", "self_attn"), ("decoder", "self_attn"), ("cross", "encoder_attn"))}
       for t in ("bart", "marian", "blenderbot-small", "mbart", "pegasus", "m2m_100")}}


def write_zeros(folder, config, tensors):
    """A folder whose tensors are zeros: only their names and shapes are looked at."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    head, at = {}, 0
    for name, shape in tensors.items():
        size = 4 * int(np.prod(shape))
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)


def tensors_of(path):
    """name: array of a safetensors file of float32."""
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    return {k: np.frombuffer(data[8 + size:][slice(*v["data_offsets"])], "<f4").reshape(v["shape"]) for k, v in header.items() if k != "__metadata__"}


def write_bin(path, tensors):
    """A zip archive as torch.save writes it: Python's own pickle, with the names of PyTorch's functions."""
    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils")}
    storage = type("FloatStorage", (), {"__module__": "torch"})
    modules["torch"].FloatStorage = storage

    def rebuild(*_):
        pass
    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    modules["torch._utils"]._rebuild_tensor_v2 = rebuild

    class Tensor:
        def __init__(self, key, array):
            self.key, self.array = key, array

        def __reduce__(self):
            strides = tuple(n // 4 for n in self.array.strides)
            return rebuild, (Stored(self.key, self.array.size), 0, self.array.shape, strides, False, collections.OrderedDict())

    class Stored:
        def __init__(self, key, size):
            self.key, self.size = key, size

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return ("storage", storage, obj.key, "cpu", obj.size) if isinstance(obj, Stored) else None

    text = io.BytesIO()
    with unittest.mock.patch.dict(sys.modules, modules):
        Pickler(text, 2).dump({k: Tensor(str(n), v) for n, (k, v) in enumerate(tensors.items())})
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("x/data.pkl", text.getvalue())
        for n, v in enumerate(tensors.values()):
            out.writestr(f"x/data/{n}", v.tobytes())


def holds(found, wanted):
    """Whether a document's member has all that is wanted, numbers as equal as float64 has them."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(holds(found.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, float) and isinstance(found, (int, float)):
        return abs(found - wanted) <= 1e-12 * abs(wanted)
    return found == wanted


class Tests(Program):
    def asked(self, folder, case, key, block=False):
        """The words that ask for a layer."""
        stack = key.rsplit("_", 1)[0] if "_" in key else ""
        words = ["--model", folder, "--layer", str(case["layer"]), *(["--stack", stack] if stack else []),
                 *(["--block", os.path.join(folder, case["block_hidden"])] if block else ["--embeddings", os.path.join(folder, case["hidden"])])]
        return words + (["--key-embeddings", os.path.join(folder, case["key_hidden"])] if "key_hidden" in case else [])

    def stages(self, name, *words):
        done = self.call("run", *words, "-q", "-f", "json")
        if not self.report.equal(f"{name}: exit", (done.status, done.said), (0, "")):
            return {}
        return {k: (v["shape"], np.array(v["data"], dtype=float)) for k, v in json.loads(done.out)["stages"].items()}

    def fits(self, name, stages, case):
        for stage, want in case["expect"].items():
            found = stages.get(stage, stages.get("context" if stage == "concat" else ""))
            if not self.report.check(found is not None, f"{name}: {stage}", "a stage", sorted(stages)):
                continue
            wanted = np.array(want["data"], dtype=float)
            got = found[1].reshape(-1)
            good = got.size == wanted.size and np.all(np.abs(got - wanted) <= case["atol"] + case["rtol"] * np.abs(wanted))
            self.report.check(good, f"{name}: {stage}", "what the model computed", np.abs(got - wanted).max() if got.size == wanted.size else found[0])

    def case(self, folder, path, as_type=None):
        with open(path, encoding="utf-8") as file:
            case = json.load(file)
        key = os.path.basename(path)[len("expect_"):-len(".json")]
        for block in (False, True) if "block_hidden" in case else (False,):
            name = f"{as_type or ''} {os.path.basename(folder)} {key} {'block' if block else 'hidden'}".strip()
            words = self.asked(folder, case, key, block) + (["--as", as_type] if as_type else [])
            document = self.path("layer.json")
            made = self.call("init", *words, "-o", document)
            if not self.report.equal(f"{name}: init", made.status, 0):
                print(made.said)
                continue
            if not folder.startswith(os.path.dirname(document)):
                self.report.check(f"give --root {folder}" in made.said, f"{name}: --root", f"--root {folder}", made.said)
            with open(document, encoding="utf-8") as file:
                layer = json.load(file)
            os.remove(document)
            self.report.check(set(layer["_from"]) >= set(layer) - {"comment", "_from", "embeddings", "key_embeddings"}, f"{name}: _from", set(layer), set(layer["_from"]))
            mask = case.get("input", {}).get("attention_mask")
            if mask:
                layer["mask"] = {"keep": [[[row]] for row in mask]}
            with open(document, "w", encoding="utf-8") as file:
                json.dump(layer, file)
            stages = self.stages(f"{name}: run of the document", document, "--root", folder)
            os.remove(document)
            self.fits(name, stages, case)
            if mask:
                continue
            direct = self.stages(f"{name}: run --model", *words)
            self.report.check(direct.keys() == stages.keys() and all(np.array_equal(direct[k][1], stages[k][1], equal_nan=True) for k in direct),
                              f"{name}: run --model", "what the document gives", "other numbers")

    def test_folders(self):
        folders = sorted(os.path.dirname(p) for p in glob.glob(os.path.join(FOLDERS, "*", "config.json")))
        self.report.check(len(folders) > 50, "folders", "more than 50", len(folders))
        for folder in folders:
            for path in sorted(glob.glob(os.path.join(folder, "expect_*.json"))):
                self.case(folder, path)

    def test_torch(self):
        """The same tensors as PyTorch keeps them: pytorch_model.bin, whole and in two shards."""
        folder = os.path.join(FOLDERS, "llama")
        tensors = tensors_of(os.path.join(folder, "model.safetensors"))
        names = sorted(tensors)
        for shards in (1, 2):
            path = self.path("torch")
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(folder, path)
            os.remove(os.path.join(path, "model.safetensors"))
            files = {name: "pytorch_model.bin" if shards == 1 else f"pytorch_model-0000{1 + k % 2}-of-00002.bin" for k, name in enumerate(names)}
            for file in set(files.values()):
                write_bin(os.path.join(path, file), {n: tensors[n] for n in names if files[n] == file})
            if shards == 2:
                with open(os.path.join(path, "pytorch_model.bin.index.json"), "w", encoding="utf-8") as out:
                    json.dump({"weight_map": files}, out)
            for case in sorted(glob.glob(os.path.join(path, "expect_*.json"))):
                self.case(path, case)

    def test_same(self):
        for as_type, donor in SAME.items():
            folder = os.path.join(FOLDERS, donor or "")
            for path in sorted(glob.glob(os.path.join(folder, "expect_*.json"))) if donor else []:
                stack = os.path.basename(path).split("_")[1]
                if not as_type.startswith("clip") or stack in as_type:
                    self.case(folder, path, as_type)

    def document(self, name, folder, *words):
        done = self.call("init", "--model", folder, *words, "-o", "-")
        if not self.report.equal(f"{name}: init", done.status, 0):
            print(done.said)
            return None
        return json.loads(done.out)

    def test_silent(self):
        for model_type, layer, config, tensors, wanted in SILENT:
            name = f"{model_type} {layer} {json.dumps(config)}"
            width = config.get("hidden_size")
            if model_type == "albert":
                tensors = {**{f"albert.encoder.albert_layer_groups.0.albert_layers.0.attention.{n}.weight": [width, width] for n in ("query", "key", "value", "dense")},
                           "albert.encoder.albert_layer_groups.0.albert_layers.0.attention.LayerNorm.weight": [width]}
            elif model_type == "dinov2":
                tensors = {**{f"encoder.layer.0.attention.attention.{n}.weight": [width, width] for n in ("query", "key", "value")},
                           "encoder.layer.0.attention.output.dense.weight": [width, width], "encoder.layer.0.norm1.weight": [width]}
            else:
                before = {"gpt_neo": "transformer.h", "dbrx": "transformer.blocks"}.get(model_type, "model.layers")
                tensors = {f"{before}.{layer}.{k}": v for k, v in tensors.items()}
            folder = self.path("model")
            write_zeros(folder, {"model_type": model_type, **config}, tensors)
            document = self.document(name, folder, "--layer", str(layer))
            for key, value in wanted.items() if document else []:
                found = document.get(key)
                self.report.check(holds(found, value), f"{name}: {key}", value, found)

    def test_stacks(self):
        for model_type, stacks in STACKS.items():
            tensors = {k: v for stack in stacks.values() for k, v in stack.items()}
            config = {"model_type": model_type, "d_model": 8, "num_heads": 4, "d_kv": 4} if model_type == "umt5" else \
                {"model_type": model_type, "d_model": 32, "encoder_attention_heads": 4, "decoder_attention_heads": 8}
            if model_type == "umt5":
                tensors.update({f"{s}.block.0.layer.{k}.layer_norm.weight": [8] for s in ("encoder", "decoder") for k in (0, 1)})
                tensors.update({f"{s}.block.0.layer.0.SelfAttention.relative_attention_bias.weight": [32, 4] for s in ("encoder", "decoder")})
            else:
                tensors.update({f"model.{s}.layers.0.{n}_layer_norm.weight": [32] for s, n in (("encoder", "self_attn"), ("decoder", "self_attn"), ("decoder", "encoder_attn"))})
            folder = self.path("model")
            write_zeros(folder, config, tensors)
            normed = model_type in ("umt5", "mbart", "pegasus", "m2m_100")
            for stack in stacks:
                document = self.document(f"{model_type} {stack}", folder, "--layer", "0", "--stack", stack)
                wanted = {"causal": stack == "decoder", "num_heads": 4 if stack == "encoder" or model_type == "umt5" else 8, "rope": None,
                          "variant": "cross_attention" if stack == "cross" else "multi_head", "scale": "none" if model_type == "umt5" else 0.5 if stack != "encoder" else 1 / 8 ** 0.5}
                for key, value in wanted.items() if document else []:
                    self.report.check(holds(document.get(key), value), f"{model_type} {stack}: {key}", value, document.get(key))
                if document:
                    self.report.equal(f"{model_type} {stack}: a norm before", "embeddings_norm" in document, normed)
                    if model_type == "umt5":
                        bias = document.get("position_bias")
                        self.report.check(bias is None if stack == "cross" else bias["bidirectional"] == (stack == "encoder"), f"umt5 {stack}: position_bias", "as the stack", bias)
            done = self.call("init", "--model", folder, "--layer", "0", "-o", "-")
            self.report.check(done.status == 2 and "encoder, decoder, cross" in done.said, f"{model_type}: no stack", "exit 2 with their names", done.said)

    def test_every_row_has_a_case(self):
        """A row of docs/models.md is one of the folders, or of the tables above."""
        with open(os.path.join(SOURCE, "docs", "models.md"), encoding="utf-8") as file:
            rows = set(re.findall(r"(?m)^\| `([\w.-]+)`(?:, [^|]*)? \| `[\w.{}]*N", file.read()))
        self.report.check(len(rows) > 80, "rows of docs/models.md", "more than 80", len(rows))
        known = set(SAME) | {row[0] for row in SILENT} | set(STACKS) | {"deberta-v2"}  # test_content_bias
        for path in glob.glob(os.path.join(FOLDERS, "*", "config.json")):
            with open(path, encoding="utf-8") as file:
                config = json.load(file)
            known |= {config.get("model_type")} | {config[k].get("model_type") for k in ("text_config", "vision_config") if k in config}
        self.report.equal("model types without a case", sorted(rows - known - {"siglip_text_model", "dinov2_with_registers"} - {t for t in rows if t.startswith("qwen3_5")}), [])


class Refusals(Program):
    """What is not known is refused, with its place."""

    def refused(self, name, folder, words, status, *parts):
        done = self.call("init", "--model", folder, *words, "-o", "-")
        self.report.equal(f"{name}: exit", done.status, status)
        self.report.equal(f"{name}: nothing written", done.out, b"")
        for part in parts:
            self.report.check(part in " ".join(done.said.split()), f"{name}: says", part, done.said)

    def test_refusals(self):
        tensors = {f"model.layers.0.{k}": v for k, v in llama(2, 1, 4, 8).items()}
        config = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1}
        layer = ["--layer", "0"]

        def folder(change=None, more=None, without=()):
            path = self.path(f"m{len(os.listdir(self.folder))}")
            write_zeros(path, {**config, **(change or {})}, {k: v for k, v in {**tensors, **(more or {})}.items() if k not in without})
            return path

        self.report.equal("as it is", self.call("init", "--model", folder(), *layer, "-o", "-").status, 0)
        self.refused("unknown type", folder({"model_type": "lama"}), layer, 3, 'config.json:1:', '/model_type is "lama"', "nearest: llama", "--as TYPE")
        self.refused("sparse keys", folder({"model_type": "deepseek_v32"}), layer, 3, '"deepseek_v32"', "deepseek_v3")
        self.refused("no type", folder({"model_type": None}), layer, 3, "model_type")
        self.refused("--as", folder(), [*layer, "--as", "lama"], 2, "--as lama", "nearest: llama")
        self.refused("a layer too far", folder(), ["--layer", "1"], 3, "has 1 layer", "there is no layer 1", "--layer 0")
        self.refused("a key that is not read", folder({"attn_logit_softcapping": 30.0}), layer, 3, '"attn_logit_softcapping"', "nothing here reads")
        self.report.equal("the same, switched off", self.call("init", "--model", folder({"attn_logit_softcapping": None}), *layer, "-o", "-").status, 0)
        self.refused("a tensor that is not read", folder(None, {"model.layers.0.self_attn.q_norm.weight": [4]}), layer, 3, "self_attn.q_norm.weight", "nothing here reads")
        self.report.equal("a table that is made anew", self.call("init", "--model", folder(None, {"model.layers.0.self_attn.rotary_emb.inv_freq": [2]}), *layer, "-o", "-").status, 0)
        self.refused("a tensor that is missing", folder(None, None, ["model.layers.0.self_attn.k_proj.weight"]), layer, 3, "k_proj.weight", "needs")
        unnormed = folder(None, None, ["model.layers.0.input_layernorm.weight"])
        self.refused("a norm that is missing", unnormed, layer, 3, "input_layernorm.weight", "the norm before the attention")
        states = self.path("states.npy")
        np.save(states, np.zeros((2, 8), np.float32))
        self.report.equal("the same, of states behind it", self.call("init", "--model", unnormed, *layer, "--embeddings", states, "-o", "-").status, 0)
        self.refused("the same, of states before it", unnormed, [*layer, "--block", states], 3, "input_layernorm.weight")
        self.refused("another width", folder({"num_key_value_heads": 2}), layer, 3, "k_proj.weight", "of [4, 8], expected 8 outputs: keys", "num_key_value_heads")
        self.refused("a scaling", folder({"rope_scaling": {"rope_type": "ntk", "factor": 2}}), layer, 3, "/rope_scaling/rope_type", '"ntk"')
        self.refused("a member of a scaling", folder({"rope_scaling": {"rope_type": "linear", "factor": 2, "beta": 2}}), layer, 3, '"beta"')
        self.refused("a type of layers", folder({"layer_types": ["sliding_attention"]}), layer, 3, "/layer_types", "no windows")
        self.refused("a layer without attention", folder({"model_type": "lfm2", "layer_types": ["conv"]}), layer, 3, '"conv"')
        self.refused("two stacks", folder(None, {k.replace("model.", "other."): v for k, v in tensors.items()}), layer, 3, "two stacks", "--stack")
        self.report.equal("layers that predict further tokens", self.call("init", "--model", folder(None, {k.replace("model.", "mtp."): v for k, v in tensors.items()}), *layer, "-o", "-").status, 0)
        self.refused("no such stack", folder(), [*layer, "--stack", "encoder"], 2, "--stack encoder", "--stack text")
        self.refused("a word for a number", folder({"num_attention_heads": "two"}), layer, 3, "/num_attention_heads")
        empty = self.path("empty")
        os.makedirs(empty)
        self.refused("no config.json", empty, layer, 3, "has no config.json")
        self.refused("no folder", self.path("nowhere"), layer, 3, "has no config.json")
        with open(os.path.join(empty, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.refused("no weights", empty, layer, 3, "has none of the files", "model.safetensors, model.safetensors.index.json, pytorch_model.bin")
        index = os.path.join(empty, "model.safetensors.index.json")
        for where, says in (("gone.safetensors", 'the shard "gone.safetensors", which is not there'), ("../m0/model.safetensors", "which leads out of the folder"), (3, "expected the name of a file")):
            with open(index, "w", encoding="utf-8") as file:
                json.dump({"weight_map": {k: where for k in tensors}}, file)
            self.refused(f"shard {where}", empty, layer, 3, says)
        write_zeros(empty, config, {"a": [1]})
        with open(index, "w", encoding="utf-8") as file:
            json.dump({"weight_map": {k: "model.safetensors" for k in tensors}}, file)
        self.refused("a shard that does not hold it", empty, layer, 3, "does not hold", "which does not hold it")

    def test_command_line(self):
        folder = os.path.join(FOLDERS, "llama")
        hidden = os.path.join(folder, "hidden_1.npy")
        cases = [(["run", "--model", folder], "--model needs a layer"), (["run", "--layer", "1", "x.json"], "--layer goes with --model"),
                 (["run", "--model", folder, "--layer", "1", "x.json"], "in place of a file"), (["init", "--embeddings", hidden], "--embeddings goes with --model"),
                 (["run", "--model", folder, "--layer", "1", "--weights", "w.npz"], "--weights has no use"),
                 (["run", "--model", folder, "--layer", "1", "--embeddings", hidden, "--block", hidden], "exclude each other"),
                 (["run", "--root", self.path("nowhere"), "x.json"], None)]
        for words, says in cases:
            done = self.call(*words)
            self.report.check(done.status in (2, 3) and (says is None or says in done.said), " ".join(words[:4]), says, done.said)
        plain = self.call("run", "--model", folder, "--layer", "1", "--embeddings", hidden, "--stages", "output")
        for command in ("check", "view"):
            done = self.call(command, "--model", folder, "--layer", "1", "--embeddings", hidden)
            self.report.equal(f"{command} --model", (done.status, done.said), (0, ""))
        done = self.call("explain", "--model", folder, "--layer", "1", "--embeddings", hidden, "--row", "2")
        self.report.check(done.status == 0 and "softmax" in done.text, "explain --model", "the arithmetic of a row", done.said)
        self.report.check(plain.status == 0 and "output" in plain.text, "run --model --stages", "the output", plain.said)
        done = self.call("run", "--model", folder, "--layer", "1")
        self.report.check(done.status == 3 and "embeddings" in done.said, "no embeddings", "that they are missing", done.said)

    def test_all_layers(self):
        """--layer all: every layer with attention, as each alone; the others are said."""
        folder = self.path("m")
        shutil.copytree(os.path.join(FOLDERS, "lfm2"), folder)
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        hidden = os.path.join(folder, "hidden_{layer}.npy")
        done = self.call("run", "--model", folder, "--layer", "all", "--embeddings", hidden, "-f", "json")
        alone = self.call("run", "--model", folder, "--layer", "1", "--embeddings", hidden, "-f", "json")
        self.report.equal("config.json: a layer without attention", config["layer_types"], ["conv", "full_attention"])
        self.report.equal("--layer all: as the layer alone", (done.status, done.out), (0, alone.out))
        self.report.check('has a layer 0 of the kind "conv"' in done.said, "--layer all: the others", "a note", done.said)
        two = self.path("two")
        shutil.copytree(os.path.join(FOLDERS, "qwen2_sliding"), two)
        hidden = os.path.join(two, "hidden_{layer}.npy")
        os.remove(os.path.join(two, "config.json"))
        with open(os.path.join(FOLDERS, "qwen2_sliding", "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        with open(os.path.join(two, "config.json"), "w", encoding="utf-8") as file:
            json.dump({**config, "layer_types": ["conv", "full_attention", "sliding_attention"]}, file)
        words = ["--model", two, "--layer", "all", "--embeddings", hidden]
        alone = [json.loads(self.call("run", "--model", two, "--layer", str(n), "--embeddings", hidden, "-f", "json").out)["stages"] for n in (1, 2)]
        both = self.call("run", *words, "-f", "json", "-q")
        if self.report.equal("two layers: exit", (both.status, both.said), (0, "")):
            self.report.equal("two layers", [t["stages"] for t in json_values(both.out)], alone)
        done = self.call("run", *words, "-q", "-o", self.path("layer_{layer}.json"))
        self.report.equal("-o {layer}: exit", (done.status, sorted(n for n in os.listdir(self.folder) if n.startswith("layer_"))), (0, ["layer_1.json", "layer_2.json"]))
        for n, stages in zip((1, 2), alone):
            with open(self.path(f"layer_{n}.json"), encoding="utf-8") as file:
                self.report.equal(f"-o {{layer}}: {n}", json.load(file)["stages"], stages)
            os.remove(self.path(f"layer_{n}.json"))
        made = self.call("init", *words, "-o", self.path("layer_{layer}.json"))
        self.report.equal("init --layer all", (made.status, [self.call("run", self.path(f"layer_{n}.json"), "-q").status for n in (1, 2)]), (0, [0, 0]))
        for words, says in ((["run", "--model", two, "--layer", "all", "--embeddings", os.path.join(two, "hidden_1.npy")], "{layer} in its name"),
                            (["run", "--layer", "all", "x.json"], "--layer goes with --model"), (["diff", "a.json", "b.json", "--layer", "all"], "--layer all goes with --model")):
            done = self.call(*words)
            self.report.check(done.status == 2 and says in done.said, " ".join(words[:4]), says, done.said)

    def test_diff(self):
        """diff THEIRS --model: one layer beside numbers without a number, a file of layers beside all of them."""
        folder = os.path.join(FOLDERS, "qwen2_sliding")
        hidden = os.path.join(folder, "hidden_{layer}.npy")
        cases = {}
        for n in (1, 2):
            with open(os.path.join(folder, f"expect_{n}.json"), encoding="utf-8") as file:
                expect = json.load(file)["expect"]
            cases[n] = {k: np.array(v["data"], dtype=np.float32).reshape(v["shape"]) for k, v in expect.items()}
        np.savez(self.path("one.npz"), **cases[2])
        both = {f"layers.{n}.{k}": v for n, c in cases.items() for k, v in c.items()}
        np.savez(self.path("both.npz"), **both)
        changed = {k: v.copy() for k, v in both.items()}
        changed["layers.2.weights"][0, 1, 3, 2] += 0.25
        np.savez(self.path("changed.npz"), **changed)
        tolerance = ["--atol", "2e-5", "--rtol", "1e-4"]

        def diff(theirs, layer):
            return self.call("diff", self.path(theirs), "--model", folder, "--layer", layer, "--embeddings", hidden, *tolerance)

        for theirs, layer, status in (("one.npz", "2", 0), ("one.npz", "1", 1), ("both.npz", "2", 0), ("both.npz", "1", 0), ("changed.npz", "2", 1), ("changed.npz", "1", 0)):
            done = diff(theirs, layer)
            self.report.check(done.status == status, f"diff {theirs} --layer {layer}", f"exit {status}", done.text + done.said)
        done = self.call("diff", self.path("one.npz"), self.path("both.npz"), "--model", folder, "--layer", "2")
        self.report.check(done.status == 2 and "--model" in done.said, "diff of two files and a model", "exit 2", done.said)

    def test_content_bias(self):
        """DeBERTa: weights and output by the formulas of He et al. 2021, in float64."""
        rng = np.random.default_rng(7)
        width, heads, buckets, most, tokens = 12, 3, 4, 16, 9
        dim = width // heads
        draw = {name: rng.normal(size=(width, width)) / 3 for name in ("query_proj", "key_proj", "value_proj")}
        bias = {name: rng.normal(size=width) / 3 for name in draw}
        out, relative, gain, shift = rng.normal(size=(width, width)) / 3, rng.normal(size=(2 * buckets, width)), 1 + rng.normal(size=width) / 5, rng.normal(size=width) / 5
        tensors = {**{f"deberta.encoder.layer.0.attention.self.{n}.weight": w for n, w in draw.items()}, **{f"deberta.encoder.layer.0.attention.self.{n}.bias": b for n, b in bias.items()},
                   "deberta.encoder.layer.0.attention.output.dense.weight": out, "deberta.encoder.rel_embeddings.weight": relative,
                   "deberta.encoder.LayerNorm.weight": gain, "deberta.encoder.LayerNorm.bias": shift}
        folder = self.path("deberta")
        config = {"model_type": "deberta-v2", "hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": 1, "relative_attention": True, "position_buckets": buckets,
                  "max_relative_positions": -1, "max_position_embeddings": most, "pos_att_type": ["p2c", "c2p"], "share_att_key": True, "norm_rel_ebd": "layer_norm", "layer_norm_eps": 1e-7}
        write_zeros(folder, config, {k: list(v.shape) for k, v in tensors.items()})
        with open(os.path.join(folder, "model.safetensors"), "r+b") as file:
            file.seek(8 + struct.unpack("<Q", file.read(8))[0])
            for v in tensors.values():
                file.write(v.astype("<f4").tobytes())
        x = rng.normal(size=(2, tokens, width)).astype(np.float32)
        np.save(os.path.join(folder, "x.npy"), x)
        tensors = {k.rsplit("self.", 1)[-1]: v.astype(np.float32).astype(float) for k, v in tensors.items()}
        relative = tensors["deberta.encoder.rel_embeddings.weight"]
        relative = (relative - relative.mean(1, keepdims=True)) / np.sqrt(relative.var(1, keepdims=True) + 1e-7)
        relative = relative * tensors["deberta.encoder.LayerNorm.weight"] + tensors["deberta.encoder.LayerNorm.bias"]

        def project(y, name):
            made = y @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
            return np.moveaxis(made.reshape(*y.shape[:-1], heads, dim), -2, -3)

        def bucket(d):
            middle = buckets // 2
            far = np.ceil(np.log(max(abs(d), 1) / middle) / np.log((most - 1) / middle) * (middle - 1)) + middle
            return int(d if abs(d) <= middle else np.sign(d) * far)

        place = np.array([[min(max(bucket(i - j) + buckets, 0), 2 * buckets - 1) for j in range(tokens)] for i in range(tokens)])
        q, k, v = (project(x.astype(float), n) for n in ("query_proj", "key_proj", "value_proj"))
        kr, qr = project(relative, "key_proj"), project(relative, "query_proj")
        scores = np.einsum("bhid,bhjd->bhij", q, k) + np.einsum("bhid,hijd->bhij", q, kr[:, place]) + np.einsum("bhjd,hijd->bhij", k, qr[:, place])
        weights = np.exp(scores / np.sqrt(3 * dim))
        weights /= weights.sum(-1, keepdims=True)
        output = np.moveaxis(weights @ v, 1, 2).reshape(2, tokens, width) @ tensors["deberta.encoder.layer.0.attention.output.dense.weight"].T
        words = ["--model", folder, "--layer", "0"]
        done = self.call("run", *words, "--embeddings", os.path.join(folder, "x.npy"), "-f", "json", "-q")
        if self.report.equal("content bias: exit", (done.status, done.said), (0, "")):
            stages = json.loads(done.out)["stages"]
            for name, want in (("weights", weights), ("output", output)):
                error = np.abs(np.array(stages[name]["data"], dtype=float) - want).max()
                self.report.check(error < 2e-6, f"content bias: {name}", "the formulas'", error)
        self.refused("content bias without states", folder, ["--layer", "0"], 3, "depends on what the tokens are", "--embeddings FILE")

    def test_document_and_inputs(self):
        """--embeddings, --block and --root of any document; init never overwrites."""
        folder = os.path.join(FOLDERS, "llama")
        hidden, block = (os.path.join(folder, f"{n}_1.npy") for n in ("hidden", "block"))
        document = self.path("layer.json")
        made = self.call("init", "--model", folder, "--layer", "1", "-o", document)
        self.report.check(made.status == 0 and "it has no embeddings" in made.said, "init without embeddings", "a note", made.said)
        again = self.call("init", "--model", folder, "--layer", "1", "-o", document)
        self.report.check(again.status == 4, "init over a file", "exit 4", again.status)
        with open(os.path.join(folder, "expect_1.json"), encoding="utf-8") as file:
            case = json.load(file)
        for words in (["--embeddings", hidden], ["--block", block]):
            done = self.call("run", document, *words, "--root", folder, "-f", "json", "--stages", "output")
            if self.report.equal(f"run {words[0]}: exit", (done.status, done.said), (0, "")):
                got = np.array(json.loads(done.out)["stages"]["output"]["data"], dtype=float).reshape(-1)
                self.report.check(np.allclose(got, case["expect"]["output"]["data"], atol=case["atol"], rtol=case["rtol"]), f"run {words[0]}", "the model's output", got[:4])
        refused = self.call("run", document, "--embeddings", hidden)
        self.report.check(refused.status == 3 and "--root DIR" in refused.said, "without --root", "an error with the hint", refused.said)
        linked, copied = self.path("linked"), self.path("beside")
        os.symlink(folder, linked)
        shutil.copytree(folder, copied)
        for name, place in (("a copy", copied), ("a link", linked)):
            path = f"{place}.json"
            inside = self.call("init", "--model", place, "--layer", "1", "--embeddings", hidden if place == linked else os.path.join(copied, "hidden_1.npy"), "-o", path)
            self.report.equal(f"{name} below the document's folder: --root", (inside.status, f"--root {place}" in inside.said), (0, place == linked))
            with open(path, encoding="utf-8") as file:
                self.report.equal(f"{name}: a path below the document's folder", json.load(file)["weights"]["q_proj.weight"]["file"], os.path.basename(place) + "/model.safetensors")
            roots = ["--root", place, "--root", folder] if place == linked else []
            self.report.equal(f"{name}: computed", self.call("run", path, *roots).status, 0)
            self.report.equal(f"{name}: not without --root", self.call("run", path).status, 3 if roots else 0)


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__) or run_tests(Refusals, __doc__))
