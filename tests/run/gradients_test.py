"""What the cases of data/cases/gradients do not show: zeros, selections, threads, memory, formats and refusals of the backward pass."""
import csv
import io
import json
import math
import os
import re
import subprocess
import sys
import tempfile

PROGRAM = os.environ["ATTN_PROGRAM"]
failures = []


def check(ok, text):
    if not ok:
        failures.append(text)
        print("FAIL " + text)


def call(document, *flags):
    return subprocess.run([PROGRAM, *flags, "-"], input=json.dumps(document).encode(), capture_output=True, check=False)


def trace(document, *flags):
    done = call(document, "run", "-q", "-f", "json", *flags)
    check(done.returncode == 0, f"{flags}: {done.stderr.decode()[:400]}")
    return json.loads(done.stdout)


def drawn(shape, seed):
    return {"init": "torch.randn", "seed": seed, "shape": shape}


def flat(data):
    return [x for part in data for x in flat(part)] if isinstance(data, list) else [data]


def is_plus_zero(x):
    return x == 0 and math.copysign(1, x) == 1


CAUSAL = {"variant": "multi_head", "num_heads": 2, "causal": True, "embeddings": drawn([2, 7, 6], 1),
          "weights": {"init": "torch.nn.Linear", "seed": 2, "d_out": 4, "bias": True, "out_proj": True},
          "gradient": {"output": drawn([2, 7, 4], 3)}}
GIVEN = {"queries": drawn([2, 4, 5, 3], 1), "keys": drawn([2, 2, 6, 3], 2), "values": drawn([2, 2, 6, 3], 4),
         "variant": "grouped_query", "key_lengths": [6, 4], "dropout": {"p": 0.3, "seed": 5}, "gradient": {"context": drawn([2, 4, 5, 3], 6)}}


def zeros():
    stages = trace(CAUSAL)["stages"]
    n = 7
    for name in ("d_masked_scores", "d_scaled_scores", "d_scores"):
        for item in stages[name]["data"]:
            for head in item:
                for i in range(n):
                    for j in range(i + 1, n):
                        check(is_plus_zero(head[i][j]), f"{name}[{i},{j}] is {head[i][j]}: hidden")
    for item in stages["d_scores"]["data"]:
        for head in item:
            check(is_plus_zero(head[0][0]), "d_scores of a row that sees one key")
            for row in head:
                check(abs(sum(row)) < 1e-6 * (1 + max(map(abs, row))), "a row of d_scores sums to 0")
    for item in stages["d_queries"]["data"]:
        for head in item:
            check(all(is_plus_zero(x) for x in head[0]), "the first query learns nothing")
    stages = trace(GIVEN)["stages"]
    for name in ("d_keys", "d_values"):
        for head in stages[name]["data"][1]:
            check(all(is_plus_zero(x) for row in head[4:] for x in row), f"{name} of keys that nobody sees")
    first = [flat(stages[name]["data"][0]) for name in ("dropped_weights", "d_weights")]  # of the item that sees all keys
    check(0 in first[0], "dropout takes some")
    for kept, d in zip(*first):
        check(kept != 0 or is_plus_zero(d), "d_weights where dropout takes the weight")


def selections():
    whole = trace(CAUSAL)["stages"]
    part = trace(CAUSAL, "--rows", "2,5", "--heads", "1", "--batch", "1")["stages"]
    check(list(part) == list(whole), "the same stages")
    for name in ("d_output", "d_concat", "d_embeddings"):
        check(part[name]["data"] == [[whole[name]["data"][1][i] for i in (2, 5)]], f"rows of {name}")
    for name in ("d_context", "d_weights", "d_scores", "d_queries"):
        check(part[name]["data"] == [[[whole[name]["data"][1][1][i] for i in (2, 5)]]], f"rows of {name}")
    for name in ("d_keys", "d_values"):
        check(part[name]["data"] == [[whole[name]["data"][1][1]]], f"{name}: sums of the whole run")
    parameters = [name for name in whole if re.match(r"d_(W_|out_proj)", name)]
    check(len(parameters) == 8, f"parameters: {parameters}")
    for name in parameters:
        check(part[name]["data"] == whole[name]["data"], f"{name}: a sum of the whole run")
    one = trace(CAUSAL, "--stages", "d_queries,d_W_key.weight")["stages"]
    check(list(one) == ["d_queries", "d_W_key.weight"], f"chosen: {list(one)}")
    for name, stage in one.items():
        check(stage["data"] == whole[name]["data"], f"{name} alone")
    columns = trace(CAUSAL, "--cols", "3")["stages"]
    check(columns["d_keys"]["data"] == [[[h[3]] for h in item] for item in whole["d_keys"]["data"]], "a column of d_keys")


def threads():
    large = dict(CAUSAL, embeddings=drawn([2, 150, 6], 1), gradient={"output": drawn([2, 150, 4], 3)}, sinks=[0.5, -0.5],
                 position_bias=drawn([2, 150, 150], 7))
    runs = [call(large, "run", "-q", "-f", "json", "--threads", str(k), "--stages",
                 "d_scores,d_queries,d_keys,d_values,d_W_query.weight,d_embeddings,d_sinks,d_position_bias").stdout for k in (1, 2, 3)]
    check(len(runs[0]) > 1000 and runs[0] == runs[1] == runs[2], "the same bits with 1, 2 and 3 threads")


