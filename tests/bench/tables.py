#!/usr/bin/env python3
"""Prints the tables of docs/performance.md that have no peer, as Markdown, from reports of attn-bench.

Several reports are several rounds: the median counts, and what is in parentheses is the least and the most. A peak is the most
that was seen. Rows that a report has not are left out.
"""
import argparse
import json
import re
import statistics


def counters(paths):
    """Name of a benchmark to its counters and "ms", each a list over all rounds and repetitions."""
    found = {}
    per_ms = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for run in json.load(file)["benchmarks"]:
                if run.get("run_type", "iteration") != "iteration":
                    continue
                own = found.setdefault(run["name"].removesuffix("/real_time"), {})
                own.setdefault("ms", []).append(run["real_time"] * per_ms[run["time_unit"]])
                for key in ("GFLOPS", "GBs", "Gnumbers", "numbers/s", "bytes/s"):
                    if key in run:
                        own.setdefault(key, []).append(run[key])
    return found


def table(heads, rows):
    rows = [row for row in rows if any(row[1:])]
    if not rows:
        return ""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


class Tables:
    def __init__(self, found):
        self.found = found

    def values(self, name, counter, scale=1.0):
        return [v * scale for v in self.found.get(name, {}).get(counter, [])]

    def median(self, name, counter, form, scale=1.0):
        values = self.values(name, counter, scale)
        return format(statistics.median(values), form) if values else ""

    def spread(self, name, counter, form, scale=1.0):
        values = self.values(name, counter, scale)
        if not values:
            return ""
        return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"

    def names(self, pattern):
        """What the group of the pattern matches in the names, in the order of the benchmarks."""
        return list(dict.fromkeys(m[1] for m in (re.fullmatch(pattern, name) for name in self.found) if m))

    def machine(self):
        def most(name, counter):
            values = self.values(name, counter)
            return f"{max(values):.3g}" if values else ""
        rows = [("multiply-add peak, GFLOP/s", "fma_peak", "GFLOPS"), ("with AVX-512", "fma_peak_avx512", "GFLOPS"),
                ("with AVX2", "fma_peak_avx2", "GFLOPS"), ("with SSE2", "fma_peak_sse2", "GFLOPS"), ("reading memory, GB/s", "read", "GBs")]
        return table(["", "1 thread", "2 threads"],
                     [[words, *(most(f"machine/{name}/threads:{t}", counter) for t in (1, 2))] for words, name, counter in rows])

    def over(self, group, key, words):
        sizes = self.names(rf"{group}/{key}:(\d+)/threads:1")
        return table([words, *sizes], [[f"{t} thread" + "s" * (t > 1), *(self.median(f"{group}/{key}:{n}/threads:{t}", "GFLOPS", ".0f")
                                                                         for n in sizes)] for t in (1, 2)])

    def growth(self):
        sizes = self.names(r"growth/context/n:(\d+)")
        work = [[f"`{what}`, GFLOP/s", *(self.spread(f"growth/{what}/n:{n}", "GFLOPS", ".0f") for n in sizes)]
                for what in ("context", "window", "gradient")]
        rows = [[f"one row of `{stage}`, ms", *(self.spread(f"growth/row/{stage}/n:{n}", "ms", ".3g") for n in sizes)]
                for stage in self.names(rf"growth/row/(\w+)/n:{sizes[0] if sizes else 0}")]
        return table(["tokens", *sizes], work + rows)

    def numbers(self):
        rows = []
        for name in self.names(r"((?:number|read|write|draw)/.*)"):
            rate = self.median(name, "bytes/s", ".0f", 1e-6)
            rows.append([f"`{name}`", self.spread(name, "numbers/s", ".0f", 1e-6), rate and rate + " MB/s"])
        return table(["what", "M numbers/s", "beside it"], rows)

    def kernels(self):
        kinds = self.names(r"kernel/(\w+/\w+)/\w+")
        rows = []
        for kernel in self.names(r"kernel/\w+/\w+/(\w+)"):
            name = f"kernel/{kinds[0]}/{kernel}"
            counter = "GFLOPS" if "GFLOPS" in self.found.get(name, {}) else "Gnumbers"
            unit = "GFLOP/s" if counter == "GFLOPS" else "G numbers/s"
            rows.append([f"`{kernel}`", unit, *(self.median(f"kernel/{kind}/{kernel}", counter, ".1f") for kind in kinds)])
        return table(["kernel", "unit", *(kind.replace("/", " ") for kind in kinds)], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", nargs="+")
    tables = Tables(counters(parser.parse_args().report))
    print("\n".join(t for t in (tables.machine(), tables.over("sweep", "n", "tokens"), tables.over("dims", "d", "width of a head"),
                                tables.growth(), tables.numbers(), tables.kernels()) if t), end="")


if __name__ == "__main__":
    main()
