"""One edit of a document (a member or an element gone, twice, of another type, of another shape, or a file in its place)
never ends in a signal, a defect or a hang, is judged alike by every command, and what is accepted is computed as the
formulas of tests/oracle say. So is one edit of a trace that diff reads."""
import copy
import json
import os
import random
import sys

import drawn_cases as cases
from drawn_cases import Wrong, np

sys.path.insert(0, os.path.join(cases.SOURCE, "tests", "oracle"))
import judge  # noqa: E402

FILES = {"list.npy": np.array([0.5, 1.0, -2.0]), "flags.npy": np.array([[True, False], [True, True]]),
         "matrix.npy": np.array([[0.5, -1.0], [2.0, 0.25]]), "cube.npy": np.arange(8.0).reshape(2, 2, 2) / 4,
         "whole.npy": np.array([[1, 2], [0, 1]]), "scalar.npy": np.array(1.5), "empty.npy": np.zeros((0, 2)),
         "six.npy": np.ones((1, 1, 1, 2, 1, 2)), "nan.npy": np.array([[np.nan, 1.0], [0.0, -np.inf]]),
         "words.npy": np.array(["a", "b"]), "half.npy": np.array([[0.5, 1.5]], "f2"), "big.npy": np.array([[0.5, 1.5]], ">f8")}
WORDS = (None, True, False, 0, 1, -1, 2, 3, 1.5, -0.25, 1e308, 1e-320, 10 ** 20, "x", "", "NaN", "Infinity", "causal", [], {}, [[]], [0], [1, 2],
         [1, [2]], [[1], [2, 3]], [[[[[[1]]]]]], {"shape": [1], "data": [1]}, {"shape": [2, 2], "data": [1, 2, 3]},
         {"shape": [-1, 2], "data": []}, {"init": "torch.rand", "seed": 1, "shape": [2, 2]}, {"init": "torch.randn", "shape": [2]},
         {"file": "no.npy"}, {"file": 1}, {"file": "matrix.npy", "name": "x"})


class Twice(dict):
    """An object whose last member is written twice."""


