#!/usr/bin/env python3
"""Draws the share of the multiply-add peak over the sequence length.

Reads reports of attn-bench with sweep/n:N/threads:T and machine/fma_peak/threads:T: several files are several rounds, of which
each has its own peak and the median counts. The picture needs nothing but itself and follows the reader's light or dark mode.
"""
import argparse
import json
import math
import re
import statistics
import sys

from compare import readings

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 696, 64, 340
TITLE = "Causal attention, 12 heads of 64, float32"

STYLE = """
text { font-family: sans-serif; font-size: 13px; fill: #1f2328 }
.title { font-size: 16px; font-weight: bold }
.paper { fill: #ffffff }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round }
.first { stroke: #0969da } .first-mark { fill: #0969da }
.second { stroke: #bc4c00 } .second-mark { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.paper { fill: #0d1117 }
.grid { stroke: #30363d }
.first { stroke: #58a6ff } .first-mark { fill: #58a6ff }
.second { stroke: #f0883e } .second-mark { fill: #f0883e }
}
"""


def shares(files):
    """Threads to n to the share of the peak."""
    found = {}
    for path in files:
        with open(path, encoding="utf-8") as file:
            figures = readings(json.load(file))
        for name, reading in figures.items():
            sweep = re.fullmatch(r"sweep/n:(\d+)/threads:(\d+)", name)
            if sweep:
                n, threads = map(int, sweep.groups())
                peak = figures[f"machine/fma_peak/threads:{threads}"]["GFLOPS"]
                found.setdefault(threads, {}).setdefault(n, []).append(reading["GFLOPS"] / peak)
    return {threads: {n: statistics.median(found[threads][n]) for n in sorted(found[threads])} for threads in sorted(found)}


def mark(kind, x, y):
    """A dot for the first line, a square for the second: they differ without colours too."""
    if kind == "first":
        return f'<circle class="first-mark" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    return f'<rect class="second-mark" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{words}</text>'


def picture(curves):
    lengths = sorted({n for curve in curves.values() for n in curve})
    first, span = math.log2(lengths[0]), max(math.log2(lengths[-1] / lengths[0]), 1)

    def place(n, share):
        return LEFT + 24 + (math.log2(n) - first) / span * (RIGHT - LEFT - 48), BOTTOM - share * (BOTTOM - TOP)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
        f"<title>{TITLE}: share of the multiply-add peak over the sequence length</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        text(LEFT, 32, TITLE, "start", ' class="title"'),
    ]
    for percent in range(0, 101, 20):
        y = place(lengths[0], percent / 100)[1]
        out.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}"/>')
        out.append(text(LEFT - 8, y + 4.5, f"{percent} %", "end"))
    for n in lengths:
        out.append(text(place(n, 0)[0], BOTTOM + 20, n))
    out.append(text((LEFT + RIGHT) / 2, HEIGHT - 16, "sequence length n"))
    middle = (TOP + BOTTOM) / 2
    out.append(text(16, middle, "share of the multiply-add peak", "middle", f' transform="rotate(-90 16 {middle:.1f})"'))
    for order, (kind, (threads, curve)) in enumerate(zip(("first", "second"), curves.items())):
        places = [place(n, share) for n, share in curve.items()]
        out.append(f'<polyline class="line {kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
        out += [mark(kind, x, y) for x, y in places]
        x, y = RIGHT - 190 + 100 * order, 28
        out.append(f'<line class="line {kind}" x1="{x}" y1="{y}" x2="{x + 24}" y2="{y}"/>')
        out += [mark(kind, x + 12, y), text(x + 30, y + 4.5, f"{threads} thread{'s' * (threads > 1)}", "start")]
    return "\n".join([*out, "</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="REPORT", help="written by attn-bench --benchmark_format=json")
    parser.add_argument("-o", metavar="FILE", dest="output", help="the picture (standard output)")
    args = parser.parse_args()
    curves = shares(args.files)
    if not curves:
        parser.error("no sweep/n:N/threads:T in these reports")
    drawn = picture(curves)
    if args.output:
        with open(args.output, "w", encoding="utf-8") as file:
            file.write(drawn)
    else:
        sys.stdout.write(drawn)


if __name__ == "__main__":
    main()
