#!/usr/bin/env python3
"""One layer of a model's folder, from the file to its output, in turn with PyTorch: a Markdown table of ratios.

    layer.py --make DIR                     Llama 3 8B's shapes: layer 3 in random bfloat16, the other layers a hole in the file
    layer.py DIR --peer NAME='COMMAND'...   COMMAND has {folder} and {file} in it, as tests/bench/torch_layer.py takes them

Whole processes, as in whole.py: time and peak memory of each, ratios within a round.
"""
import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile

import numpy as np

import whole

LAYER, LAYERS, TOKENS, WIDTH, HEADS, KV_HEADS, DIM = 3, 32, 512, 4096, 32, 8, 128
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": 14336,
          "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "rms_norm_eps": 1e-05,
          "rope_theta": 500000.0, "max_position_embeddings": 8192, "vocab_size": 128256, "attention_bias": False,
          "hidden_act": "silu", "torch_dtype": "bfloat16"}
SHAPES = {"q_proj": (HEADS * DIM, WIDTH), "k_proj": (KV_HEADS * DIM, WIDTH), "v_proj": (KV_HEADS * DIM, WIDTH),
          "o_proj": (WIDTH, HEADS * DIM)}
NORM = "model.layers.{}.input_layernorm.weight"


def make(folder):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="ascii") as file:
        json.dump(CONFIG, file, indent=2)
    header, at = {}, 0
    for layer in range(LAYERS):
        for name, shape in SHAPES.items():
            end = at + 2 * shape[0] * shape[1]
            header[f"model.layers.{layer}.self_attn.{name}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}
            at = end
        header[NORM.format(layer)] = {"dtype": "BF16", "shape": [WIDTH], "data_offsets": [at, at + 2 * WIDTH]}
        at += 2 * WIDTH
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = np.random.default_rng(1)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in SHAPES.items():
            begin, _ = header[f"model.layers.{LAYER}.self_attn.{name}.weight"]["data_offsets"]
            numbers = rng.standard_normal(shape, dtype=np.float32) * np.float32(WIDTH ** -0.5)
            file.seek(8 + len(text) + begin)
            file.write((numbers.view(np.uint32) >> 16).astype("<u2").tobytes())
        file.seek(8 + len(text) + header[NORM.format(LAYER)]["data_offsets"][0])
        file.write(np.full(WIDTH, 0x3F80, "<u2").tobytes())  # 1
        file.truncate(8 + len(text) + at)
    np.save(os.path.join(folder, "hidden.npy"), rng.standard_normal((TOKENS, WIDTH), dtype=np.float32))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--make", metavar="DIR")
    parser.add_argument("--program", default="build/release/app/attn-calc")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.make:
        return make(options.make)
    if not options.folder:
        parser.error("a folder, or --make")
    commands = {"attn-calc": [options.program, "run", "--model", options.folder, "--layer", str(LAYER), "--embeddings",
                              os.path.join(options.folder, "hidden.npy"), "--stages", "output", "-q", "-o", "{file}.npy"]}
    for peer in options.peer:
        name, command = peer.split("=", 1)
        commands[name] = shlex.split(command.replace("{folder}", shlex.quote(options.folder)))
    with tempfile.TemporaryDirectory() as folder:
        found = whole.row("npy", commands, options.rounds, folder)
    ours = found.pop("attn-calc")
    print("| peer | attn-calc | memory | peer's | its memory | times as fast (least to most) | share of its memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, theirs in found.items():
        times = sorted(t[0] / o[0] for t, o in zip(theirs, ours))
        seconds = [statistics.median(r[0] for r in side) for side in (ours, theirs)]
        peaks = [max(r[1] for r in side) / 1e6 for side in (ours, theirs)]
        print(f"| {name} | {seconds[0]:.2f} s | {peaks[0]:.0f} MB | {seconds[1]:.2f} s | {peaks[1]:.0f} MB "
              f"| {statistics.median(times):.1f} ({times[0]:.1f} to {times[-1]:.1f}) | 1/{peaks[1] / peaks[0]:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