def written(value):
    if isinstance(value, dict):
        members = [f"{json.dumps(k)}: {written(v)}" for k, v in value.items()]
        return "{" + ", ".join(members + members[-1:] if isinstance(value, Twice) else members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def paths(value, at=()):
    yield at
    if isinstance(value, dict):
        for key in value:
            yield from paths(value[key], at + (key,))
    elif isinstance(value, list):
        for key in range(len(value)):
            yield from paths(value[key], at + (key,))


def held(value, path):
    for key in path:
        value = value[key]
    return value


def reshaped(value, rng):
    """A tensor with an axis more or less, or with one row more or less."""
    way = rng.randrange(5)
    if not isinstance(value, list) or way == 0:
        return [value]
    if not value:
        return [0]
    if way == 1:
        return value[0]
    if way == 2:
        return value[:-1]
    return value + [copy.deepcopy(value[-1])] if way == 3 else [copy.deepcopy(value)] * 2


def similar(value, rng):
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return rng.choice((0, 1, 2, -value, value + 1, value / 2, value * 2, round(value)))
    return rng.choice(("rms", "layer", "interleaved", "half", "sum", "softmax", "zero", "uniform", "none", "scores", "weights", "tile", value))


def edit(document, rng):
    """(edited document, what was done)"""
    document = copy.deepcopy(document)
    # members as often as the many numbers
    every = [p for p in paths(document) if p]
    depth = rng.choice(sorted({len(p) for p in every}))
    path = rng.choice([p for p in every if len(p) == depth])
    owner, key = held(document, path[:-1]), path[-1]
    way = rng.choice(("delete", "replace", "similar", "similar", "twice", "shape", "shape", "file", "file", "name", "swap"))
    if way == "delete":
        del owner[key]
    elif way == "replace":
        owner[key] = copy.deepcopy(rng.choice(WORDS))
    elif way == "similar":
        scalars = [p for p in every if not isinstance(held(document, p), (dict, list, type(None)))]
        path = rng.choice([p for p in scalars if len(p) < 3] or scalars)
        owner, key = held(document, path[:-1]), path[-1]
        owner[key] = similar(owner[key], rng)
    elif way == "file":
        owner[key] = {"file": rng.choice(list(FILES))}
    elif way == "shape":
        owner[key] = reshaped(owner[key], rng)
    elif isinstance(owner, list):
        owner.insert(key, copy.deepcopy(owner[key]))
        way = "twice"
    elif way == "twice":
        value = owner.pop(key)
        owner[key] = value
        twice = Twice(owner)
        if len(path) == 1:
            return twice, f"twice: {path}"
        held(document, path[:-2])[path[-2]] = twice
    elif way == "name":
        owner[rng.choice((key + "s", key[:-1], key.upper(), "no_" + key))] = owner.pop(key)
    else:
        other = rng.choice(list(owner))
        owner[key], owner[other] = owner[other], owner[key]
    return document, f"{way}: {'/'.join(map(str, path))}"


def with_numbers(value):
    """The document with the numbers of its files."""
    if isinstance(value, dict):
        if set(value) == {"file"} and value["file"] in FILES:
            return FILES[value["file"]].tolist()
        return {k: with_numbers(v) for k, v in value.items()}
    if isinstance(value, int) and abs(value) > 2 ** 53:  # numpy has no such integers
        return float(value)
    return [with_numbers(v) for v in value] if isinstance(value, list) else value


def message(done, *files):
    text = (done.said.splitlines() or [""])[0]
    for name in files:
        text = text.replace(name, "FILE")
    return text


def need_refusal(done, words):
    """Exit 3 has one message with its place, and nothing on standard output."""
    if done.out and words[0] != "check":
        raise Wrong(f"{words[0]}: output before a refusal", f"{done.text[:200]}")
    if not done.said.startswith("attn-calc: error: "):
        raise Wrong(f"{words[0]}: exit 3 without its message", done.said[:300])


def check_document(tools, document, what):
    tools.write("e.json", written(document).encode())
    done = tools.call("run", "e.json", "-q", "-f", "json", "--dtype", "float64")
    if done.status not in (0, 3):
        raise Wrong(f"run: exit {done.status}", f"{what}: {done.said[:300]}")
    if done.status == 3:
        need_refusal(done, ("run",))
    for words in (("check",), ("explain",), ("blindspots",)):
        other = tools.call(*words, "e.json", "-q", "--dtype", "float64", "-f", "json")
        if other.status != done.status:
            raise Wrong(f"{words[0]}: exit {other.status} where run has {done.status}", f"{what}: {other.said[:300]}{done.said[:300]}")
        if other.status == 3:
            need_refusal(other, words)
            if message(other) != message(done):
                raise Wrong(f"{words[0]} refuses in other words than run", f"{what}: {message(other)} -- {message(done)}")
        else:
            cases.json_values(other.out)
    if done.status == 3:
        return
    plain = with_numbers(document)
    try:
        expected = judge.Expected(json.loads(json.dumps(plain)))
    except Exception as error:
        raise Wrong("accepted, but no formula has it", f"{what}: {type(error).__name__} {error}") from None
    failure = judge.judge(expected, cases.json_values(done.out)[0], "float64")
    if failure:
        raise Wrong(f"accepted, and {failure.kind} of {failure.stage}", f"{what}: {failure}")


def check(tools, document, rng):
    for name, array in FILES.items():
        np.save(tools.path(name), array)
    document["dtype"] = "float64"
    tools.write("d.json", document)
    tools.good("run", "d.json", "-q", "-o", "t.json")
    trace = cases.json_values(tools.read("t.json"))[0]
    for _ in range(4):
        edited, what = edit(document, rng)
        check_document(tools, edited, what)
    for _ in range(2):
        edited, what = edit(trace, rng)
        tools.write("t.json", written(edited).encode())
        for beside in (("t.json", "d.json"), ("d.json", "t.json")):
            done = tools.call("diff", *beside, "-f", "json")
            if done.status not in (0, 1, 2, 3):
                raise Wrong(f"diff: exit {done.status}", f"{what}: {done.said[:300]}")


if __name__ == "__main__":
    sys.exit(cases.run(check, __doc__, 150, size=3, width=3, heads=2, avoid=("seeded_dropout",)))
