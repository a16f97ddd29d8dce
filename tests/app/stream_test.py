"""Many documents: computed as they arrive, written in order, each with its source; what a wrong one costs."""
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402


def document(n, **more):
    """Small, and its numbers tell it apart: one token, whose context is its own embedding."""
    return {"variant": "simplified", "embeddings": [[n, n + 0.5]], **more}


def lines(documents):
    return "".join(json.dumps(d) + "\n" for d in documents).encode()


def large(n, tokens=64):
    """More than one thread should do alone."""
    return {"variant": "simplified", "embeddings": {"init": "torch.randn", "seed": n, "shape": [tokens * 8, tokens]}, "id": f"large{n}"}


class Tests(harness.Program):
    def run(self, arguments, stdin=None, seconds=60.0):
        return harness.execute([self.program, *arguments], self.folder, stdin, seconds)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return name

    def events(self, outcome):
        return [json.loads(line) for line in outcome.text.splitlines()]

    def contexts(self, outcome):
        """(document, first number) of each context, in order."""
        return [(e["document"], e["data"][0][0]) for e in self.events(outcome) if e.get("name") == "context"]

    def test_first_trace_comes_before_the_second_document(self):
        for form in ("ndjson", "json"):
            for threads in ("1", "2"):
                with subprocess.Popen([self.program, "-f", form, "--threads", threads, "--compact"][:5 + (form == "json")],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                    watch = threading.Timer(20, process.kill)
                    watch.start()
                    for n in (3, 4, 5):
                        process.stdin.write(lines([document(n)]))
                        process.stdin.flush()
                        seen = b""
                        while b'"end"' not in seen and b'"warnings"' not in seen:
                            line = process.stdout.readline()
                            if not line:
                                break
                            seen = line
                        self.report.check(seen != b"", f"{form}, --threads {threads}: trace {n} comes at once")
                    process.stdin.close()
                    self.report.equal(f"{form}: nothing follows", process.stdout.read(), b"")
                    watch.cancel()

    def test_memory_does_not_grow_with_their_number(self):
        if harness.SANITIZED:
            return
        one = lines([document(1)])
        # A build without optimisation takes ten times as long.
        slow = self.run(["-f", "ndjson"], one * 1000).seconds > 0.5
        count = 10_000 if slow else 100_000

        def feed(process):
            for _ in range(count // 100):
                process.stdin.write(one * 100)
            process.stdin.close()

        with subprocess.Popen([self.program, "-f", "ndjson", "--stages", "context", "--threads", "2"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as process:
            feeder = threading.Thread(target=feed, args=(process,))
            feeder.start()
            ends = sum(b'"end"' in line for line in process.stdout)
            feeder.join()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.report.equal("exit of many documents", process.returncode, 0)
        self.report.equal("traces of many documents", ends, count)
        # A build without optimisation is some 60 MB by itself.
        most = max(60, 20 + self.run(["-f", "ndjson"], one).megabytes)
        self.report.check(usage.ru_maxrss < most << 10, "memory of many documents from a pipe", f"below {most} MB", f"{usage.ru_maxrss} kB")
        name = self.write("many.ndjson", one * count)
        with open(os.devnull, "wb") as nothing:
            outcome = harness.execute([self.program, name, "-f", "ndjson", "--stages", "context"], self.folder, stdout=nothing)
        self.report.check(outcome.status == 0 and outcome.megabytes < most, "memory of many documents of a file", f"below {most} MB", outcome.megabytes)

    def test_order_and_bytes_are_those_of_each_alone(self):
        documents = [document(n, id=f"d{n}") for n in range(300)]
        documents[7] = large(7)
        documents[150:150] = [large(1), large(2, 128)]
        name = self.write("mixed.ndjson", lines(documents))
        for form in ("ndjson", "json", "csv", "text", "md"):
            outs = [self.run([name, "-f", form, "--threads", t]).out for t in ("1", "2", "3")]
            self.report.check(outs[0] == outs[1] == outs[2] and outs[0] != b"", f"{form}: bytes for 1, 2, 3 threads")
            piped = self.run(["-f", form, "--threads", "2"], lines(documents)).out
            self.report.equal(f"{form}: bytes of standard input", piped.replace(b"&lt;stdin&gt;" if form == "md" else b"<stdin>", name.encode()), outs[0])
        traces = harness.json_values(self.run([name, "-f", "json"]).out)
        self.report.equal("ids", [t.get("id") for t in traces], [d.get("id") for d in documents])
        self.report.equal("sources", [t["source"] for t in traces], [{"file": name, "document": n} for n in range(len(documents))])
        for n in (0, 7, 150, 301):
            alone = harness.json_values(self.run([self.write("one.json", lines([documents[n]])), "-f", "json"]).out)[0]
            self.report.equal(f"source of one alone", alone.pop("source"), {"file": "one.json", "document": 0})
            self.report.equal(f"document {n} is as alone", alone, {k: v for k, v in traces[n].items() if k != "source"})
        numbers = [e["document"] for e in self.events(self.run([name, "-f", "ndjson"]))]
        self.report.check(numbers == sorted(numbers) and set(numbers) == set(range(302)), "events tell their document")

    def test_several_files(self):
        self.write("a.ndjson", lines([document(1), document(2)]))
        self.write("b.json", json.dumps(document(3), indent=2).encode())
        outcome = self.run(["a.ndjson", "b.json", "-f", "ndjson"])
        begun = [(e["document"], e["source"]) for e in self.events(outcome) if e["event"] == "begin"]
        self.report.equal("documents of two files", begun, [(0, {"file": "a.ndjson", "document": 0}), (1, {"file": "a.ndjson", "document": 1}),
                                                              (2, {"file": "b.json", "document": 0})])
        outcome = self.run(["a.ndjson", "missing.json", "-f", "ndjson"])
        self.report.equal("a file that is missing is told before any is computed", (outcome.status, outcome.out), (3, b""))

    def test_csv_has_a_column(self):
        name = self.write("two.ndjson", lines([document(1), document(2)]))
        rows = self.run([name, "-f", "csv", "--stages", "context"]).text.splitlines()
        self.report.equal("CSV of two documents", rows, ["document," + ",".join(harness.CSV_HEADER), "0,context,0,0,0,0,0,,1", "0,context,0,0,0,1,0,,1.5",
                                                         "1,context,0,0,0,0,0,,2", "1,context,0,0,0,1,0,,2.5"])
        one = self.write("one.ndjson", lines([document(1)]))
        self.report.equal("CSV of one document", self.run([one, "-f", "csv"]).text.splitlines()[0], ",".join(harness.CSV_HEADER))
        for form in ("npz", "npy", "tex"):
            outcome = self.run([name, "-o", f"x.{form}", "--stages", "context"])
            self.report.check(outcome.status == 2 and not os.path.exists(self.path(f"x.{form}")), f"{form} holds one", 2, outcome.status)

    def test_where_documents_end(self):
        """How a stream may be written, and what is found in it."""
        first, second = json.dumps(document(1)).encode(), json.dumps(document(2)).encode()
        pretty = json.dumps(document(2), indent=1).encode()
        flat = b'{"variant": "simplified", "embeddings":\n[[2, 2.5]], "comment": [\n{"x": 1},\n{"x": 2}\n]}'
        for name, text in {
                "lines": first + b"\n" + second + b"\n", "no line end at the end": first + b"\n" + second, "CRLF": first + b"\r\n" + second + b"\r\n",
                "empty lines": b"\n\n" + first + b"\n\n \t\n" + second + b"\n\n", "two in a line": first + second, "a space between": first + b" " + second + b" ",
                "a byte order mark": b"\xef\xbb\xbf" + first + b"\n" + second, "over lines": first + b"\n" + pretty + b"\n",
                "lines that begin with a brace": first + b"\n" + flat}.items():
            for how, outcome in (("pipe", self.run(["-f", "ndjson", "--stages", "context"], text)),
                                 ("file", self.run([self.write("x.ndjson", text), "-f", "ndjson", "--stages", "context"]))):
                self.report.equal(f"{name}, {how}: exit", (outcome.status, outcome.err), (0, b""))
                if outcome.status == 0:
                    self.report.equal(f"{name}, {how}", self.contexts(outcome), [(0, 1), (1, 2)])

    def test_wrong_documents(self):
        """Each costs its error, at its own line; with --keep-going the others are computed."""
        good = [json.dumps(document(n)).encode() for n in range(4)]
        cases = {  # name: text, documents that are computed, of the error: document, line, column, message
            "cut in a list": (good[0] + b'\n{"embeddings": [[1, 2\n' + good[2] + b"\n" + good[3], [0, 2, 3], (1, 2, 22, "the line ends too early: unexpected end of the line, expected ',' or ']'")),
            "cut after a comma": (good[0] + b'\n{"embeddings": [[1,\n' + good[2] + b"\n" + good[3], [0, 2, 3], (1, 2, 20, "the line ends too early: unexpected end of the line, expected a value")),
            "cut in a string": (good[0] + b'\n{"variant": "simp\n' + good[2] + b"\n" + good[3], [0, 2, 3], (1, 2, 13, "a string that begins here has no end")),
            "cut at first": (b'{"embeddings": [[1, 2\r\n' + good[1] + b"\n" + good[2], [1, 2], (0, 1, 22, "the line ends too early: unexpected end of the line, expected ',' or ']'")),
            "cut at the end": (good[0] + b'\n' + good[1][:-2], [0, 1][:1], (1, 2, len(good[1]) - 1, "the text ends too early: unexpected end of the file, expected ',' or ']'")),
            "no JSON": (good[0] + b'\n{"embeddings": nil}\n' + good[2], [0, 2], (1, 2, 16, "unexpected 'n', expected a value")),
            "another word": (good[0] + b"\nhello {}\n" + good[2], [0, 2], (1, 2, 1, "unexpected 'h', expected a value (a document is a JSON object)")),
            "a list": (good[0] + b"\n[1, 2]\n" + good[2], [0, 2], (1, 2, 1, "a document is a JSON object: expected '{', found an array")),
            "behind it in its line": (good[0] + b"} " + good[1] + b"\n" + good[2], [0, 2], (1, 1, len(good[0]) + 1, "unexpected '}', expected a value (a document is a JSON object)")),
            "an unknown key": (good[0] + b'\n\n{"embedings": [[1]]}\n' + good[2], [0, 2], (1, 3, 2, 'unknown key "embedings"')),
            "the second in its line": (good[0] + b' {"embeddings": [[1], []]}\n' + good[2], [0, 2], (1, 1, len(good[0]) + 23, "")),
            "a shape": (good[0] + b'\n{"variant": "simplified",\n "embeddings": [[1, 2], [3]]}\n' + good[2], [0, 2], (1, 3, 25, "")),
            "too much memory": (good[0] + b'\n{"embeddings": {"init": "torch.rand", "seed": 1, "shape": [900000000, 4000]}}\n' + good[2], [0, 2], (1, 2, 59, "asks for [900000000, 4000] numbers")),
        }
        for name, (text, computed, (number, line, column, message)) in cases.items():
            for how, threads in (("pipe", "1"), ("pipe", "2"), ("file", "2")):
                arguments = ["-f", "ndjson", "--stages", "context", "--threads", threads, "--error-format", "json"]
                if how == "file":
                    arguments.append(self.write("x.ndjson", text))
                label = f"{name}, {how}, {threads}"
                outcome = self.run([*arguments, "--keep-going"], text if how == "pipe" else None)
                self.report.equal(f"{label}: exit", outcome.status, 3)
                errors = [json.loads(e) for e in outcome.said.splitlines()]
                if not self.report.equal(f"{label}: errors", len(errors), 1):
                    print(outcome.said)
                    continue
                error = errors[0]
                self.report.equal(f"{label}: place", (error.get("document", 0), error["line"], error["column"]), (number, line, column))
                self.report.check(error["message"].startswith(message), f"{label}: message", message, error["message"])
                events = self.events(outcome)
                told = [e for e in events if e["event"] == "error"]
                self.report.equal(f"{label}: event", [(e["document"], e["message"], e["line"], e["code"]) for e in told], [(number, error["message"], line, error["code"])])
                done = [e["data"][0][0] for e in events if e.get("name") == "context"]
                self.report.equal(f"{label}: the others", done, computed)
                order = [e["document"] for e in events]
                self.report.equal(f"{label}: order", order, sorted(order))
                # Without it: the documents before, the error, nothing in place.
                outcome = self.run([*arguments, "-o", "kept.ndjson"], text if how == "pipe" else None)
                self.report.equal(f"{label}: exit at once", outcome.status, 3)
                self.report.equal(f"{label}: those before", self.contexts(outcome), [(n, n) for n in computed if n < number])
                self.report.equal(f"{label}: no file", [n for n in os.listdir(self.folder) if n != "x.ndjson"], [])

    def test_a_stream_that_is_no_text(self):
        for name, text in {"NUL": b"\0" * 100, "a NUL in a document": json.dumps(document(0)).encode() + b'\n{"a": \0}\n', "UTF-16": '{"a": 1}'.encode("utf-16"),
                           "nothing": b"", "white space": b" \n\n\t ", "a page": b"<html>\n<body>\n"}.items():
            for more in ([], ["--keep-going"]):
                outcome = self.run(["-f", "ndjson", *more], text)
                self.report.check(outcome.status == 3 and outcome.err.count(b"error:") == 1, f"{name} {more}", "exit 3, one error", (outcome.status, outcome.said))
        for more in ([], ["-f", "ndjson"], ["-f", "ndjson", "--keep-going", "--max-memory", "10M"]):
            process = subprocess.run(["sh", "-c", 'yes | "$@"', "sh", self.program, *more], capture_output=True, timeout=60, check=False)
            self.report.check(process.returncode == 3 and process.stderr.count(b"error:") == 1 + ("--keep-going" in more), f"endless lines {more}", 3, process.stderr)
        with open("/dev/zero", "rb") as endless:
            started = time.monotonic()
            process = subprocess.run([self.program, "-f", "ndjson", "--keep-going"], stdin=endless, capture_output=True, timeout=60, check=False)
            self.report.check(process.returncode == 3 and time.monotonic() - started < 20, "endless NULs", 3, process.returncode)

    def test_a_huge_line(self):
        wide = {"variant": "simplified", "embeddings": [[n % 7 for n in range(200_000)]]}
        text = lines([document(0), wide, document(2)])
        name = self.write("wide.ndjson", text)
        for arguments, given in (([name], None), ([], text)):
            outcome = self.run(["-f", "ndjson", "--stages", "context", *arguments], given)
            self.report.equal("a long line among short ones", (outcome.status, self.contexts(outcome)), (0, [(0, 0), (1, 0), (2, 2)]))
        for cut in (text[:-400_000], text.replace(b"]", b"", 4)):
            name = self.write("wide.ndjson", cut + b"\n" + lines([document(3)]))
            for arguments, given in (([name], None), ([], cut + b"\n" + lines([document(3)]))):
                outcome = self.run(["-f", "ndjson", "--stages", "context", "--keep-going", *arguments], given)
                self.report.check(outcome.status == 3 and self.contexts(outcome)[-1][1] == 3, "the one behind a cut line", 3, outcome.said[-300:])

    def test_a_reader_that_leaves(self):
        with subprocess.Popen([self.program, "-f", "ndjson"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdin.write(lines([document(1)]))
            process.stdin.flush()
            process.stdout.readline()
            process.stdout.close()
            gone = False
            try:
                for _ in range(2000):
                    process.stdin.write(lines([document(1)] * 100))
            except BrokenPipeError:
                gone = True
            try:
                process.stdin.close()
            except BrokenPipeError:
                pass
            self.report.equal("exit where the reader has left", (process.wait(20), process.stderr.read()), (0, b""))
            self.report.check(gone, "no more is read for nobody")

    def test_a_signal_in_the_middle(self):
        with subprocess.Popen([self.program, "-o", "x.ndjson"], stdin=subprocess.PIPE, cwd=self.folder) as process:
            process.stdin.write(lines([document(1)] * 100))
            process.stdin.flush()
            until = time.monotonic() + 10
            while not os.listdir(self.folder) and time.monotonic() < until:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            self.report.equal("exit of an interrupted stream", process.wait(20), 130)
            process.stdin.close()
        self.report.equal("no file of an interrupted stream", os.listdir(self.folder), [])

    def test_warnings_tell_their_document(self):
        masked = {**document(1), "mask": {"keep": [[False]]}}
        name = self.write("x.ndjson", lines([document(0), masked]))
        outcome = self.run([name, "-f", "ndjson"])
        self.report.matches("a warning", outcome.said, r"^attn-calc: warning: x\.ndjson: document 1: ")
        self.report.matches("an error in text", self.run([self.write("y.ndjson", lines([document(0), {"embeddings": 1}]))]).said,
                            r"^attn-calc: error: y\.ndjson:2:16: document 1: /embeddings ")
        self.report.matches("the error of one alone", self.run([self.write("y.ndjson", lines([{"embeddings": 1}]))]).said,
                            r"^attn-calc: error: y\.ndjson:1:16: /embeddings ")

    def test_long_runs_of_lines_in_one(self):
        """Documents without a line end between them take no more time than lines."""
        count = 20_000
        text = json.dumps(document(1)).encode() * count
        outcome = self.run(["-f", "ndjson", "--stages", "context"], text)
        self.report.check(outcome.status == 0 and outcome.out.count(b'"end"') == count and outcome.seconds < 30, "one long line of documents", count, outcome.seconds)

    def files(self):
        return sorted(n for n in os.listdir(self.folder) if n not in ("x.ndjson", "y.ndjson"))

    def test_a_file_of_each_document(self):
        documents = [document(n, id=f"d{n}") for n in range(40)]
        documents[5] = large(5)
        name = self.write("x.ndjson", lines(documents))
        for form in ("npz", "json", "csv", "xlsx"):
            outcome = self.run([name, "-o", f"{{id}}.{form}", "-o", f"{{stem}}-{{n}}.{form}", "--threads", "2"])
            self.report.equal(f"{form}: exit", (outcome.status, outcome.out), (0, b""))
            self.report.equal(f"{form}: files", self.files(), sorted([f"{d['id']}.{form}" for d in documents] + [f"x-{n}.{form}" for n in range(40)]))
            for n in (3, 5):
                self.write("y.ndjson", lines([documents[n]]))
                self.run(["y.ndjson", "-o", f"alone.{form}"])
                with open(self.path(f"alone.{form}"), "rb") as alone, open(self.path(f"{documents[n]['id']}.{form}"), "rb") as one, \
                     open(self.path(f"x-{n}.{form}"), "rb") as two:
                    found = one.read()
                    self.report.equal(f"{form}: {n} by id and by number", found, two.read())
                    if form == "csv":
                        self.report.equal(f"{form}: {n} is as alone", found, alone.read())
            for file in self.files():
                os.remove(self.path(file))
        outcome = self.run(["-o", "{stem}.json"], lines(documents[:1]))
        self.report.equal("the stem of standard input", (outcome.status, self.files()), (0, ["stdin.json"]))

    def test_names_that_are_refused(self):
        good = document(0, id="good")
        for name, wrong, pattern, said in (
                ("no id", document(1), "{id}.json", r'x\.ndjson:2:1: document 1: the document has no "id"'), ("an empty id", document(1, id=""), "{id}.json", r"x\.ndjson:2:\d+: document 1: /id is empty"),
                ("out of the folder", document(1, id="../up"), "{id}.json", r'/id is "\.\./up", which is no part'), ("a folder", document(1, id="a/b"), "{id}.json", "/id is"),
                ("hidden", document(1, id=".x"), "{id}.json", "/id is"), ("a NUL", document(1, id="a\0b"), "{id}.json", "/id is"), ("a letter beyond ASCII", document(1, id="\u00e9"), "{id}.json", "/id is"),
                ("met twice", document(1, id="good"), "{id}.json", r"document 1: would be written to good\.json, as document 0 is"),
                ("one stem", document(1), "{stem}.json", r"document 1: would be written to x\.json, as document 0 is")):
            file = self.write("x.ndjson", lines([good, wrong, document(2, id="last")]))
            outcome = self.run([file, "-o", pattern])
            self.report.equal(f"{name}: exit and files", (outcome.status, self.files()), (3, []))
            self.report.matches(f"{name}: message", outcome.said, said)
            outcome = self.run([file, "-o", pattern, "--keep-going"])
            self.report.equal(f"{name}: the others", (outcome.status, self.files()), (3, ["good.json", "last.json"] if "{id}" in pattern else ["x.json"]))
            self.report.equal(f"{name}: nothing outside", os.path.exists(os.path.join(self.folder, "../up.json")), False)
            for made in self.files():
                os.remove(self.path(made))
        os.rename(self.path("x.ndjson"), self.path("x.json"))
        with open(self.path("x.json"), "rb") as file:
            before = file.read()
        outcome = self.run(["x.json", "-o", "{stem}.json"])
        with open(self.path("x.json"), "rb") as file:
            self.report.equal("the input is not overwritten", (outcome.status, file.read()), (2, before))
        outcome = self.run(["x.json", "-o", "missing/{n}.json"])
        self.report.equal("a folder that is not there", (outcome.status, self.files()), (4, ["x.json"]))

    def test_files_of_each_document_and_a_wrong_one(self):
        text = lines([document(0), {"embeddings": 1}, document(2)])
        for more, kept in ([], []), (["--keep-going"], ["0.npz", "2.npz"]):
            outcome = self.run(["-o", "{n}.npz", *more], text)
            self.report.equal(f"files beside a wrong document {more}", (outcome.status, self.files()), (3, kept))
        with subprocess.Popen([self.program, "-o", "part{n}.json"], stdin=subprocess.PIPE, cwd=self.folder) as process:
            process.stdin.write(lines([document(n) for n in range(100)]))
            process.stdin.flush()
            until = time.monotonic() + 10
            while len(os.listdir(self.folder)) < 50 and time.monotonic() < until:
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            self.report.equal("exit of an interrupted stream of files", process.wait(20), 143)
            process.stdin.close()
        self.report.equal("no file of it", [f for f in os.listdir(self.folder) if not f.endswith(".npz")], [])

    def test_ids(self):
        outcome = self.run([self.write("x.json", lines([document(1, id="a/b \u001b[1m")])), "-f", "json"])
        self.report.equal("an id of any text", harness.json_values(outcome.out)[0]["id"], "a/b \u001b[1m")
        outcome = self.run([self.write("x.json", lines([document(1, id=7)]))])
        self.report.check(outcome.status == 3 and re.search(r"x\.json:1:\d+: /id is the number 7", outcome.said), "an id that is no text", 3, outcome.said)


if __name__ == "__main__":
    sys.exit(harness.run_tests(Tests, __doc__))
