"""convert keeps names, order, shapes and numbers through any chain of formats, and --dtype rounds once, to nearest, ties to even."""
import sys

import drawn_cases as cases
from drawn_cases import Wrong, first_difference, np, same

sys.path.insert(0, cases.os.path.join(cases.SOURCE, "tests"))
import tensor_readers  # noqa: E402

FORMATS = ("json", "npz", "safetensors", "csv")


def read(tools, name):
    """{name: float64 array} in order"""
    if name.endswith(".npz"):
        held = np.load(tools.path(name))
        return {n: held[n].astype(np.float64) for n in held.files if n != "attn_calc.json"}
    if name.endswith(".safetensors"):
        held, _ = tensor_readers.safetensors(tools.read(name))
        return {n: widened(a) for n, a in held.items()}
    value = cases.json_values(tools.read(name))[0]
    return {n: plain(v) for n, v in value.items()}


def widened(a):
    return (a.astype("<u4") << 16).view("<f4").astype(np.float64) if a.dtype == np.uint16 else a.astype(np.float64)


def plain(v):
    if isinstance(v, dict):
        return cases.array(v["data"], "float64").reshape(v["shape"])
    return cases.array(v, "float64")


def rounded(a, dtype):
    with np.errstate(over="ignore"):
        if dtype != "bfloat16":
            return a.astype(dtype).astype(np.float64)
        bits = np.asarray(a, np.float64)
        mantissa, exponent = np.frexp(bits)
        unit = np.ldexp(1.0, np.maximum(exponent, -125) - 8)
        with np.errstate(invalid="ignore"):
            made = np.where(np.isfinite(bits), np.rint(bits / unit) * unit, bits)
        return np.where(np.abs(made) >= 2.0 ** 128, np.copysign(np.inf, made), made)


def as_text(a):
    """JSON and CSV have no types: the shortest text of a float32 is read as a float64."""
    if a.dtype == np.float64:
        return a
    return np.array([float(str(x)) for x in a.ravel()]).reshape(a.shape)


def as_csv(a):
    """A CSV has four axes: tokens and rows of `states` are one."""
    return a.reshape(a.shape[:2] + (-1, a.shape[-1])) if a.ndim == 5 else a


def check(tools, document, rng):
    tools.write("d.json", document)
    listed = cases.stages_of(tools, "d.json")
    names, stages = ",".join(listed), tools.trace("d.json", "--stages", ",".join(listed))["stages"]
    first = rng.choice((*FORMATS, "ndjson"))
    tools.good("run", "d.json", "-q", "--stages", names, "-o", f"c0.{first}")
    path, chain = f"c0.{first}", [first]
    dtype = rng.choice((None, None, "float16", "bfloat16", "float32"))
    for step in range(1, rng.randint(2, 4)):
        form = rng.choice(FORMATS)
        tools.good("convert", path, "-o", f"c{step}.{form}", "-q")
        path = f"c{step}.{form}"
        chain.append(form)
    text = "csv" in chain or "json" in chain[1:]  # a JSON trace has types
    expected = {n: as_text(s["array"]) if text else s["array"] for n, s in stages.items()}
    last = rng.choice(("json", "npz", "safetensors"))
    words = ["--dtype", dtype] if dtype else []
    tools.good("convert", path, "-o", f"last.{last}", "-q", *words)
    found = read(tools, f"last.{last}")
    what = f"{' -> '.join(chain + [last])} {dtype or ''}"
    if list(found) != list(expected):
        raise Wrong("convert: other names", f"{what}: {list(found)}")
    for name, numbers in expected.items():
        wanted = rounded(numbers, dtype) if dtype else as_text(numbers) if last == "json" else numbers
        if dtype and last == "json":
            wanted = as_text(wanted.astype(np.float32))
        if found[name].shape != wanted.shape and "csv" in chain:
            wanted = as_csv(wanted)
        if not same(found[name], wanted.astype(np.float64)):
            raise Wrong("convert: a shape or a number", f"{what} {name}: {first_difference(found[name], wanted)}")
    one = rng.choice(list(expected))
    tools.good("convert", path, "-o", "one.npy", "-q", "--stages", one)
    made = np.load(tools.path("one.npy")).astype(np.float64)
    if not same(made.reshape(-1), expected[one].reshape(-1)):
        raise Wrong("convert: one stage as npy", f"{what} {one}: {first_difference(made.reshape(-1), expected[one].reshape(-1))}")


if __name__ == "__main__":
    sys.exit(cases.run(check, __doc__, 120))
