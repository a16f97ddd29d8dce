"""Mistakes made by an independent model (tests/oracle/mistaken.py): are they named, and nothing where there is none?

Some hundred random inputs; `--count N --seed S` takes any number. Prints what was confused with what.
"""
import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
except ImportError:
    print("needs numpy")
    sys.exit(77)

SOURCE = os.environ.get("ATTN_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests", "oracle"))
import mistaken  # noqa: E402

LAST = ("output", "concat", "context")
EMPTY = (None, "nan", "uniform")


def last_of(stages):
    return next(name for name in LAST if name in stages)


def differs(a, b, by):
    """Some number differs by more than `by`; NaN and infinities are equal to themselves."""
    if a.shape != b.shape:
        return True
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= by * (1 + np.abs(b)))
    return not same.all()


def make(doc, ids, seed, empty=None):
    with np.errstate(all="ignore"):
        return mistaken.stages(doc, ids, np.random.default_rng(seed), empty)


class Case:
    def __init__(self, kind, doc, ids, made, seed, empty, given):
        self.kind, self.doc, self.ids, self.made = kind, doc, ids, made
        self.seed, self.empty, self.given = seed, empty, given

    def line(self):
        stages = {}
        for name in self.given:
            numbers = np.asarray(self.made[name], np.float32).ravel().tolist()
            stages[name] = [x if np.isfinite(x) else "NaN" if x != x else "Infinity" if x > 0 else "-Infinity" for x in numbers]
        return json.dumps({"input": self.doc, "stages": stages, "pairs": True})

    def right(self, report):
        """The mistake is named first and alone; what gives the same numbers counts as the same mistake."""
        named = [{c["id"], *c["with"]} for c in report["causes"]]
        if self.kind in ("none", "unknown"):
            return not named
        if not named:
            return False
        if named == [set(self.ids)] or self.kind == "inherited" and named[0] == set(self.ids):
            return True
        if self.kind == "pair":
            named = named[:1]
        # d_model is the width of the embeddings to some, and that of all heads to others.
        ways = [(n, {i.replace("scale_d_model", "scale_d_model:d_in") for i in n}) for n in named]
        return all(n == set(self.ids) or self.gives_the_same(n) or other != n and self.gives_the_same(other) for n, other in ways)

    def gives_the_same(self, ids):
        for empty in EMPTY:
            for seed in range(self.seed, self.seed + (30 if "init_order" in ids else 12)):
                try:
                    other = make(self.doc, ids, seed, empty)
                except (mistaken.CannotBeMade, AssertionError):
                    return False
                if not any(differs(np.asarray(other[n]), np.asarray(self.made[n]), 2e-5) for n in self.given):
                    return True
        return False


def case_of(kind, rng):
    """A random document with a mistake that shows; the stages that are given away."""
    while True:
        doc = mistaken.document(rng)
        seed = int(rng.integers(1 << 30))
        right = make(doc, (), seed)
        last = last_of(right)
        empty = EMPTY[rng.integers(3)]
        if differs(make(doc, (), seed, "nan")[last], right[last], 1e-3) or \
                differs(make(doc, (), seed, "uniform")[last], make(doc, (), seed, "zero")[last], 1e-3):
            empty = None  # another way with rows that see no key would be a second mistake
        given = [last]
        draw = rng.random()
        if draw < 0.2:
            given = ["weights", last]
        elif draw < 0.35:
            given = ["queries", "keys", "values", "scores", "weights", "context", last]
        given = list(dict.fromkeys(given))
        if kind == "none":
            return Case(kind, doc, (), right, seed, None, given)
        if kind == "inherited":
            case = inherited(doc, seed, rng)
            if case is None:
                continue
            return case
        if kind == "unknown":
            return unknown(doc, right, seed, rng, given, last)
        ids = rng.choice(mistaken.ALL if kind == "single" else mistaken.SINGLE, 1 if kind == "single" else 2, replace=False).tolist()
        if kind == "pair" and any(i.startswith(("rounded", "dropout", "empty_row")) or i in mistaken.ALONE for i in ids):
            continue
        if ids == ["one_head"]:
            given = [last]  # its other stages have one head
        if ids == ["dropout_left_on"]:
            given = list(dict.fromkeys(["weights", last]))
        try:
            made = make(doc, ids, seed, empty)
            parts = [make(doc, [i], seed, empty) for i in ids] if kind == "pair" else []
        except mistaken.CannotBeMade:
            continue
        if kind == "pair" and all(i.startswith("scale") or i == "no_scale" for i in ids):
            continue  # one number cannot be wrong in two ways
        if ids == ["dropout_left_on"] and not (made["weights"][right["weights"] > 1e-3] == 0).any():
            continue
        by = 2e-4 if ids[0].startswith("rounded") else 1e-3
        if last not in made or not np.isfinite(made[last]).any() or not differs(made[last], right[last], by):
            continue
        if any(not differs(made[last], p[last], 1e-3) for p in parts) or \
                any(not differs(p[last], right[last], 1e-3) for p in parts):
            continue
        return Case(kind, doc, tuple(ids), made, seed, empty, given)


LATER = ["no_scale", "exp2", "merge_without_transpose", "mask_fill_zero", "no_output_bias", "weights_transposed"]


def inherited(doc, seed, rng):
    """Queries that are wrong in an unknown way, and a known mistake in a stage after them; all stages are given."""
    other = json.loads(json.dumps(doc))
    if "init" in other["weights"]:
        return None
    row = other["weights"]["W_query"][0]
    row[rng.integers(len(row))] += 0.3
    ids = (LATER[rng.integers(len(LATER))],)
    try:
        made, alone = make(other, ids, seed), make(other, (), seed)
    except mistaken.CannotBeMade:
        return None
    names = [n for n in ("queries", "keys", "values", "scores", "weights", "context") if n in made] + [last_of(made)]
    if not any(differs(made[n], alone[n], 1e-3) for n in names):
        return None
    return Case("inherited", doc, ids, made, seed, None, list(dict.fromkeys(names)))


