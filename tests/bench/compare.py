#!/usr/bin/env python3
"""Measures attn-bench in turn with other programs and prints a Markdown table.

A peer is any program that reads requests "WHAT SHAPE THREADS", one a line, from standard input, measures, and answers each
with a line of JSON: {"peer": NAME, "ms": MEDIAN, "gflops": USEFUL}, or {"error": WHY} for what it cannot do. WHAT and SHAPE
are those of attn-bench. Without peers the table has only our own figures.

A time alone says little on a machine that drifts: what counts is the ratio within a round, and how far the rounds agree.
"""
import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("ATTN_BUILD") or os.path.join(ROOT, "build")
WHATS = ["context", "module", "trace", "gradient", "module_gradient"]
SHAPES = ["S2_causal", "S3_causal", "S6_causal", "S2_full", "S3_full", "S4_full", "S5_decode"]

# How many times as fast as the fastest peer. A peer near the peak cannot be beaten by half, so that a share of what the
# machine can do is enough as well.
GOALS = {
    ("context", "S2_causal"): 1.9, ("context", "S3_causal"): 1.6, ("context", "S6_causal"): 2.6,
    ("context", "S3_full"): 1.5, ("context", "S5_decode"): 2,
    ("module", "S2_causal"): 1.4, ("module", "S3_causal"): 1.55, ("module", "S6_causal"): 1.6,
    ("trace", "S2_causal"): 1.25, ("trace", "S3_causal"): 1.3,  # of a peer that keeps its memory
    ("gradient", "S2_causal"): 1.5, ("gradient", "S3_causal"): 1.3, ("gradient", "S6_causal"): 1.8,
    ("module_gradient", "S2_causal"): 1.1, ("module_gradient", "S3_causal"): 1.1, ("module_gradient", "S6_causal"): 1.1,
}
GOAL_THREADS = {"trace": (2,), "module": (2,), "gradient": (2,), "module_gradient": (2,)}  # others: any
ENOUGH, ENOUGH_BACKWARDS = 0.85, 0.75

# Decoding does little with each number that it reads, so memory sets its pace: keys and values, 8 heads of 128, float32.
BYTES = {"S5_decode": 2 * 8 * 32768 * 128 * 4}

MS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}


def say(*words):
    print("compare:", *words, file=sys.stderr, flush=True)


def readings(report):
    """From a report of Google Benchmark: name to its ms and counters, over the repetitions."""
    found = {}
    for run in report["benchmarks"]:
        if run.get("error_occurred"):
            raise ValueError(f"{run['name']}: {run.get('error_message')}")
        if run.get("run_type", "iteration") != "iteration":
            continue
        reading = found.setdefault(run["name"].removesuffix("/real_time"), {})
        reading.setdefault("ms", []).append(run["real_time"] * MS[run["time_unit"]])
        for counter in ("GFLOPS", "GBs"):
            if counter in run:
                reading.setdefault(counter, []).append(run[counter])
    # A peak is the most that was seen: a neighbour can only lower it, and a peak too low would flatter us.
    return {name: {key: (max if name.startswith("machine/") else statistics.median)(values) for key, values in reading.items()}
            for name, reading in found.items()}


class Bench:
    """Our side: the program attn-bench."""

    def __init__(self, path, repetitions, seconds):
        self.path = path
        self.options = [f"--benchmark_repetitions={repetitions}", f"--benchmark_min_time={seconds}", "--benchmark_format=json"]

    def names(self):
        listed = subprocess.run([self.path, "--benchmark_list_tests"], capture_output=True, text=True, check=True).stdout
        return set(listed.split())

    def measure(self, what, shape, threads):
        """One round: the shape, and in the same process what the machine can do."""
        name, limits = f"{what}/{shape}", ["machine/fma_peak"] + ["machine/read"] * (shape in BYTES)
        wanted = f"^({'|'.join([name, *limits])})/threads:{threads}/real_time$"
        done = subprocess.run([self.path, f"--benchmark_filter={wanted}", *self.options], stdout=subprocess.PIPE, check=True)
        found = {key.removesuffix(f"/threads:{threads}"): value for key, value in readings(json.loads(done.stdout)).items()}
        ours = found[name]
        figures = {"ms": ours["ms"], "gflops": ours["GFLOPS"]}
        peak = found.get("machine/fma_peak")
        if peak:
            figures |= {"peak": peak["GFLOPS"], "share": ours["GFLOPS"] / peak["GFLOPS"]}
        if shape in BYTES:
            rate, read = BYTES[shape] / ours["ms"] / 1e6, found["machine/read"]["GBs"]
            figures |= {"gbs": rate, "read": read, "read_share": rate / read}
        return figures


class Ended(Exception):
    """A peer went away: to go on without it would change what the ratios are against."""


class Peer:
    """A command that answers requests; it is started once and waits while others measure."""

    def __init__(self, command):
        self.command = command
        self.process = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def measure(self, what, shape, threads):
        """The answer, or None."""
        request = f"{what} {shape} {threads}"
        with contextlib.suppress(BrokenPipeError):  # its end is seen below
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        # What a library prints on its own account is no answer.
        line = next((line for line in self.process.stdout if line.startswith("{")), None)
        if line is None:
            raise Ended(f"the peer `{self.command}` ended at `{request}`")
        answer = json.loads(line)
        if "error" in answer:
            say(f"{self.command}: {request}: {answer['error']}")
            return None
        return {"command": self.command, **answer}

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


