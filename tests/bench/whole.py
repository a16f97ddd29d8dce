#!/usr/bin/env python3
"""Whole processes, from a document to a file, in turn with other programs: a Markdown table of ratios.

    whole.py DOCUMENT --peer NAME='COMMAND' [--peer ...] [--program attn-calc] [--rounds 3]

COMMAND has {document}, {form} and {file} in it; the forms are json (every stage), npz (every stage) and output (the output
alone, as JSON). A peer that ends with an error in a form is left out of that row. Time and peak memory are those of the
process, the order is turned round every other round; ratios are medians of those within a round.

    whole.py --make DOCUMENT [--tokens 512] [--width 768] [--heads 12]

writes a document with dense weights to measure with.
"""
import argparse
import os
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

FORMS = ["json", "npz", "output"]
OURS = {"json": ["-o", "{file}.json"], "npz": ["-o", "{file}.npz"], "output": ["--stages", "output", "-o", "{file}.json"]}


def make(path, tokens, width, heads):
    rng = random.Random(1)
    with open(path, "w", encoding="ascii") as file:
        def matrix(rows, columns, spread):
            for row in range(rows):
                file.write(",\n  [" if row else "[\n  [")
                file.write(", ".join(f"{rng.uniform(-spread, spread):.9g}" for _ in range(columns)) + "]")
            file.write("]")

        file.write(f'{{"variant": "multi_head", "num_heads": {heads}, "causal": true,\n "embeddings": ')
        matrix(tokens, width, 1)
        for k, name in enumerate(("W_query", "W_key", "W_value", "W_out")):
            file.write((',\n "weights": {' if k == 0 else ",\n ") + f'"{name}": ')
            matrix(width, width, (3 / width) ** 0.5)
        file.write("}}\n")


def measure(command):
    """Seconds and bytes at the peak; None where the command fails."""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        print("whole:", shlex.join(command), "ends with", process.returncode, said.decode(errors="replace")[-300:], file=sys.stderr)
        return None
    return time.perf_counter() - begin, usage.ru_maxrss * 1024


def row(form, commands, rounds, folder):
    """name to its (seconds, bytes) of each round, the first and unmeasured one left out."""
    found = {name: [] for name in commands}
    names = list(commands)
    for number in range(rounds + 1):
        for name in names if number % 2 == 0 else reversed(names):
            file = os.path.join(folder, name)
            reading = measure([part.replace("{file}", file).replace("{form}", form) for part in commands[name]])
            for left in os.listdir(folder):
                os.remove(os.path.join(folder, left))
            if reading and number > 0:
                found[name].append(reading)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", nargs="?")
    parser.add_argument("--make", metavar="DOCUMENT")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--program", default="build/release/app/attn-calc")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.make:
        return make(options.make, options.tokens, options.width, options.heads)
    if not options.document:
        parser.error("a document, or --make")
    print("| what | attn-calc | memory | peer | | memory | times as fast (least to most) | share of its memory |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            commands = {"attn-calc": [options.program, "run", options.document, "-q", *OURS[form]]}
            for peer in options.peer:
                name, command = peer.split("=", 1)
                commands[name] = shlex.split(command.replace("{document}", shlex.quote(options.document)))
            found = row(form, commands, options.rounds, folder)
            ours = found.pop("attn-calc")
            for name, theirs in found.items():
                if len(theirs) != len(ours) or not ours:
                    continue
                times = sorted(t[0] / o[0] for t, o in zip(theirs, ours))
                seconds = [statistics.median(r[0] for r in side) for side in (ours, theirs)]
                peaks = [max(r[1] for r in side) / 1e6 for side in (ours, theirs)]
                print(f"| {form} | {seconds[0]:.2f} s | {peaks[0]:.0f} MB | {name} | {seconds[1]:.2f} s | {peaks[1]:.0f} MB "
                      f"| {statistics.median(times):.1f} ({times[0]:.1f} to {times[-1]:.1f}) | 1/{peaks[1] / peaks[0]:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
