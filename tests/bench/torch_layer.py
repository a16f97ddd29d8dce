#!/usr/bin/env python3
"""What layer.py compares with: layer 3 of a folder with Llama's names, read by safetensors, computed by PyTorch.

    torch_layer.py FOLDER FILE.npy [float32|bfloat16] [--inside]

The weights are widened to float32, as attn-calc does it, or the layer is computed in bfloat16. --inside says the seconds
from opening the file to the output, without the start of Python and its imports, on standard error.
"""
import json
import os
import sys
import time

import numpy
import torch
from safetensors import safe_open


def rotated(x, base):
    """x [head, token, dim], turned as Llama does it: the first half of a head with the second."""
    dim = x.shape[-1]
    angles = torch.outer(torch.arange(x.shape[-2]).float(), base ** (-torch.arange(0, dim, 2).float() / dim))
    cos, sin = (torch.cat((part, part), -1).to(x.dtype) for part in (angles.cos(), angles.sin()))
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


def output(folder, dtype):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    with safe_open(os.path.join(folder, "model.safetensors"), framework="pt") as file:
        w = {name: file.get_tensor(f"model.layers.3.self_attn.{name}_proj.weight").to(dtype) for name in "qkvo"}
    x = torch.from_numpy(numpy.load(os.path.join(folder, "hidden.npy"))).to(dtype)
    n = x.shape[0]
    q, k, v = (torch.nn.functional.linear(x, w[name]).view(n, count, -1).transpose(0, 1)
               for name, count in (("q", heads), ("k", kv_heads), ("v", kv_heads)))
    q, k = rotated(q, config["rope_theta"]), rotated(k, config["rope_theta"])
    k, v = (t.repeat_interleave(heads // kv_heads, 0) for t in (k, v))
    context = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return torch.nn.functional.linear(context.transpose(0, 1).reshape(n, -1), w["o"])


def main():
    words = [word for word in sys.argv[1:] if word != "--inside"]
    if len(words) not in (2, 3):
        sys.exit(__doc__)
    torch.set_grad_enabled(False)
    begin = time.perf_counter()
    result = output(words[0], getattr(torch, words[2] if len(words) == 3 else "float32"))
    if "--inside" in sys.argv:
        print(f"{time.perf_counter() - begin:.3f} s", file=sys.stderr)
    numpy.save(words[1], result.float().numpy())
    return 0


if __name__ == "__main__":
    sys.exit(main())
