"""Runs the program on random documents and compares every stage with the oracle.

    compare.py --program PATH [--count 300] [--seed 1] [--only variant,variant] [--without option,option]
               [--size 12] [--keep FOLDER] [--failures 10] [--gradients]

Each document is run in float64 with all stages, with `--stages context`, `output`, `head_outputs`, `states`, `lse`, `mean_weights` where there
are such, with some of its rows and batch items, and in float32. --without names options of generate.py, or a name of
draw_weights.projections' families, that are not to be drawn. --gradients gives each document a "gradient", and compares the d_
stages with backward.py. --keep writes each failing and each smallest document there.
What the program refuses with "not supported by this release" is counted, not failed. Exit 1 on any failure.
"""
import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import generate  # noqa: E402
import shrink  # noqa: E402
from judge import Expected, Failure, judge  # noqa: E402

BATCH = 24
OPTIONS = ("causal", "window", "chunk", "prefix_keys", "token_blocks", "key_lengths", "mask", "mask_at", "scale", "softcap", "alibi", "position_bias", "normalize",
           "sinks", "empty_rows", "dropout", "rope", "qk_norm", "value_norm", "concat_norm", "embeddings_norm", "clip_qkv", "query_scale", "gate", "past_keys", "past_latent", "past_state", "bias_k",
           "add_zero_attn", "kv_head_order", "num_heads", "num_kv_heads", "num_value_heads", "key_embeddings", "value_embeddings", "decay",
           "beta", "feature_map", "normalizer", "prefix")
UNSUPPORTED = "not supported by this release"


class Program:
    """Runs documents; every answer is a list of traces, or the text of a refusal."""

    def __init__(self, path, folder):
        self.folder = pathlib.Path(folder)
        self.path = shutil.copy(path, self.folder / "program")  # a build may replace it meanwhile
        self.starts = 0

    def run(self, documents, options):
        """(exit status, standard error, traces) of one process."""
        self.starts += 1
        files = []
        for i, document in enumerate(documents):
            file = self.folder / ("d%d.json" % i)
            file.write_text(json.dumps(document))
            files.append(str(file))
        try:
            done = subprocess.run([self.path, "-f", "json"] + options + files, capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:
            return "timeout", "no answer in 60 seconds", []
        text, traces, at = done.stdout.decode(), [], 0
        decoder = json.JSONDecoder()
        try:
            while text[at:].strip():
                at += len(text[at:]) - len(text[at:].lstrip())
                trace, at = decoder.raw_decode(text, at)
                traces.append(trace)
        except ValueError as wrong:
            return "unreadable", "%s in %r" % (wrong, text[at:at + 80]), []
        return done.returncode, done.stderr.decode(), traces

    def run_all(self, documents, options):
        """For each document its trace, or (status, standard error); halves a batch that fails."""
        if not documents:
            return []
        status, errors, traces = self.run(documents, options)
        if status == 0 and len(traces) == len(documents):
            return traces
        if len(documents) == 1:
            return [(status, errors)]
        half = len(documents) // 2
        return self.run_all(documents[:half], options) + self.run_all(documents[half:], options)


def refusal_of(message):
    """The message of an error without file, position and numbers."""
    first = re.sub(r"^attn-calc: error: \S*?:\d+:\d+: ", "", message.splitlines()[0] if message else "")
    return re.sub(r"-?\d+(\.\d+)?", "N", first.replace("attn-calc: error: ", ""))


def picks_of(document, expected):
    """A selection of rows and batch items that depends on the document alone."""
    queries = expected.stages["queries"].shape
    rng = random.Random(json.dumps(document, sort_keys=True)[:200])
    rows = sorted(rng.sample(range(queries[2]), rng.randint(1, queries[2])))
    items = sorted(rng.sample(range(queries[0]), rng.randint(1, queries[0])))
    return {"query": rows, "batch": items}


def options_of(picks):
    return ["--rows", ",".join(map(str, picks["query"])), "--batch", ",".join(map(str, picks["batch"]))]


def passes(expectations):
    """(mode, options, stages, indices of the documents) of every run but the first."""
    everyone = list(range(len(expectations)))
    yield "float32", ["--dtype", "float32"], None, everyone
    for name in ("context", "output", "head_outputs", "states", "lse", "mean_weights", "d_states", "d_queries", "d_embeddings"):
        some = [i for i in everyone if name in expectations[i].stages]
        yield "--stages " + name, ["--dtype", "float64", "--stages", name], [name], some


def verdicts(program, documents, expectations):
    """For each document None, ("unsupported", message) or a Failure."""
    result = [None] * len(documents)

    def take(indices, answers, mode, names, picks=None):
        for i, answer in zip(indices, answers):
            if result[i] is not None:
                continue
            if not isinstance(answer, tuple):
                result[i] = judge(expectations[i], answer, mode, names, picks)
            elif answer[0] == 3 and UNSUPPORTED in answer[1]:
                result[i] = ("unsupported", refusal_of(answer[1]))
            elif answer[0] == 3:
                result[i] = Failure("refused", mode, None, refusal_of(answer[1]))
            else:
                result[i] = Failure("exit %s" % answer[0], mode, None, answer[1][:500])

    everyone = list(range(len(documents)))
    take(everyone, program.run_all(documents, ["--dtype", "float64"]), "float64", None)
    for mode, options, names, indices in passes(expectations):
        indices = [i for i in indices if result[i] is None]
        take(indices, program.run_all([documents[i] for i in indices], options), mode, names)
    for i in everyone:
        if result[i] is None:
            picks = picks_of(documents[i], expectations[i])
            options = ["--dtype", "float64"] + options_of(picks)
            take([i], program.run_all([documents[i]], options), "--rows and --batch", None, picks)
    return result


def verdict(program, document):
    """The verdict of one document; None too where the oracle cannot compute it (while shrinking)."""
    try:
        expected = Expected(json.loads(json.dumps(document)))
    except Exception:  # a document that shrinking made invalid
        return None
    return verdicts(program, [document], [expected])[0]


def smallest(program, document, failure):
    def same(candidate):
        refused = failure.kind == "refused"
        if refused and candidate.get("variant") != document.get("variant"):
            return False
        found = verdict(program, candidate)
        if not isinstance(found, Failure) or found.key() != failure.key():
            return False
        return not refused or found.text == failure.text

    small = shrink.shrink(document, same)
    if shrink.size_of(small) < 40:
        return small
    # widths and heads cannot be cut: draw small documents with the keys that are left
    avoid = [name for name in OPTIONS if name not in json.dumps(small)]
    only = [small["variant"]] if small.get("variant") else None
    for width in (1, 2, 4):
        for n in range(150):
            drawn = generate.document(random.Random(n), 2, only, avoid, width, 2, "gradient" in small)
            if set(drawn) <= set(small) | {"variant", "num_heads", "num_kv_heads"} and same(drawn):
                found = shrink.shrink(drawn, same)
                if shrink.size_of(found) < shrink.size_of(small):
                    return found
    return small


def report(program, document, failure, number, keep):
    small = smallest(program, document, failure)
    found = verdict(program, small)
    print("FAILED document %d: %s" % (number, failure))
    print("  smallest: %s" % found)
    print("  " + json.dumps(small))
    if keep:
        folder = pathlib.Path(keep)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ("failed_%d.json" % number)).write_text(json.dumps(document))
        (folder / ("failed_%d_smallest.json" % number)).write_text(json.dumps(small))
    sys.stdout.flush()


