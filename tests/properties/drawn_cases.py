"""What the properties share: random documents of tests/oracle/generate.py, the program, traces as arrays, and a failure
that is told with its seed and the smallest document that fails in the same way.

A property is a function check(tools, document, rng) that raises Wrong. Its script takes --count, --seed and --size.
"""
import collections
import json
import os
import random
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import NOT_FINITE, SANITIZED, SOURCE, execute, json_values, parser_of, program_of  # noqa: E402

try:
    import numpy as np
except ImportError:
    print("needs numpy")
    sys.exit(77)
sys.path.insert(0, os.path.join(SOURCE, "tests", "oracle"))
import generate  # noqa: E402
import shrink  # noqa: E402


class Wrong(Exception):
    """What does not hold: failures of one `kind` are told once."""

    def __init__(self, kind, text=""):
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind = kind


class Tools:
    """The program in a folder of its own."""

    def __init__(self, program, folder):
        self.program, self.folder, self.calls = program, folder, 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
        return name

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def call(self, *words, stdin=None, seconds=60.0):
        """Any exit of the contract; never a signal, a defect or a hang."""
        self.calls += 1
        done = execute([self.program, *words], self.folder, stdin, seconds)
        if done.status is None:
            raise Wrong(f"{words[0]} does not end", " ".join(words))
        if done.died:
            raise Wrong(f"{words[0]}: a defect", f"{' '.join(words)}: exit {done.status} {done.said[-400:]}")
        return done

    def good(self, *words, status=0):
        done = self.call(*words)
        if done.status != status:
            raise Wrong(f"{words[0]}: exit {done.status}, expected {status}", f"{' '.join(words)}: {done.said[:400]}{done.text[:400]}")
        return done

    def trace(self, file, *words):
        """The JSON trace of a run, its stages as arrays."""
        return with_arrays(json_values(self.good("run", file, "-q", "-f", "json", *words).out)[0])


def array(data, dtype):
    """Nested numbers of a trace, in their own type."""
    def plain(x):
        return [plain(v) for v in x] if isinstance(x, list) else NOT_FINITE[x] if isinstance(x, str) else x
    return np.array(plain(data), dtype=np.float64).astype(dtype)


def with_arrays(trace):
    for stage in trace["stages"].values():
        stage["array"] = array(stage["data"], stage["dtype"]).reshape(stage["shape"])
    return trace


def stages_of(tools, file):
    """All stages that a document has, those on request too."""
    return [line.split()[0] for line in tools.good("run", file, "-q", "--stages=").text.splitlines() if line.strip()]


def same(a, b):
    """Equal shapes and numbers; every NaN is as good as another."""
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=True)


def first_difference(a, b):
    if a.shape != b.shape:
        return f"{a.shape} and {b.shape}"
    at = tuple(int(k) for k in np.argwhere(~((a == b) | (np.isnan(a) & np.isnan(b))))[0])
    return f"{list(at)}: {a[at]!r} and {b[at]!r}"


def need_same(kind, found, expected):
    if not same(found, expected):
        raise Wrong(kind, first_difference(found, expected))


def pick(rng, n):
    """Some of n indices, as a selection has them."""
    return sorted(rng.sample(range(n), rng.randint(1, n)))


def spoken(indices):
    return ",".join(map(str, indices))


def verdict(check, tools, document, seed):
    """Wrong, or None."""
    try:
        check(tools, json.loads(json.dumps(document)), random.Random(seed))
    except Wrong as wrong:
        return wrong
    except (ValueError, KeyError, IndexError, TypeError, AssertionError, OSError) as error:
        return Wrong(f"an answer that cannot be read: {type(error).__name__}", str(error))
    return None


def smallest(check, tools, document, seed, kind, seconds=20.0):
    end = time.monotonic() + seconds

    def fails(candidate):
        if time.monotonic() > end:
            return False
        found = verdict(check, tools, candidate, seed)
        return found is not None and found.kind == kind

    return shrink.shrink(document, fails)


def run(check, description, count, size=6, width=5, heads=3, **draw):
    """The main function of a property; a tenth of the documents with sanitizers."""
    parser = parser_of(description)
    parser.add_argument("--count", type=int, default=max(5, count // 10) if SANITIZED else count, help="documents")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=size, help="largest number of tokens")
    parser.add_argument("--first", type=int, default=0, help="number of the first document")
    options = parser.parse_args()
    program = program_of(options)
    kinds = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(program, folder)
        for number in range(options.first, options.first + options.count):
            own = f"{options.seed}.{number}"
            document = generate.document(random.Random(options.seed * 1000003 + number), options.size, width=width, heads=heads, **draw)
            document["dtype"] = random.Random(own).choice(("float32", "float64"))
            wrong = verdict(check, tools, document, own)
            if wrong is None:
                continue
            kinds[wrong.kind] += 1
            if kinds[wrong.kind] == 1 and len(kinds) <= 8:
                small = smallest(check, tools, document, own, wrong.kind)
                print(f"FAIL document {number} of seed {options.seed}: {str(wrong)[:1500]}\n  smallest: {json.dumps(small)}\n"
                      f"  which says: {str(verdict(check, tools, small, own))[:1500]}", flush=True)
    for kind, times in kinds.most_common():
        print(f"{times} times: {kind}")
    print(f"seed {options.seed}, {options.count} documents, {tools.calls} runs of the program, {sum(kinds.values())} failed")
    return 1 if kinds else 0
