"""docs/conventions.md beside what other systems were measured to give (data/cases, tests/data; tests/record wrote them): each case
stands on the page with the version that it was measured with, and scores before the softmax are what it says."""
import json
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import NOT_FINITE, SOURCE, Report, execute, json_values, parser_of, program_of  # noqa: E402

LOWEST = -3.4028234663852886e38
HIDDEN = {"mha_": LOWEST, "gqa_": 0.0, "attention_empty_row_float32": LOWEST, "attention_": NOT_FINITE["-Infinity"]}  # first that fits


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as file:
        return file.read()


def cases():
    """(name, case): those that are written for the page."""
    for folder in ("onnxruntime", "tfjs"):
        for name in sorted(os.listdir(os.path.join(SOURCE, "data/cases", folder))):
            yield f"{folder}/{name}", json.loads(read("data/cases", folder, name))
    yield "models/llama_left_padding_eager.json", json.loads(read("data/cases/models/llama_left_padding_eager.json"))


def flat(value):
    if isinstance(value, list):
        return [x for item in value for x in flat(item)]
    return [NOT_FINITE.get(value, value)]


def scores(program, report):
    """Visible scores are ours, and in the hidden cells stands what the page says."""
    recorded = json.loads(read("tests/data/onnxruntime_scores.json"))
    report.check(len(recorded) >= 7, "recorded scores", "7 or more", len(recorded))
    for one in recorded:
        name = one["name"]
        fill = next(value for start, value in HIDDEN.items() if name.startswith(start))
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "in.json"), "w", encoding="utf-8") as file:
                json.dump(one["input"], file)
            done = execute([program, "in.json", "--stages", "masked_scores", "-f", "json"], folder)
        if not report.check(done.status == 0, name, "exit 0", done.said):
            continue
        stage = json_values(done.out)[0]["stages"]["masked_scores"]
        report.equal(f"{name}: shape", list(stage["shape"]), one["scores"]["shape"])
        ours, theirs = flat(stage["data"]), flat(one["scores"]["data"])
        hidden = [a == NOT_FINITE["-Infinity"] for a in ours]
        report.check(any(hidden) and not all(hidden), f"{name}: some are hidden")
        report.check(all(t == fill for t, h in zip(theirs, hidden) if h), f"{name}: what is hidden is {fill}", fill, theirs)
        worst = max(abs(t - o) for t, o, h in zip(theirs, ours, hidden) if not h)
        report.check(worst < 1e-6, f"{name}: what is not", "1e-6", worst)


def main():
    options = parser_of(__doc__).parse_args()
    report, page = Report(options.only), read("docs/conventions.md")
    linked = set(re.findall(r"\]\(\.\./data/cases/([\w/]+\.json)\)", page))
    found = dict(cases())
    report.equal("the cases that the page names", sorted(linked), sorted(found))
    for name, case in found.items():
        version = re.search(r"\d+\.\d+\.\d+(\.dev\d+)?", case["source"])
        if report.check(version is not None, f"{name}: a version", case["source"]):
            report.check(version[0] in page, f"{name}: its version is on the page", version[0])
    scores(program_of(options), report)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