def arguments():
    parser = argparse.ArgumentParser(description="Compare the program with the oracle on random documents.")
    parser.add_argument("--program", required=True)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=12, help="largest number of tokens")
    parser.add_argument("--only", type=lambda s: s.split(","), help="variants")
    parser.add_argument("--without", type=lambda s: s.split(","), default=[], help="options")
    parser.add_argument("--keep", help="folder for failing documents")
    parser.add_argument("--gradients", action="store_true", help="compare the gradients too")
    parser.add_argument("--failures", type=int, default=10, help="how many kinds of failure are made small and printed")
    chosen = parser.parse_args()
    unknown = [v for v in chosen.only or [] if v not in generate.VARIANTS]
    if unknown:
        parser.error("no such variant: %s; there are %s" % (", ".join(unknown), ", ".join(generate.VARIANTS)))
    return chosen


def main():
    chosen = arguments()
    failed, kinds, unsupported, variants = 0, collections.Counter(), collections.Counter(), collections.Counter()
    told = set()
    with tempfile.TemporaryDirectory() as folder:
        program = Program(chosen.program, folder)
        for start in range(0, chosen.count, BATCH):
            numbers = range(start, min(start + BATCH, chosen.count))
            drawn = [generate.document(random.Random(chosen.seed * 1000003 + n), chosen.size, chosen.only, chosen.without,
                                       gradient=chosen.gradients) for n in numbers]
            documents = [json.loads(json.dumps(d)) for d in drawn]
            found = verdicts(program, documents, [Expected(d) for d in documents])
            for number, document, answer in zip(numbers, documents, found):
                if isinstance(answer, tuple):
                    unsupported[answer[1]] += 1
                    continue
                variants[document.get("variant", "(inferred)")] += 1
                if answer is None:
                    continue
                failed += 1
                kinds["%s, %s, %s" % answer.key() + (": " + answer.text if answer.kind == "refused" else "")] += 1
                known = answer.key() + (answer.text if answer.kind == "refused" else "",)
                if known not in told and len(told) < chosen.failures:
                    told.add(known)
                    report(program, document, answer, number, chosen.keep)
    print("\ncompared: " + ", ".join("%s %d" % v for v in sorted(variants.items())))
    for title, counter in (("not supported yet", unsupported), ("failures", kinds)):
        for text, count in counter.most_common(40):
            print("%s %5d  %s" % (title, count, text))
    print("seed %d, %d documents: %d compared, %d not supported by this release, %d failed" % (
        chosen.seed, chosen.count, sum(variants.values()), sum(unsupported.values()), failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
