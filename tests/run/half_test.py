"""Random documents in bfloat16 and float16 against the formulas, each stage from the program's stages before it (tests/oracle/half.py);
equal bytes whatever is traced and on any number of threads; what has no half precision is refused by name."""
import json
import os
import random
import subprocess
import sys
import tempfile

try:
    import numpy  # noqa: F401
except ImportError:
    print("needs numpy")
    sys.exit(77)

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.environ["ATTN_SOURCE"], "tests", "oracle"))
import generate  # noqa: E402
import half  # noqa: E402
from compare import Program  # noqa: E402
from tensors import tensor  # noqa: E402

PROGRAM = os.environ["ATTN_PROGRAM"]
COUNT = 20 if os.environ.get("ATTN_SANITIZE") == "ON" else 150
WITHOUT = ("linear", "delta", "differential")
BY_NAME = ["head_outputs", "lse", "mean_weights"]
failures = []


def check(what, found, wanted):
    if found != wanted:
        failures.append(f"{what}: {found!r}, expected {wanted!r}")


def documents(kind, first):
    for n in range(first, first + COUNT):
        yield json.loads(json.dumps(dict(generate.document(random.Random(n), 12, None, WITHOUT), dtype=kind)))


def all_stages(program, document):
    """The stages of a trace, those that are shown by name too."""
    status, errors, traces = program.run([document], [])
    if status != 0:
        return status, errors, None
    shown = list(traces[0]["stages"])
    given = program.run([document], ["--stages", ",".join(shown + [n for n in BY_NAME if can_show(n, document, shown)])])
    return given[0], given[1], given[2][0] if given[2] else None


def can_show(name, document, shown):
    if name == "head_outputs":
        return "output" in shown and "normed_concat" not in shown
    return name == "mean_weights" or document.get("normalize", "softmax") == "softmax"


def formulas(program, kind):
    exact = numbers = 0
    for n, document in enumerate(documents(kind, 1)):
        status, errors, trace = all_stages(program, document)
        if trace is None:
            failures.append(f"{kind}, document {n + 1}: exit {status}: {errors.strip()[:300]}")
            continue
        failure, same, count = half.judge(document, trace, kind)
        exact, numbers = exact + same, numbers + count
        if failure:
            failures.append(f"{kind}, document {n + 1}: {failure}\n  {json.dumps(document)[:400]}")
    print(f"{kind}: {numbers} numbers of {COUNT} documents, {exact / max(numbers, 1):.4%} equal to the last bit")
    check(f"{kind}: nearly all numbers are equal", exact > 0.999 * numbers, True)