def measure(bench, peers, row, rounds):
    """All rounds of a row: ours and each peer in turn, every other round backwards."""
    done = []
    for number in range(rounds):
        one = {"ours": None, "peers": []}
        sides = [bench, *peers]
        for side in sides if number % 2 == 0 else reversed(sides):
            figures = side.measure(*row)
            if side is bench:
                one["ours"] = figures
            elif figures:
                one["peers"].append(figures)
        done.append(one)
    return done


def summary(row, rounds):
    """Medians over the rounds, and the ratio to the fastest peer of each round."""
    what, shape, threads = row
    result = {"what": what, "shape": shape, "threads": threads}
    for key in rounds[0]["ours"]:
        result[key] = statistics.median(one["ours"][key] for one in rounds)
    ratios = [min(peer["ms"] for peer in one["peers"]) / one["ours"]["ms"] for one in rounds if one["peers"]]
    if ratios:
        times = {}
        for one in rounds:
            for peer in one["peers"]:
                times.setdefault((peer["command"], peer["peer"]), []).append(peer["ms"])
        peer_ms, name = min((statistics.median(ms), name) for (_, name), ms in times.items())
        result |= {"peer": name, "peer_ms": peer_ms, "ratio": statistics.median(ratios), "ratios": ratios}
    goal = GOALS.get((what, shape))
    if ratios and goal and threads in GOAL_THREADS.get(what, (threads,)):
        share = result.get("read_share" if shape in BYTES else "share", 0)
        result |= {"goal": goal, "reached": result["ratio"] >= goal or share >= (ENOUGH_BACKWARDS if "gradient" in what else ENOUGH)}
    return result


def number(key, form):
    return lambda s: format(s[key], form) if key in s else ""


COLUMNS = [
    ("what", number("what", "")), ("shape", number("shape", "")), ("threads", number("threads", "")),
    ("ms", number("ms", ".4g")), ("GFLOPS", number("gflops", ".1f")), ("of the peak", number("share", ".0%")),
    ("GB/s", number("gbs", ".1f")), ("of reading", number("read_share", ".0%")),
    ("fastest peer", number("peer", "")), ("its ms", number("peer_ms", ".4g")),
    ("ratio", lambda s: f"{s['ratio']:.2f} ({min(s['ratios']):.2f} to {max(s['ratios']):.2f})" if "ratio" in s else ""),
    ("goal", lambda s: f"{s['goal']:g}, {'reached' if s['reached'] else 'not reached'}" if "goal" in s else ""),
]


def table(summaries):
    """Markdown; a column that nothing stands in is left out."""
    columns = [(title, [cell(s) for s in summaries]) for title, cell in COLUMNS]
    columns = [(title, cells) for title, cells in columns if any(cells)]
    lines = [[title for title, _ in columns], ["---"] * len(columns), *zip(*(cells for _, cells in columns))]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            found = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.M)
    except OSError:
        found = None
    return f"{found[1].strip() if found else 'unknown processor'}, {os.cpu_count()} logical processors"


def default_bench():
    places = [os.path.join(BUILD, preset, folder, "attn-bench") for preset in ("release", "") for folder in ("tests/bench", "")]
    return next(filter(os.path.exists, places), places[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default=default_bench(), help="the attn-bench to measure")
    parser.add_argument("--peer", action="append", metavar="COMMAND",
                        help="may be repeated; else the commands in ATTN_BENCH_PEERS, separated by newlines or ';'")
    parser.add_argument("--what", default=",".join(WHATS))
    parser.add_argument("--shape", default=",".join(SHAPES))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=3, help="of ours in a round; the median counts (3)")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long each of them is (0.5)")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    if not os.access(args.bench, os.X_OK):
        parser.error(f"no program {args.bench}: `sh tests/bench/run.sh` builds it")
    commands = args.peer or re.split(r"[\n;]", os.environ.get("ATTN_BENCH_PEERS", ""))

    bench = Bench(args.bench, args.repetitions, args.seconds)
    there = bench.names()
    rows = [(what, shape, int(threads)) for what in args.what.split(",") for shape in args.shape.split(",")
            for threads in args.threads.split(",") if f"{what}/{shape}/threads:{threads}/real_time" in there]
    if not rows:
        parser.error("attn-bench has no such benchmarks")
    peers = [Peer(command) for command in map(str.strip, commands) if command]
    measured, summaries, stopped = [], [], None
    try:
        for place, row in enumerate(rows, 1):
            say(f"{place} of {len(rows)}:", *row)
            rounds = measure(bench, peers, row, args.rounds)
            summaries.append(summary(row, rounds))
            measured.append({**summaries[-1], "rounds": rounds})
    except (KeyboardInterrupt, Ended, subprocess.CalledProcessError) as reason:
        stopped = f"compare: stopped, {str(reason) or 'interrupted'}"  # what is complete is still printed
    finally:
        for peer in peers:
            peer.close()
    if summaries:
        print(f"{processor()}; median of {args.rounds} rounds\n\n{table(summaries)}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"processor": processor(), "rounds": args.rounds, "rows": measured}, file, indent=1)
            file.write("\n")
    if stopped:
        sys.exit(stopped)


if __name__ == "__main__":
    main()