def unknown(doc, right, seed, rng, given, last):
    """A number of the input, or of the result, that is not what it should be."""
    other = json.loads(json.dumps(doc))
    size = float(10 ** rng.uniform(-2, 0.5))
    literal = [k for k in other["weights"] if k[0] == "W"] if "init" not in other["weights"] else []
    choice = rng.integers(3)
    if choice == 0 and literal:
        matrix = other["weights"][literal[rng.integers(len(literal))]]
        row = matrix[rng.integers(len(matrix))]
        row[rng.integers(len(row))] += size
        made = make(other, (), seed)
    elif choice == 1:
        rows = other["embeddings"][0]
        rows[rng.integers(len(rows))][0] += size
        made = make(other, (), seed)
    else:
        made = dict(right)
        noise = rng.normal(0, size, right[last].shape).astype(np.float32)
        made[last] = right[last] + noise * (rng.random(noise.shape) < 0.3)
    return Case("unknown", doc, (), made, seed, None, given)


def ask(program, cases):
    run = subprocess.run([program, "causes"], input="".join(c.line() + "\n" for c in cases), capture_output=True, text=True,
                         check=False)
    if run.returncode:
        sys.exit(run.stdout[-2000:] + run.stderr[-2000:])
    return [json.loads(line) for line in run.stdout.splitlines()]


def by_command(count, rng):
    """The same through attn-calc diff: its JSON names the mistake, its exit status says that there is one."""
    wrong = 0
    for k in range(count):
        case = case_of(("single", "single", "none", "unknown")[k % 4], rng)
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = os.path.join(folder, "ours.json"), os.path.join(folder, "theirs.json")
            last = case.given[-1]
            case.given = [last]
            numbers = np.asarray(case.made[last], np.float32)
            if not np.isfinite(numbers).all():
                continue
            with open(ours, "w") as file:
                json.dump(case.doc, file)
            with open(theirs, "w") as file:
                json.dump({last: numbers.tolist()}, file)
            run = subprocess.run([os.environ["ATTN_PROGRAM"], "diff", theirs, ours, "-f", "json"], capture_output=True,
                                 text=True, check=False)
        if run.returncode not in (0, 1):
            print(f"diff: exit {run.returncode}: {run.stderr[:300]}")
            wrong += 1
            continue
        report = json.loads(run.stdout)
        causes = [{"id": c["id"], "with": c.get("with", []), "fits": c["fits"]} for c in report.get("causes", [])]
        # What dropout left out cannot be told from every output.
        if case.ids == ("dropout_left_on",):
            continue
        good = (run.returncode == 0) == (case.kind == "none") and case.right({"causes": causes})
        good = good and all(c["fits"] == [last] for c in causes)
        if not good:
            print(f"diff: {case.ids or case.kind}: exit {run.returncode}, {causes}")
            wrong += 1
    print(f"by attn-calc diff: {count - wrong} of {count} right")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default="single,pair,none,unknown,inherited")
    parser.add_argument("--tool", help="the attn-mistakes that is asked")
    parser.add_argument("--keep", help="a folder for the inputs that went wrong")
    options = parser.parse_args()
    program = options.tool or os.path.join(os.path.dirname(os.path.dirname(os.environ["ATTN_PROGRAM"])), "attn-mistakes")
    sanitized = os.environ.get("ATTN_SANITIZE") == "ON"
    count = 30 if sanitized and options.count == 400 else options.count
    rng = np.random.default_rng(options.seed)
    shares = {"single": 1.0, "pair": 0.15, "none": 0.25, "unknown": 0.25, "inherited": 0.15}
    least = {"single": 0.99, "pair": 0.9, "none": 1.0, "unknown": 1.0, "inherited": 0.9}
    failed = 0
    for kind in options.kinds.split(","):
        start = time.monotonic()
        cases = [case_of(kind, rng) for _ in range(max(8, int(count * shares[kind])))]
        made = time.monotonic() - start
        reports = ask(program, cases)
        wrong = []
        confused = collections.Counter()
        for case, report in zip(cases, reports):
            if "error" in report:
                sys.exit("refused: " + report["error"] + "\n" + case.line()[:2000])
            if not case.right(report):
                wrong.append(case)
                said = [" + ".join([c["id"], *c["with"]]) for c in report["causes"]] or report["findings"][:1] or ["nothing"]
                confused[(" + ".join(case.ids) or kind, " | ".join(said[:4]))] += 1
        share = 1 - len(wrong) / len(cases)
        seconds = [r["seconds"] for r in reports]
        print(f"{kind}: {len(cases) - len(wrong)} of {len(cases)} right ({100 * share:.1f} %), "
              f"{sum(seconds):.1f} s, at most {max(seconds):.2f} s; {made:.0f} s to make them")
        for (ids, said), n in sorted(confused.items()):
            print(f"  {n} x {ids}: said {said}")
        if share < least[kind]:
            failed += 1
        for k, case in enumerate(wrong if options.keep else []):
            os.makedirs(options.keep, exist_ok=True)
            with open(os.path.join(options.keep, f"{kind}{k}.json"), "w") as file:
                file.write(json.dumps({"ids": case.ids, "seed": case.seed, "empty": case.empty, **json.loads(case.line())}))
    if "ATTN_PROGRAM" in os.environ and by_command(40, rng) > 1:
        failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
