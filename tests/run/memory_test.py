"""The peak of memory that `check` expects against what a run takes, and the two promises about long sequences."""
import json
import os
import re
import subprocess
import sys
import tempfile
import time

PROGRAM = os.environ["ATTN_PROGRAM"]
if os.environ.get("ATTN_SANITIZE") == "ON":
    print("sanitizers take memory of their own")
    sys.exit(77)


def drawn(shape, seed):
    return {"init": "torch.randn", "seed": seed, "shape": shape}


def given(n, heads=1, **options):
    return {"variant": "scaled_dot_product"} | {
        name: drawn([1, heads, n, 64], seed) for seed, name in enumerate(("queries", "keys", "values"), 1)} | options


def module(n, width, heads):
    return {"variant": "multi_head", "num_heads": heads, "causal": True, "embeddings": drawn([1, n, width], 1),
            "weights": {"init": "torch.nn.Linear", "seed": 2, "d_out": width, "out_proj": True}}


def program_alone():
    """Bytes of the program while it waits for its input. (The peak of a finished child says nothing about a small
    process: it counts this interpreter, which it was forked from.)"""
    with subprocess.Popen([PROGRAM, "check", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        time.sleep(0.2)
        with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
            found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
    return int(found[1]) * 1024


def peak(arguments):
    """Bytes of a whole process."""
    with subprocess.Popen([PROGRAM] + arguments, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    assert status == 0, arguments
    return usage.ru_maxrss * 1024


CASES = [  # name, document, arguments, bytes at most
    ("context of 65536 tokens, a window", given(65536, causal=True, window={"left": 255}), ["--stages", "context"], 200e6),
    ("one row of 131072 keys", given(131072), ["--stages", "context", "--rows", "7"], 200e6),
    ("one row of weights of 131072 keys", given(131072), ["--stages", "weights", "--rows", "7"], 200e6),
    ("12 heads", given(4096, 12, causal=True), ["--stages", "context"], None),
    ("double", given(16384, dtype="float64"), ["--stages", "context", "--rows", "0:512"], None),
    ("rope, a norm and a cache", given(16384, rope={}, qk_norm={"type": "rms"}, past_keys=drawn([1, 1, 16384, 64], 4),
                                       past_values=drawn([1, 1, 16384, 64], 5)), ["--stages", "context"], None),
    ("a state", {**given(8192, 2), "variant": "delta", "qk_norm": {"type": "l2"}, "decay": drawn([1, 1, 8192], 6)},
     ["--stages", "context", "--rows", "8000:8191"], None),
    ("a latent and its cache", {
        "variant": "latent", "num_heads": 8, "embeddings": drawn([1, 2048, 256], 1), "past_latent": drawn([1, 2048, 64], 2),
        "past_rope_keys": drawn([1, 1, 2048, 32], 3), "weights": {
            "W_query": drawn([256, 768], 4), "W_DKV": drawn([256, 64], 5), "W_UK": drawn([64, 512], 6),
            "W_UV": drawn([64, 512], 7), "W_KR": drawn([256, 32], 8)}}, ["--stages", "context"], None),
    ("a module", module(2048, 768, 12), ["--stages", "output"], None),
    ("gradients of 16384 tokens, 12 heads", given(16384, 12, causal=True, gradient={"context": drawn([1, 12, 16384, 64], 4)}),
     ["--stages", "d_queries,d_keys,d_values", "--threads", "2"], 300e6),
    ("gradients of a module", module(2048, 768, 12) | {"gradient": {"output": drawn([1, 2048, 768], 3)}}, ["--stages", "d_embeddings,d_W_key.weight"],
     None),
    ("weights of a module", module(4096, 512, 8), ["--stages", "weights", "--rows", "0:64"], None),
]


FILES = [  # stages of 8192 x 8192 numbers each, in a file and through a pipe
    ["-o", "trace.npz", "--stages", "weights,context"], ["-o", "trace.safetensors", "--stages", "weights"],
    ["-f", "npz", "--stages", "scores,weights,context"], *(
        ["-f", form, "--stages", "weights"] for form in ("json", "ndjson", "csv", "text", "torch", "md", "tex"))]
MOST_FOR_A_FILE = 100e6  # one such stage has 268 MB


def one_row_of_half(folder):
    """float16 queries, keys and values of 32 heads, and one row of one head: what is not read is not widened."""
    shape = (1, 32, 4096, 128)
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    header += f"{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    for name in ("queries", "keys", "values"):
        with open(os.path.join(folder, name + ".npy"), "wb") as file:
            file.write(header)
            file.truncate(len(header) + 2 * shape[1] * shape[2] * shape[3])
    document = {"variant": "scaled_dot_product", "causal": True, **{name: {"file": name + ".npy"} for name in ("queries", "keys", "values")}}
    with open(os.path.join(folder, "half.json"), "w", encoding="ascii") as file:
        json.dump(document, file)
    return peak([os.path.join(folder, "half.json"), "-q", "-f", "ndjson", "--heads", "3", "--rows", "5", "--stages", "weights,context"])


def main():
    failed = 0
    program = program_alone()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "document.json")
        for name, document, arguments, limit in CASES:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(document, file)
            plan = subprocess.run([PROGRAM, "check", "-f", "json", path] + arguments, capture_output=True, check=True)
            cost = json.loads(plan.stdout)["cost"]
            measured = peak([path, "-f", "ndjson"] + arguments)
            ratio = (measured - program) / cost["peak_bytes"]
            good = 0.8 <= ratio <= 1.2 and (limit is None or measured < limit)
            failed += not good
            print(f"{'ok  ' if good else 'FAIL'} {name} ({cost['path']}): expected {cost['peak_bytes'] / 1e6:.0f} MB, measured "
                  f"{(measured - program) / 1e6:.0f} MB beside the program's {program / 1e6:.0f} MB")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(given(8192), file)
        os.chdir(folder)
        for arguments in FILES:
            measured = peak([path, "-q", *arguments])
            failed += measured >= MOST_FOR_A_FILE
            print(f"{'ok  ' if measured < MOST_FOR_A_FILE else 'FAIL'} {' '.join(arguments)}: {measured / 1e6:.0f} MB")
        measured = one_row_of_half(folder)
        good = measured - program < 40e6  # whole and widened they are 201 MB
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} one row of one head of 32 in float16: {(measured - program) / 1e6:.0f} MB beside the program")
    print(f"{len(CASES) + len(FILES) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
