"""What compare_builds.sh calls: two programs attn-bench in turn, a Markdown table of what changed."""
import argparse
import json
import re
import statistics
import subprocess
import sys

from compare import readings

WORSE = 1.03  # what a commit has to say


def names(bench):
    return subprocess.run([bench, "--benchmark_list_tests"], capture_output=True, text=True, check=True).stdout.split()


def milliseconds(bench, name, seconds):
    done = subprocess.run([bench, f"--benchmark_filter=^{re.escape(name)}$", f"--benchmark_min_time={seconds}", "--benchmark_format=json"],
                          capture_output=True, text=True, check=True)
    return next(iter(readings(json.loads(done.stdout)).values()))["ms"]


def row(name, pairs):
    ratios = sorted(new / old for old, new in pairs)
    old, new = (statistics.median(side) for side in zip(*pairs))
    ratio = statistics.median(ratios)
    note = " slower" if ratio > WORSE else ""
    return f"| {name} | {old:.4g} | {new:.4g} | {ratio:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}){note} |"


def main():
    parser = argparse.ArgumentParser(prog="compare_builds.sh", description=__doc__)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--filter", default=r"^(context|module|trace)/", metavar="REGEX")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", default="0.3")
    options = parser.parse_args()
    both = [name for name in names(options.new) if re.search(options.filter, name) and name in set(names(options.old))]
    if not both:
        parser.error(f"no benchmark that both have is matched by {options.filter}")
    print("| what | old, ms | new, ms | new / old, medians of "
          f"{options.rounds} rounds (least to most) |\n| --- | --- | --- | --- |", flush=True)
    for name in both:
        pairs = []
        for k in range(options.rounds):
            sides = [options.old, options.new]
            found = {side: milliseconds(side, name, options.seconds) for side in (sides if k % 2 == 0 else reversed(sides))}
            pairs.append((found[options.old], found[options.new]))
        print(row(name, pairs), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