def memory():
    if os.environ.get("ATTN_SANITIZE") == "ON":
        return
    n = 2500
    document = {"variant": "scaled_dot_product", "causal": True, "gradient": {"context": drawn([1, 1, n, 8], 4)}} | {
        name: drawn([1, 1, n, 8], seed) for seed, name in enumerate(("queries", "keys", "values"), 1)}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "long.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump(document, file)
        words = [PROGRAM, "run", "-q", "--threads", "2", "--stages", "d_queries,d_keys,d_values", "-o", os.path.join(folder, "out.npz"), path]
        watch = ("import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); "
                 "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
        code, kilobytes = map(int, subprocess.run([sys.executable, "-c", watch, *words], capture_output=True, check=True).stdout.split())
        check(code == 0, "a long sequence")
        weights = n * n * 8 / 1024
        check(kilobytes < weights, f"{kilobytes} kB; the weights alone are {weights:.0f}")
        smaller = json.loads(call(dict(document), "check", "-f", "json", "--stages", "d_queries").stdout)
        check(smaller["cost"]["peak_bytes"] > n * 8 * 8, "check expects memory")


def formats():
    stages = trace(CAUSAL)["stages"]
    rows = list(csv.DictReader(io.StringIO(call(CAUSAL, "run", "-q", "-f", "csv").stdout.decode())))
    for name, stage in stages.items():
        check([float(r["value"]) for r in rows if r["stage"] == name] == [float(x) for x in flat(stage["data"])], f"csv: {name}")
        check(all((r["batch"] == "") == name.startswith(("d_W_", "d_out_proj")) for r in rows if r["stage"] == name), f"csv: batch of {name}")
    events = [json.loads(line) for line in call(CAUSAL, "run", "-q", "-f", "ndjson").stdout.decode().splitlines()]
    check({e["name"] for e in events if e["event"] == "stage"} == set(stages), "ndjson: stages")
    check(events[0]["order"] == list(stages), "ndjson: order")
    text = call(CAUSAL, "run", "-q").stdout.decode()
    check(all(f"\n{name} = " in text for name in stages), "text: stages")
    for form in ("torch", "md", "tex"):
        out = call(CAUSAL, "run", "-q", "-f", form, "--stages", "d_weights,d_W_query.weight").stdout.decode()
        check(out.count("W") > 0 and len(out) > 100, f"{form}: stages")
    picture = call(CAUSAL, "run", "-q", "-f", "svg", "--stages", "d_weights,d_W_query.weight").stdout.decode()
    check("d_weights" in picture and "d_W_query.weight" in picture, "svg: stages")
    page = call(CAUSAL, "run", "-q", "-f", "html").stdout.decode()
    check(all(f'"name": "{name}"' in page for name in stages), "html: stages")
    try:
        import numpy
    except ImportError:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "out.npz")
        call(CAUSAL, "run", "-q", "-o", path)
        with numpy.load(path) as arrays:
            for name, stage in stages.items():
                check(numpy.array_equal(arrays[name], numpy.array(stage["data"], arrays[name].dtype)), f"npz: {name}")
        check(call(CAUSAL, "check").stdout.decode().count("\nd_") == len([s for s in stages if s[:2] == "d_"]), "check: stages")


def words():
    ones = dict(CAUSAL, gradient="ones")
    check(trace(ones)["plan"]["gradient"]["loss"] == "sum" and "hides" in trace(ones)["plan"]["gradient"], "ones say what they hide")
    check(all(x == 1 for x in flat(trace(ones)["stages"]["d_output"]["data"])), "ones")
    check(call(CAUSAL, "explain").returncode == 0, "explain looks at the forward pass")
    for gradient, found in (({}, "is empty"), ("one", "ones"), ({"output": [[1, 2]]}, "expected [2, 7, 4]"), ({"loss": "mean_squared_error"}, "target"),
                            ({"loss": "sum", "output": drawn([2, 7, 4], 3)}, "stands beside"), ({"state": [[1]]}, "keeps none"),
                            ({"loss": "sum", "target": [[1]]}, "mean_squared_error"), ({"context": drawn([2, 2, 7, 3], 1)}, "expected [2, 2, 7, 2]")):
        done = call(dict(CAUSAL, gradient=gradient), "check")
        check(done.returncode == 3 and found in done.stderr.decode(), f"{gradient}: {done.stderr.decode()}")
    plain = {k: v for k, v in CAUSAL.items() if k != "gradient"}
    done = call(plain, "run", "--stages", "d_weights")
    check(done.returncode == 2 and "backward pass" in done.stderr.decode(), "a gradient that nobody asked for")


for test in (zeros, selections, threads, memory, formats, words):
    test()
print(f"gradients: {'ok' if not failures else str(len(failures)) + ' failures'}")
sys.exit(1 if failures else 0)
