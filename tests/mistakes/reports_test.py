"""Wrong attention that people reported, rebuilt as inputs (tests/data/reports): does `diff` name what they found?

Each file has the document, their numbers, the threads, and what is right: the ids of which one stands first and alone (a list in
the list: a pair that is named together), "equal", or "none": no cause is known. What is not named yet stands in NOT_YET: a report
that is right all the same fails there, so that the table shrinks.

    reports_test.py [--program attn-calc] [--only NAME]
"""
import json
import math
import os
import sys
import tempfile

SOURCE = os.environ.get("ATTN_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests"))
from harness import Report, execute, json_values, parser_of, program_of  # noqa: E402

FOLDER = os.path.join(SOURCE, "tests", "data", "reports")
NOT_YET = frozenset()


# What has to be measured: its name, and theirs' number.
MEASURED = {
    "03_gemma27_scale_default_for_given": ("scale", 1 / math.sqrt(8)),
    "87_head_dim_from_hidden_over_heads": ("scale", 0.5),
    "12_rope_base_10000_for_500000": ("base", 10000),
    "14c_linear_scaling_applied_where_none": ("frequencies over ours", 1 / 8),
    "16_yarn_attention_factor_missing": ("factor of cosines and sines", 1),
    "41_alibi_slope_exponent_off_by_one": ("slopes", [1, 1 / 4, 1 / 16, 1 / 64]),
    "05_bias_scaled_too": ("factor of the position bias", 1 / math.sqrt(2)),
}


def measured_right(cause, what, theirs):
    said = cause.get("measured", {})
    numbers = said.get("theirs")
    both = zip(theirs, numbers) if isinstance(theirs, list) and isinstance(numbers, list) else [(theirs, numbers)]
    return said.get("what") == what and all(abs(a - b) <= 1e-3 * abs(a) for a, b in both)


def answer_of(report):
    """`right` of a file, as far as diff's JSON says it: "equal", "none", or the ids that are named."""
    if report["equal"]:
        return "equal"
    named = [[c["id"], *c.get("with", [])] for c in report.get("causes", [])]
    return named or "none"


def is_right(answer, right):
    if isinstance(right, str) or isinstance(answer, str):
        return answer == right
    wanted = [sorted([ids] if isinstance(ids, str) else ids) for ids in right]
    # "weight_of_other" stands for each of weight_of_other:query=key and so on.
    return len(answer) == 1 and (sorted(answer[0]) in wanted or [answer[0][0].split(":")[0]] * len(answer[0]) in wanted)


def main():
    options = parser_of(__doc__.splitlines()[0]).parse_args()
    program, report = program_of(options), Report(options.only)
    names = sorted(n[:-len(".json")] for n in os.listdir(FOLDER))
    report.check(NOT_YET <= set(names), "NOT_YET", "reports", sorted(NOT_YET - set(names)))
    right = 0
    for name in names:
        with open(os.path.join(FOLDER, name + ".json"), encoding="utf-8") as file:
            case = json.load(file)
        with tempfile.TemporaryDirectory() as folder:
            for part in ("document", "theirs"):
                with open(os.path.join(folder, part + ".json"), "w", encoding="utf-8") as file:
                    json.dump(case[part], file)
            run = execute([program, "diff", "theirs.json", "document.json", "-f", "json"], folder)
        if not report.check(run.status in (0, 1), f"{name}: exit status", "0 or 1", (run.status, run.said)):
            continue
        said = json_values(run.out)[0]
        answer = answer_of(said)
        report.equal(f"{name}: exit status", run.status, 0 if answer == "equal" else 1)
        good = is_right(answer, case["right"])
        if good and name in MEASURED:
            what, theirs = MEASURED[name]
            cause = said["causes"][0]
            report.check(measured_right(cause, what, theirs), f"{name}: measured", MEASURED[name], cause.get("measured"))
        right += good
        if name in NOT_YET:
            report.check(not good, name, "not in NOT_YET, since it is right", answer)
        else:
            report.check(good, name, case["right"], answer)
    print(f"{right} of {len(names)} reports are right, {len(NOT_YET)} are named as not yet")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