def parts(program, kind):
    """What else is traced, and how many threads there are, changes no number."""
    for document in list(documents(kind, 1000))[:COUNT // 5]:
        whole = all_stages(program, document)[2]["stages"]
        for name in [n for n in ("context", "output", "weights", "mean_weights", "lse") if n in whole]:
            for threads in ("1", "2"):
                alone = program.run([document], ["--stages", name, "--threads", threads])[2][0]
                check(f"{kind}: {name} alone, {threads} threads", alone["stages"][name]["data"], whole[name]["data"])
        row = program.run([document], ["--stages", "context", "--rows", "0", "--heads", "0"])[2][0]["stages"]["context"]["data"]
        check(f"{kind}: one row of one head", [[[r for r in h[:1]] for h in b[:1]] for b in whole["context"]["data"]], row)


def long_rows(folder):
    """Keys enough to be packed, and for the paths of float32 that keep no stage."""
    rng = random.Random(3)
    rows = [[[round(rng.gauss(0, 1), 3) for _ in range(16)] for _ in range(300)] for _ in range(2)]
    for kind in ("bfloat16", "float16"):
        file = os.path.join(folder, kind + ".json")
        with open(file, "w", encoding="utf-8") as out:
            json.dump({"dtype": kind, "causal": True, "queries": rows, "keys": rows, "values": rows}, out)

        def context(*options, file=file):
            return json.loads(subprocess.run([PROGRAM, file, "-f", "json", *options], capture_output=True, check=True).stdout)["stages"]["context"]["data"]
        whole = context()
        for options in (["--stages", "context"], ["--stages", "context", "--threads", "2"], ["--stages", "weights,context"]):
            check(f"{kind}: {options}", context(*options), whole)
        check(f"{kind}: a row", context("--stages", "context", "--rows", "299")[0][1][0], whole[0][1][299])


def formats(folder):
    """Files of tensors hold the numbers of the JSON trace, in the type where the format has it."""
    document = next(documents("float16", 5))
    file = os.path.join(folder, "formats.json")
    with open(file, "w", encoding="utf-8") as out:
        json.dump(document, out)
    for kind, npz, stored in (("float16", "<f2", "F16"), ("bfloat16", "<f4", "BF16")):
        def run(*options, kind=kind):
            return subprocess.run([PROGRAM, file, "--dtype", kind, *options], capture_output=True, check=True).stdout
        trace = json.loads(run("-f", "json"))
        check(f"{kind}: the plan", (trace["plan"]["dtype"], trace["plan"]["rounding"]["sums"]), (kind, "float32"))
        wanted = {n: tensor(s["data"]).astype(numpy.float32) for n, s in trace["stages"].items()}
        for name in ("a.npz", "a.safetensors"):
            run("-o", os.path.join(folder, name))
        with numpy.load(os.path.join(folder, "a.npz")) as arrays:
            for name, want in wanted.items():
                check(f"{kind}, npz: {name}", (arrays[name].dtype.str, numpy.array_equal(arrays[name].astype(numpy.float32), want, equal_nan=True)), (npz, True))
        with open(os.path.join(folder, "a.safetensors"), "rb") as data:
            size = int.from_bytes(data.read(8), "little")
            header, body = json.loads(data.read(size)), data.read()
        for name, want in wanted.items():
            begin, end = header[name]["data_offsets"]
            bits = numpy.frombuffer(body[begin:end], "<u2")
            numbers = bits.view("<f2") if kind == "float16" else (bits.astype("<u4") << 16).view("<f4")
            check(f"{kind}, safetensors: {name}", (header[name]["dtype"], numpy.array_equal(numbers.astype(numpy.float32).reshape(want.shape), want, equal_nan=True)), (stored, True))
        check(f"{kind}: a pipe has the file's bytes", run("-f", "npz") == open(os.path.join(folder, "a.npz"), "rb").read(), True)
        check(f"{kind}: as PyTorch prints it", f"dtype=torch.{kind})" in run("-f", "torch").decode(), True)


def refusals(folder):
    plain = {"dtype": "bfloat16", "embeddings": [[1.0, 2.0]]}
    state = {"queries": [[1.0]], "keys": [[1.0]], "values": [[1.0]], "dtype": "float16"}
    pairs = {"queries": [[[1.0]], [[1.0]]], "keys": [[[1.0]], [[1.0]]], "values": [[1.0]], "dtype": "float16"}
    for document, options, word in (
            (dict(plain, gradient="ones"), [], "a backward pass"), (dict(state, variant="linear"), [], '"linear"'),
            (dict(pairs, variant="differential", **{"lambda": 0.5}), [], '"differential"'),
            (dict(plain, dtype="float16", embeddings=[[70000.0]]), [], "above the largest float16 (65504)"),
            (plain, ["-f", "xlsx", "-o", "x.xlsx"], "a workbook"), (plain, ["-o", "x.html"], "a page")):
        kind = document["dtype"]
        file = os.path.join(folder, "refused.json")
        with open(file, "w", encoding="utf-8") as out:
            json.dump(document, out)
        done = subprocess.run([PROGRAM, file, *options], capture_output=True, text=True, check=False, cwd=folder)
        check(f"{word}: exit", done.returncode, 3)
        check(f"{word} in {done.stderr!r}", word in done.stderr and kind in done.stderr, True)
    for command in ("explain", "blindspots"):
        done = subprocess.run([PROGRAM, command, file], capture_output=True, text=True, check=False)
        check(f"{command}: exit", (done.returncode, f"attn-calc {command} is there" in done.stderr), (3, True))


def main():
    with tempfile.TemporaryDirectory() as folder:
        program = Program(PROGRAM, folder)
        for kind in ("bfloat16", "float16"):
            formulas(program, kind)
            parts(program, kind)
        long_rows(folder)
        formats(folder)
        refusals(folder)
    for failure in failures[:20]:
        print(failure)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


sys.exit(main())
