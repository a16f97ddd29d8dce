#!/usr/bin/env python3
"""Many small documents to NDJSON: this program in turn with an older build of it and with a loop in PyTorch.

    documents.py [--program attn-calc] [--before attn-calc] [--torch 'PYTHON'] [--count 10000] [--rounds 5] [--threads 2]

Documents have --tokens 6 tokens and --heads 2 heads of a causal multi_head with an output projection. PYTHON runs a script in an
interpreter with PyTorch. Its loop is `documents.py --loop FILE`: it reads each line, computes and keeps every stage that the trace has and
writes them as a line of JSON; its time begins after PyTorch has been loaded and one document computed, ours with the process. The order
is turned round every other round, the first one is not measured; the table has medians, ratios those of ratios within a round.
"""
import argparse
import json
import math
import os
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time


def make(path, count, tokens, width, heads):
    rng = random.Random(1)

    def matrix(rows, columns):
        return [[round(rng.uniform(-1, 1), 4) for _ in range(columns)] for _ in range(rows)]

    with open(path, "w", encoding="ascii") as file:
        for _ in range(count):
            weights = {name: matrix(width, width) for name in ("W_query", "W_key", "W_value", "W_out")}
            json.dump({"variant": "multi_head", "num_heads": heads, "causal": True, "embeddings": matrix(tokens, width), "weights": weights}, file)
            file.write("\n")


def stages(torch, document):
    """Every stage of a document, in the axes of a trace."""
    x = torch.tensor(document["embeddings"])
    weights = {name: torch.tensor(rows) for name, rows in document["weights"].items()}
    n, heads = x.shape[0], document["num_heads"]
    q, k, v = (torch.matmul(x, weights[w]).view(1, n, heads, -1).transpose(1, 2) for w in ("W_query", "W_key", "W_value"))
    scores = q @ k.transpose(2, 3)
    scaled = scores / math.sqrt(q.shape[-1])
    masked = scaled.masked_fill(torch.triu(torch.ones(n, n, dtype=torch.bool), diagonal=1), -math.inf)
    probabilities = torch.softmax(masked, dim=-1)
    context = probabilities @ v
    concat = context.transpose(1, 2).reshape(1, n, -1)
    return {"queries": q, "keys": k, "values": v, "scores": scores, "scaled_scores": scaled, "masked_scores": masked,
            "weights": probabilities, "context": context, "concat": concat, "output": concat @ weights["W_out"]}


def loop(path, threads):
    """What a PyTorch script does: prints the seconds of all documents."""
    import torch  # pylint: disable=import-outside-toplevel,import-error
    torch.set_grad_enabled(False)
    torch.set_num_threads(threads)
    with open(path, encoding="utf-8") as file, open(os.devnull, "w", encoding="utf-8") as out:
        stages(torch, json.loads(file.readline()))
        file.seek(0)
        begin = time.perf_counter()
        for line in file:
            out.write(json.dumps({name: tensor.tolist() for name, tensor in stages(torch, json.loads(line)).items()}) + "\n")
        print(time.perf_counter() - begin)


def seconds_of(command):
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/app/attn-calc")
    parser.add_argument("--before")
    parser.add_argument("--torch")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=6)
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--loop", metavar="FILE")
    options = parser.parse_args()
    if options.loop:
        return loop(options.loop, options.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "documents.ndjson")
        make(path, options.count, options.tokens, options.width, options.heads)
        ways = {name: lambda p=program: seconds_of([p, path, "-f", "ndjson", "--threads", str(options.threads)])
                for name, program in (("attn-calc", options.program), ("attn-calc before", options.before)) if program}
        if options.torch:
            command = [*shlex.split(options.torch), os.path.abspath(__file__), "--loop", path, "--threads", str(options.threads)]
            ways["PyTorch loop"] = lambda: float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        found = {name: [] for name in ways}
        for number in range(options.rounds + 1):
            for name in ways if number % 2 == 0 else reversed(ways):
                seconds = ways[name]()
                if number > 0:
                    found[name].append(seconds)
    print(f"| {options.count} documents | seconds | microseconds a document | times ours |\n| --- | ---: | ---: | ---: |")
    for name, times in found.items():
        ratio = statistics.median(t / ours for t, ours in zip(times, found["attn-calc"]))
        print(f"| {name} | {statistics.median(times):.3f} | {statistics.median(times) / options.count * 1e6:.1f} | {ratio:.2f} |")
    return None


if __name__ == "__main__":
    sys.exit(main())
