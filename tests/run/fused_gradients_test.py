"""The fused backward pass, taken where no gradient of queries x keys is shown, against the stage by stage one, which gradients_oracle holds against
the formulas: random documents of many keys, every option. And its own promises: zeros, threads, selections."""
import json
import math
import os
import random
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ["ATTN_SOURCE"], "tests", "oracle"))
try:
    import generate
except ImportError:
    print("needs numpy")
    sys.exit(77)

PROGRAM = os.environ["ATTN_PROGRAM"]
CELLS = {"d_" + name for name in ("scores", "scaled_scores", "capped_scores", "biased_scores", "masked_scores", "weights", "masked_weights",
                                  "renormalized_weights", "dropped_weights", "differential_weights")}
COUNT, WANTED = (60, 2) if os.environ.get("ATTN_SANITIZE") == "ON" else (400, 8)
failures = []


def check(ok, text):
    if not ok:
        failures.append(text)
        print("FAIL " + text)


def call(document, *flags):
    return subprocess.run([PROGRAM, *flags, "-"], input=json.dumps(document).encode(), capture_output=True, check=False)


def trace(document, names, *flags):
    done = call(document, "run", "-q", "-f", "json", "--stages", ",".join(names), *flags)
    check(done.returncode == 0, f"{done.stderr.decode()[:400]}")
    return {name: stage["data"] for name, stage in json.loads(done.stdout)["stages"].items()}


def flat(data):
    if isinstance(data, list):
        return [x for part in data for x in flat(part)]
    return [float(data)]


def backward_path(document, names):
    return json.loads(call(document, "check", "-f", "json", "--stages", ",".join(names)).stdout)["cost"]["backward_path"]


def agree(fused, whole, tolerance, where):
    for name, data in fused.items():
        ours, theirs = flat(data), flat(whole[name])
        largest = max((abs(x) for x in theirs if math.isfinite(x)), default=0)
        for k, (x, y) in enumerate(zip(ours, theirs)):
            near = x == y or (math.isnan(x) and math.isnan(y)) or abs(x - y) <= tolerance * (1 + largest)
            check(near, f"{where}: {name}, number {k}: {x}, stage by stage {y}")
            if not near:
                return
        check(not any(x == 0 and math.copysign(1, x) < 0 for x in ours), f"{where}: {name} has -0")
        if name in ("d_keys", "d_values", "d_queries") and name in whole:
            check(all(x == 0 for x, y in zip(ours, theirs) if y == 0), f"{where}: {name}: what is 0 for sure")


def documents():
    """Random ones; a third with a mask's edge, few heads or many."""
    for seed in range(COUNT):
        document = generate.document(random.Random(seed), 130, None, ("keras", "additive", "linear", "delta", "differential", "dropout"), gradient=True)
        yield seed, json.loads(json.dumps(document))


def random_documents():
    found = 0
    for seed, document in documents():
        if found == WANTED:
            break
        planned = call(document, "check", "-f", "json")
        if planned.returncode != 0:
            continue
        names = [s["name"] for s in json.loads(planned.stdout)["stages"] if s["name"].startswith("d_")]
        plain, cells = [n for n in names if n not in CELLS], [n for n in names if n in CELLS]
        if not plain or not cells or backward_path(document, plain) != "fused":
            continue
        found += 1
        document["dtype"] = "float64"
        whole = trace(document, plain + cells[:1])
        agree(trace(document, plain), whole, 1e-9, f"seed {seed}")
        document["dtype"] = "float32"
        agree(trace(document, plain), trace(document, plain + cells[:1]), 2e-3, f"seed {seed}, float32")
    check(found == WANTED, f"{found} documents were fused")


def drawn(shape, seed):
    return {"init": "torch.randn", "seed": seed, "shape": shape}


def given(batch, heads, kv, n, dim, **options):
    shapes = (("queries", heads), ("keys", kv), ("values", kv))
    return {"variant": "grouped_query", "gradient": {"context": drawn([batch, heads, n, dim], 4)}} | {
        name: drawn([batch, h, n, dim], seed) for seed, (name, h) in enumerate(shapes, 1)} | options


THREE = ["d_queries", "d_keys", "d_values"]


def threads_and_selections():
    for document in (given(1, 2, 1, 300, 24, causal=True), given(2, 8, 4, 200, 16, window={"left": 40, "right": 3})):
        check(backward_path(document, THREE) == "fused", "queries, keys and values alone")
        runs = [call(document, "run", "-q", "-f", "json", "--threads", str(k), "--stages", ",".join(THREE)).stdout for k in (1, 2, 3)]
        check(len(runs[0]) > 1000 and runs[0] == runs[1] == runs[2], "the same bits with 1, 2 and 3 threads")
        events = [call(document, "run", "-q", "-f", "ndjson", "--threads", str(k), "--stages", ",".join(THREE)).stdout for k in (1, 3)]
        check(events[0] == events[1], "events in one order")
        whole = trace(document, THREE)
        for name in THREE:
            check(trace(document, [name]) == {name: whole[name]}, f"{name} alone")
        part = trace(document, THREE, "--rows", "5,100,101,130", "--heads", "1")
        rows = [5, 100, 101, 130]
        check(part["d_queries"] == [[[item[1][i] for i in rows]] for item in whole["d_queries"]], "rows of d_queries")
        kv = 0
        check(part["d_keys"] == [[item[kv]] for item in whole["d_keys"]] and part["d_values"] == [[item[kv]] for item in whole["d_values"]],
              "sums of the whole run")
        check(trace(document, ["d_queries"], "--rows", "5,100,101,130", "--heads", "1")["d_queries"] == part["d_queries"], "rows alone")
        if document.get("causal"):
            check(all(x == 0 and math.copysign(1, x) == 1 for item in whole["d_queries"] for head in item for x in head[0]),
                  "the first query learns nothing")


def rows_cut_cost():
    document = given(1, 4, 4, 512, 16, causal=True)
    def flops(*flags):
        return json.loads(call(document, "check", "-f", "json", *flags).stdout)["cost"]["flops"]
    whole = flops("--stages", "d_queries")
    check(flops("--stages", "d_queries", "--rows", "0:63") < whole / 7, "rows cut what d_queries costs")
    check(flops("--stages", "d_values") < flops("--stages", "d_keys"), "d_values alone needs no gradient of the weights")
    check(flops("--stages", "d_keys", "--rows", "0:63") == flops("--stages", "d_keys"), "sums are of all rows")


for test in (random_documents, threads_and_selections, rows_cut_cost):
    test()
print(f"fused gradients: {'ok' if not failures else str(len(failures)) + ' failures'}")
sys.exit(1 if failures else 0)
