"""--watch with real processes: runs again when a file that is read changes, whoever changes it and how, and ends as it should."""
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Program, environment, execute, run_tests  # noqa: E402

PLAIN = {"embeddings": [[1, 2], [3, 4]], "scale": 1}
PATIENCE = 20.0  # seconds: the machine may be busy


class Watch:
    def __init__(self, tests, *words):
        self.tests, self.out = tests, os.path.join(tests.folder, "out")
        with open(self.out, "wb") as out, open(self.out + ".err", "wb") as err:
            self.process = subprocess.Popen([tests.program, *words], cwd=tests.folder, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                                            env=environment(), start_new_session=True)

    def read(self, suffix=""):
        with open(self.out + suffix, encoding="utf-8") as file:
            return file.read()

    def wait(self, name, good):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not good():
            time.sleep(0.05)
        return self.tests.report.check(good(), name, "before long", (self.read(), self.read(".err")))

    def runs(self):
        return self.read().count('"event": "end"')

    def end(self, name, number, group=True):
        (os.killpg if group else os.kill)(self.process.pid, number)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            status = self.process.wait()
        self.tests.report.equal(f"{name}: exit", status, 128 + number)


class Tests(Program):
    def write(self, name, document):
        with open(self.path(name + ".new"), "w", encoding="utf-8") as file:
            file.write(document if isinstance(document, str) else json.dumps(document))
        os.replace(self.path(name + ".new"), self.path(name))  # as editors do

    def test_changes(self):
        self.write("x.json", PLAIN)
        watch = Watch(self, "run", "x.json", "--watch", "-f", "ndjson", "--stages", "scores")
        watch.wait("the first run", lambda: watch.runs() == 1 and "watching 1 file" in watch.read(".err"))
        self.write("x.json", {**PLAIN, "embeddings": [[5, 0], [0, 1]]})
        watch.wait("a file that was replaced", lambda: watch.runs() == 2)
        self.report.check("25" in watch.read().splitlines()[-2], "its numbers", "5 * 5", watch.read())
        with open(self.path("x.json"), "w", encoding="utf-8") as file:
            file.write(json.dumps({**PLAIN, "embeddings": [[7, 0], [0, 1]]}))
        watch.wait("one that was written over", lambda: watch.runs() == 3 and "49" in watch.read())
        self.write("x.json", '{"embeddings": [[1, ')
        watch.wait("a document that is wrong says so", lambda: "attn-calc: error: x.json:1:" in watch.read(".err"))
        self.write("x.json", {**PLAIN, "embeddings": [[9, 0], [0, 1]]})
        watch.wait("and is watched on", lambda: watch.runs() == 4 and "81" in watch.read())
        os.rename(self.path("x.json"), self.path("y"))
        time.sleep(0.5)
        os.rename(self.path("y"), self.path("x.json"))
        time.sleep(1)
        self.report.equal("gone for a moment, and the same again: no run", watch.runs(), 4)
        watch.end("Ctrl-C", signal.SIGINT)

    def test_named_files(self):
        np.save(self.path("e.npy"), np.array([[1, 0], [0, 1]], "f4"))
        self.write("x.json", {**PLAIN, "embeddings": {"file": "e.npy"}})
        watch = Watch(self, "run", "x.json", "--watch", "-f", "ndjson", "--stages", "scores")
        watch.wait("the first run", lambda: watch.runs() == 1 and "watching 2 files" in watch.read(".err"))
        np.save(self.path("e.npy"), np.array([[6, 0], [0, 1]], "f4"))
        watch.wait("a file that the document names", lambda: watch.runs() == 2 and "36" in watch.read())
        watch.end("SIGTERM to it alone", signal.SIGTERM, group=False)

    def test_clears_up(self):
        big = {"embeddings": [[((i * 7 + j) % 13) / 7 for j in range(16)] for i in range(3000)]}
        self.write("x.json", big)
        watch = Watch(self, "run", "x.json", "--watch", "-q", "-o", "t.json")

        def unfinished():
            return [f for f in os.listdir(self.folder) if f not in ("x.json", "out", "out.err")]

        watch.wait("it writes", unfinished)
        watch.end("in the middle of a run", signal.SIGTERM, group=False)
        self.report.equal("nothing half written stays", unfinished(), [])
        children = execute(["pgrep", "-g", str(watch.process.pid)], self.folder).text
        self.report.equal("no process stays", children, "")

    def test_closed_pipe(self):
        self.write("x.json", PLAIN)
        process = subprocess.Popen([self.program, "x.json", "--watch", "-q"], cwd=self.folder, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment())
        process.stdout.read(10)
        process.stdout.close()
        self.report.equal("a reader that leaves ends it", process.wait(PATIENCE), 0)

    def test_commands(self):
        self.write("x.json", PLAIN)
        for command in ("check", "explain", "view"):
            watch = Watch(self, command, "x.json", "--watch")
            watch.wait(f"{command}: a run", lambda watch=watch: "watching" in watch.read(".err") and watch.read())
            before = len(watch.read())
            self.write("x.json", {**PLAIN, "comment": command})
            watch.wait(f"{command}: another", lambda watch=watch, before=before: len(watch.read()) == 2 * before)
            watch.end(command, signal.SIGINT)

    def test_refusals(self):
        for words in (["run", "--watch"], ["run", "-", "--watch"]):
            done = execute([self.program, *words], self.folder, stdin=b"{}")
            self.report.equal(f"{words}: exit", (done.status, done.out), (2, b""))
            self.report.matches(f"{words}", done.said, r"\Aattn-calc: error: --watch has no use: standard input")
        done = execute([self.program, "diff", "a", "b", "--watch"], self.folder)
        self.report.matches("diff", done.said, r"takes no --watch")


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))
