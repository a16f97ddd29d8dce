"""Every single allocation of a run fails once, and every one from some on: exit 5 with its line, or the usual end.

A small library is preloaded over malloc (failing_malloc.cpp.in). Before main, in main and after it nothing ends by
a signal, an old output file stays as it was, and no unfinished file stays beside it. ATTN_FAULT_STEP=1 tries every
allocation; by default some are,
spread over the whole run.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SANITIZED, Report, environment, execute, parser_of, program_of  # noqa: E402

DOCUMENT = {"tokens": ["a", "b"], "embeddings": [[0.5, 1.25], [-1, 2]], "causal": True, "num_heads": 2, "variant": "multi_head",
            "weights": {"init": "torch.nn.Linear", "seed": 1, "d_out": 2}}
STEP = int(os.environ.get("ATTN_FAULT_STEP", "23"))
OLD = b"old"
LINE = rb"\Aattn-calc: error: [^\n]*(memory|resource)[^\n]*\n"
JSON_LINE = rb'\A\{"level":"error","code":5,.*"message":"[^"]*(memory|resource)[^\n]*\}\n\Z'


def library(folder):
    """The library, or None and a reason."""
    compiler = shutil.which(os.environ.get("CXX") or "c++")
    if SANITIZED:
        return None, "sanitizers have their own malloc"
    if not compiler or not sys.platform.startswith("linux"):
        return None, "no C++ compiler" if not compiler else "not Linux"
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "failing_malloc.cpp.in")
    path = os.path.join(folder, "failing_malloc.so")
    made = subprocess.run([compiler, "-x", "c++", "-std=c++17", "-O1", "-fno-builtin", "-shared", "-fPIC", "-nostdlib++", source, "-o", path],
                          capture_output=True, check=False)
    if made.returncode != 0:
        made = subprocess.run([compiler, "-x", "c++", "-std=c++17", "-O1", "-fno-builtin", "-shared", "-fPIC", source, "-o", path],
                              capture_output=True, check=False)
    return (path, "") if made.returncode == 0 else (None, "it does not compile: " + made.stderr.decode()[-300:])


class Tests:
    def __init__(self, program, report, folder, preloaded):
        self.program, self.report, self.folder, self.preloaded = program, report, folder, preloaded
        with open(os.path.join(folder, "x.json"), "w", encoding="utf-8") as file:
            json.dump(DOCUMENT, file)
        for name, form in (("trace.json", "json"), ("theirs.csv", "csv")):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(execute([program, "x.json", "-f", form], folder).out)

    def call(self, words, where, **changes):
        return execute([self.program, *words], where, env=environment(LD_PRELOAD=self.preloaded, **changes))

    def place(self, number):
        """A folder of its own for a call, with an old file."""
        where = os.path.join(self.folder, f"at{number}")
        os.makedirs(where, exist_ok=True)
        for name in os.listdir(where):
            os.remove(os.path.join(where, name))
        for name in ("x.json", "trace.json", "theirs.csv"):
            os.symlink(os.path.join(self.folder, name), os.path.join(where, name))
        with open(os.path.join(where, "old.npz"), "wb") as file:
            file.write(OLD)
        return where

    def one(self, words, n, on, usual, worker):
        where = self.place(worker)
        changes = {"ATTN_FAIL_AT": str(n), **({"ATTN_FAIL_ON": "1"} if on else {})}
        result = self.call(words, where, **changes)
        name = f"{' '.join(words)}: allocation {n}{' and all after it' if on else ''}"
        with open(os.path.join(where, "old.npz"), "rb") as file:
            content = file.read()
        if result.status == usual[0]:
            self.report.check((result.out, content) == usual[1:], f"{name}: the usual end", "the usual output", result.out[:200])
        else:
            self.report.equal(f"{name}: exit", result.status, 5)
            # Before main nobody has read --error-format.
            good = re.search(LINE, result.err) or ("--error-format" in words and re.search(JSON_LINE, result.err, re.S))
            self.report.check(good, f"{name}: its line", "out of memory", result.err[:300])
            self.report.equal(f"{name}: the old file", content, OLD)
        self.report.check(not [f for f in os.listdir(where) if f.startswith(".attn")], f"{name}: no unfinished file", "none", os.listdir(where))

    def command(self, words, shift):
        where, count = self.place("usual"), os.path.join(self.folder, "count")
        usual = self.call(words, where, ATTN_FAIL_COUNT=count)
        self.report.check(usual.status in (0, 1), f"{words}: usually", "exit 0", usual.err)
        with open(os.path.join(where, "old.npz"), "rb") as file:
            end = (usual.status, usual.out, file.read())
        with open(count, encoding="utf-8") as file:
            total = int(file.read())
        self.report.check(total > 50, f"{words}: allocations are counted", "more than 50", total)
        tries = [(n, False) for n in range(1 + shift % STEP, total + 1, STEP)]
        tries += [(n, True) for n in range(1 + shift % STEP, total + 1, 4 * STEP)]
        with ThreadPoolExecutor(2) as pool:
            for part in (0, 1):
                pool.submit(lambda part: [self.one(words, n, on, end, part) for n, on in tries[part::2]], part).add_done_callback(
                    lambda done: self.report.check(done.exception() is None, f"{words}: all tried", "all", repr(done.exception())))
        return total

    def all(self):
        commands = [["x.json"], ["x.json", "-f", "json", "--error-format", "json"], ["x.json", "-o", "old.npz"],
                    ["x.json", "--threads", "3", "-f", "csv"], ["check", "x.json"], ["explain", "x.json"],
                    ["diff", "theirs.csv", "x.json"], ["convert", "trace.json", "-o", "old.npz"]]
        print("allocations: " + ", ".join(f"{self.command(words, k)} ({' '.join(words)})" for k, words in enumerate(commands)))


def main():
    options = parser_of(__doc__).parse_args()
    program, report = program_of(options), Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        preloaded, reason = library(folder)
        if not preloaded:
            print(f"skipped: {reason}")
            return 77
        Tests(program, report, folder, preloaded).all()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
