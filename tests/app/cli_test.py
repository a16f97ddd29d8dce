"""The command line from outside: exit status AND standard output AND standard error of each call."""
import json
import os
import pty
import re
import stat
import subprocess
import sys
import threading
import time
import unicodedata

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import CSV_HEADER, SANITIZED, SOURCE, Program, environment, execute, json_values, run_tests  # noqa: E402

GOOD = {"tokens": ["Hello", "shiny", "sun"], "embeddings": [[0.34, 0.22, 0.54], [0.53, 0.34, 0.98], [0.29, 0.54, 0.93]]}
EMPTY_ROW = {**GOOD, "mask": {"keep": [[1, 1, 1], [0, 0, 0], [1, 1, 1]]}}
WIDE = {"embeddings": {"init": "torch.randn", "seed": 1, "shape": [40, 30]}}
WRONG = '{\n  "tokens": ["a"],\n  "embedings": [[1]]\n}\n'
ERROR = r"\Aattn-calc: error: "
COMMANDS = ("run", "check", "init", "schema", "convert", "explain", "diff", "blindspots", "probe", "view", "completion")
COLOUR = "\x1b["
MEMORY_LIMIT = 200  # MB, of a trace whose scores alone are 256 MB


def columns_of(line):
    line = re.sub(r"\x1b\[[0-9;]*m", "", line)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


class Tests(Program):
    def __init__(self, program, report, folder):
        super().__init__(program, report, folder)
        for name, content in (("a.json", GOOD), ("b.json", GOOD), ("warn.json", EMPTY_ROW), ("wide.json", WIDE)):
            self.write(name, json.dumps(content))
        self.write("wrong.json", WRONG)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        try:
            with open(self.path(name), "rb") as file:
                return file.read()
        except OSError:
            return None

    def call(self, *arguments, stdin=None, env=None, stdout=None, folder=None):
        return execute([self.program, *arguments], folder or self.folder, stdin, env=env, stdout=stdout)

    def expect(self, name, result, status, out="", err=""):
        """out and err: patterns; "": nothing may be there; None: anything may."""
        self.report.equal(f"{name}: exit", result.status, status)
        for stream, text, pattern in (("standard output", result.text, out), ("standard error", result.said, err)):
            if pattern == "":
                self.report.equal(f"{name}: {stream}", text, "")
            elif pattern is not None:
                self.report.matches(f"{name}: {stream}", text, pattern)
        return result

    def test_help(self):
        main = self.expect("--help", self.call("--help"), 0, r"\A[^\n]+\n\s*(\n|.)*usage").text
        lines = main.splitlines()
        self.report.check(24 <= len(lines) <= 40 and max(map(len, lines)) <= 80, "--help fits a screen",
                          "24 to 40 lines of 80 columns", f"{len(lines)} of {max(map(len, lines), default=0)}")
        self.report.check(any(re.match(r"\s+attn-calc \S+\.json", line) for line in lines[:8]), "--help leads with examples",
                          "a command in the first 8 lines", "\n".join(lines[:8]))
        for flag in (["-h"], ["help"]):
            self.report.equal(f"{flag} is --help", self.call(*flag).text, main)
        for command in COMMANDS:
            self.report.matches(f"--help names {command}", main, rf"(?m)^\s+{command}\s")
            text = self.expect(f"{command} --help", self.call(command, "--help"), 0, rf"(?m)^\s+attn-calc {command}\b").text
            self.report.check(max(map(len, text.splitlines())) <= 80, f"{command} --help fits 80 columns", "80 columns", text)
            self.report.equal(f"--help {command}", self.call("--help", command).text, text)
        self.report.equal("--help wins over what is wrong elsewhere", self.call("run", "nothing.json", "-h").status, 0)

    def test_version(self):
        self.expect("--version", self.call("--version"), 0, r"\Aattn-calc \d+\.\d+\.\d+\n\Z")
        self.expect("--version -v", self.call("--version", "-v"), 0, r"\Aattn-calc \d+\.\d+\.\d+\n(.+\n)+\Z")

    def test_input(self):
        whole = self.expect("FILE alone", self.call("a.json"), 0, r"(?s)scores.*weights.*context").out
        self.report.equal("run FILE", self.call("run", "a.json").out, whole)
        text = json.dumps(GOOD).encode()
        for arguments in ([], ["-"], ["run"], ["run", "-"]):
            result = self.expect(f"{arguments} with a pipe", self.call(*arguments, stdin=text), 0, None)
            self.report.equal(f"{arguments} with a pipe: as a file", result.out, whole)
        self.expect("empty standard input", self.call(stdin=b""), 3, "", ERROR)
        self.expect("standard input that is wrong", self.call("-", stdin=WRONG.encode()), 3, "",
                    ERROR + r"\S*:3:3: .*embedings(.|\n)*embeddings")
        self.expect("no such file", self.call("nothing.json"), 3, "", ERROR + "nothing.json")
        self.expect("a folder", self.call("run", "."), 3, "", ERROR)
        self.expect("several files, one wrong", self.call("a.json", "wrong.json"), 3, r"\A=== a\.json", ERROR + r"wrong\.json:3:3: document 1: ")
        two = self.expect("several files", self.call("a.json", "b.json", "-f", "json"), 0, None)
        self.report.equal("several files: traces", len(json_values(two.out)), 2)
        headings = self.expect("several files as text", self.call("a.json", "b.json"), 0, r"(?s)a\.json.*b\.json")
        self.report.check(len(headings.out) > 2 * len(whole), "several files as text: both", 2 * len(whole), len(headings.out))
        events = [json_values(line)[0] for line in self.call("a.json", "-", "-f", "ndjson", stdin=text).out.splitlines()]
        self.report.equal("several documents: every event has its number",
                          [(e["event"], e["document"]) for e in events if e["event"] != "stage"],
                          [("begin", 0), ("end", 0), ("begin", 1), ("end", 1)])
        one = [json_values(line)[0] for line in self.call("a.json", "-f", "ndjson").out.splitlines()]
        self.report.check(not any("document" in e for e in one), "one document: no number", "no document", one[0])
        self.expect("two documents as tex", self.call("a.json", "b.json", "-f", "tex"), 2, "", ERROR)
        self.write("-dash.json", json.dumps(GOOD))
        self.expect("-- FILE", self.call("--", "-dash.json"), 0, "context")
        self.expect("run -- FILE", self.call("run", "-f", "json", "--", "-dash.json"), 0, r"\A\{")
        self.write("-1", json.dumps(GOOD))
        self.expect("run -- -1", self.call("run", "--", "-1"), 0, "context")
        self.expect("run ./-1", self.call("run", "./-1"), 0, "context")
        self.expect("-dash.json", self.call("-dash.json"), 2, "", ERROR)
        if os.geteuid() != 0:
            self.write("shut.json", "{}")
            os.chmod(self.path("shut.json"), 0)
            self.expect("a file that may not be read", self.call("shut.json"), 3, "", ERROR + "shut.json")

    def test_progress(self):
        """On a terminal, for work over half a second, and never where standard error is no terminal."""
        try:
            for end in pty.openpty():
                os.close(end)
        except OSError as error:
            print(f"progress is not tested: no pseudo-terminal is to be had here ({error})")
            return
        self.write("long.json", json.dumps({"embeddings": {"init": "torch.randn", "seed": 1, "shape": [300, 8]}}))
        n = 1500 if SANITIZED else 9600
        self.write("deep.json", json.dumps({"variant": "scaled_dot_product", **{
            name: {"init": "torch.rand", "seed": 1, "shape": [1, 8, n, dim]}
            for name, dim in (("queries", 64), ("keys", 64), ("values", 4))}}))
        form = r"attn-calc: {} \d+ %, [\d.]+ [kMGTP]? ?{}/s, \d+ (s|min) left"
        for name, arguments, pattern in (("long.json", ["--stages", "weights"], form.format("weights", "numbers")),
                                         ("deep.json", ["--stages", "context", "--threads", "1"],
                                          form.format("computing context", "operations"))):
            call = ["run", name, *arguments, "-f", "csv"]
            said = self.on_terminal(*call)
            self.report.matches(f"{name}: progress on a terminal", said, pattern)
            self.report.check(said.endswith("\r") and "\n" not in said, f"{name}: progress is wiped", "an empty line", said[-80:])
            shares = [int(n) for n in re.findall(r" (\d+) %", said)]
            self.report.check(len(shares) > 0 and shares == sorted(shares) and shares[-1] <= 100, f"{name}: never backwards", "rising", shares)
            self.report.equal(f"{name}: -q", self.on_terminal(*call, "-q"), "")
            narrow = self.on_terminal(*call, env=environment(COLUMNS="32"))
            self.report.check("computing" in narrow or "weights" in narrow, f"{name}: progress on 32 columns", "a line", narrow[-200:])
            self.report.check(all(len(line) < 32 for line in narrow.split("\r")), f"{name}: clipped", "less than 32 columns", narrow[-200:])
        self.report.equal("no terminal, no progress", self.call("run", "long.json", "-f", "csv").said, "")
        self.report.equal("short work is silent", self.on_terminal("a.json", "-f", "csv", wait=0), "")

    def on_terminal(self, *arguments, wait=0.8, env=None):
        """What the program says on standard error where that is a terminal; nobody reads its output for a while."""
        main, other = pty.openpty()
        with subprocess.Popen([self.program, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=other, env=env) as process:
            os.close(other)
            time.sleep(wait)
            drain = threading.Thread(target=process.stdout.read)
            drain.start()
            said = b""
            while True:
                try:
                    piece = os.read(main, 65536)
                except OSError:  # the other end is closed
                    break
                if not piece:
                    break
                said += piece
            process.wait()
            drain.join()
        os.close(main)
        return said.decode()

    def test_usage(self):
        for arguments, words in ((["rnu", "a.json"], "run"), (["chek", "a.json"], "check"), (["shcema", "input"], "schema"),
                                 (["--formt", "json", "a.json"], "--format"), (["a.json", "--stage", "weights"], "--stages"),
                                 (["a.json", "--pricision", "2"], "--precision"), (["a.json", "-f", "jsn"], "json"),
                                 (["a.json", "--dtype", "float23"], "float32"), (["a.json", "--color", "alway"], "always"),
                                 (["init", "multi_haed"], "multi_head"), (["schema", "inputt"], "input"),
                                 (["a.json", "-stages", "x"], "--stages")):
            self.expect(f"{arguments}", self.call(*arguments), 2, "", ERROR + rf"(.|\n)*{re.escape(words)}")
        for arguments in (["a.json", "-f"], ["a.json", "-p", "x"], ["a.json", "-p", "-1"], ["a.json", "--threads", "-2"],
                          ["a.json", "--width", "0"], ["a.json", "--max-memory", "many"], ["a.json", "--kernels", "sse9"],
                          ["a.json", "--top", "0"], ["schema"], ["schema", "input", "trace"], ["a.json", "--zzzzzz"],
                          ["check", "a.json", "-f", "csv"], ["init", "nothing_of_the_kind"], ["a.json", "-f", "csv:x"],
                          ["a.json", "-o", "x.unknown"], ["a.json", "-o", "x"], ["schema", "input", "--rows", "1"],
                          ["a.json", "-o", "x.json:nonsense"], ["a.json", "-f", "bmp"], ["completion", "tcsh"]):
            self.expect(f"{arguments}", self.call(*arguments), 2, "", ERROR)
        self.report.equal("nothing was written", [n for n in os.listdir(self.folder) if n.startswith("x")], [])
        self.expect("an unknown option", self.call("a.json", "--zz\x1b[31m"), 2, "", r"\A[^\x1b]*\Z")

    def test_options_anywhere(self):
        wanted = self.call("run", "a.json", "-f", "json", "--stages", "weights").out
        for arguments in (["-f", "json", "--stages", "weights", "a.json"], ["--stages=weights", "run", "-fjson", "a.json"],
                          ["run", "--format=json", "a.json", "--stages=weights"], ["-f", "json", "a.json", "--stages", "weights"],
                          ["-f", "json", "run", "--stages", "weights", "--", "a.json"]):
            self.report.equal(f"{arguments}", self.call(*arguments).out, wanted)

    def test_output(self):
        for name, start in (("out.json", b"{"), ("out.csv", ",".join(CSV_HEADER).encode()), ("out.ndjson", b'{"event"'),
                            ("out.txt", b""), ("out.dat:json", b"{")):
            file = name.split(":")[0]
            self.expect(f"-o {name}", self.call("a.json", "-o", name), 0)
            content = self.read(file)
            self.report.check(content and content.startswith(start), f"-o {name}", start, content and content[:60])
            form = {"out.txt": "text", "out.dat:json": "json"}.get(name, file.split(".")[1])
            self.report.equal(f"-o {name}: as -f {form}", content, self.call("a.json", "-f", form).out)
        both = self.expect("-f json -o out2.csv", self.call("a.json", "-f", "json", "-o", "out2.csv"), 0, r"\A\{")
        self.report.equal("-f json -o out2.csv: standard output", both.out, self.call("a.json", "-f", "json").out)
        self.report.equal("-f json -o out2.csv: file", self.read("out2.csv"), self.read("out.csv"))
        self.expect("two -o", self.call("a.json", "-o", "two.json", "-o", "two.csv"), 0)
        self.report.equal("two -o: files", [self.read("two.json"), self.read("two.csv")],
                          [self.read("out.json"), self.read("out.csv")])
        self.expect("-o in a folder that is not there", self.call("a.json", "-o", "nowhere/x.json"), 4, "", ERROR + ".*nowhere")
        os.mkdir(self.path("folder.json"))
        self.expect("-o a folder", self.call("a.json", "-o", "folder.json"), 4, "", ERROR)
        self.expect("-o /dev/null", self.call("a.json", "-o", "/dev/null:json"), 0)
        self.expect("-o /dev/full", self.call("a.json", "-o", "/dev/full:json"), 4, "", ERROR)
        with open("/dev/full", "wb") as full:
            for form in ("text", "json", "ndjson", "csv", "torch"):
                self.expect(f"-f {form} > /dev/full", self.call("a.json", "-f", form, stdout=full), 4, "", ERROR)
            for arguments in (["--help"], ["--version"], ["schema", "input"], ["init"], ["check", "a.json"]):
                self.expect(f"{arguments} > /dev/full", self.call(*arguments, stdout=full), 4, "", ERROR)
        self.replaced()

    def replaced(self):
        """A file is either as it was or as it should be, and nothing is left beside it."""
        folder = self.path("place")
        os.mkdir(folder)
        self.write("place/old.json", "old")
        before = os.stat(self.path("place/old.json"))
        self.expect("a failing input", self.call("wrong.json", "-o", "place/old.json"), 3, "", ERROR)
        self.expect("a failing second input", self.call("a.json", "wrong.json", "-o", "place/old.json"), 3, "", ERROR)
        self.expect("a stage that is not there", self.call("a.json", "--stages", "output", "-o", "place/old.json"), 2, "", ERROR)
        self.expect("an output that fails beside it",
                    self.call("a.json", "-o", "place/old.json", "-o", "nowhere/x.csv"), 4, "", ERROR)
        self.report.equal("the old file is untouched", self.read("place/old.json"), b"old")
        self.report.equal("nothing is left beside it", os.listdir(folder), ["old.json"])
        os.link(self.path("place/old.json"), self.path("place/link"))
        os.chmod(self.path("place/old.json"), 0o640)
        self.expect("a good input", self.call("a.json", "-o", "place/old.json"), 0)
        after = os.stat(self.path("place/old.json"))
        self.report.check(after.st_ino != before.st_ino and self.read("place/link") == b"old", "renamed into place",
                          "a new file, the old one whole", self.read("place/link"))
        self.report.equal("the mode stays", stat.S_IMODE(after.st_mode), 0o640)
        self.report.equal("nothing is left after it", sorted(os.listdir(folder)), ["link", "old.json"])

    def test_closed_pipe(self):
        for form in ("text", "json", "ndjson", "csv"):
            process = subprocess.Popen([self.program, "wide.json", "-f", form], cwd=self.folder, env=environment(),
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            process.stdout.close()
            said = process.stderr.read()
            process.stderr.close()
            self.report.equal(f"-f {form} into a closed pipe", [process.wait(), said], [0, b""])

    def test_colour(self):
        plain = self.call("a.json").text
        self.report.check(COLOUR not in plain, "no colour without a terminal", "plain text", plain)
        for arguments, changes, coloured in ((["--color", "always"], {}, True), (["--color=never"], {"CLICOLOR_FORCE": "1"}, False),
                                             ([], {"CLICOLOR_FORCE": "1"}, True), ([], {"CLICOLOR_FORCE": "0"}, False),
                                             ([], {"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False),
                                             (["--color", "auto"], {"NO_COLOR": "1"}, False),
                                             (["--color", "always"], {"NO_COLOR": "1"}, True)):
            text = self.call("a.json", *arguments, env=environment(**changes)).text
            self.report.check((COLOUR in text) == coloured, f"{arguments} {changes}", "colour" if coloured else "none", text[:120])
            self.report.equal(f"{arguments} {changes}: the same text", re.sub(r"\x1b\[[0-9;]*m", "", text), plain)
        for form in ("json", "csv", "ndjson"):
            text = self.call("a.json", "-f", form, "--color", "always").text
            self.report.check(COLOUR not in text, f"-f {form} has no colour", "plain", text[:80])

    def test_text(self):
        for document in ("a.json", "wide.json"):
            for width in (40, 80, 200):
                lines = self.call(document, "--width", str(width)).text.splitlines()
                widest = max(lines, key=columns_of, default="")
                self.report.check(lines and columns_of(widest) <= width, f"{document} --width {width}",
                                  f"at most {width} columns", f"{columns_of(widest)}: {widest}")
        narrow, broad = (self.call("wide.json", "--width", w, "--stages", "weights").text for w in ("80", "200"))
        self.report.check(max(map(columns_of, broad.splitlines())) > 100, "--width 200 is used", "more than 100 columns", broad[:200])
        self.report.matches("what is cut is said", narrow, r"(?s)…|\.\.\.")
        self.report.matches("how to see it is said", narrow, r"--(rows|cols|width|precision)")
        text = self.call("a.json", "--ascii")
        self.report.check(text.status == 0 and text.text.isascii() and "context" in text.text, "--ascii", "ASCII only",
                          [c for c in text.text if not c.isascii()][:9])
        self.report.check(self.call("wide.json", "--ascii", "--width", "60").text.isascii(), "--ascii of a cut table", "ASCII only")
        for digits in (0, 2, 8):
            text = self.call("a.json", "-p", str(digits), "--stages", "queries").text
            wanted = {0: r"\s1?\s*[01]\b", 2: r"\b0\.34\b(?!\d)", 8: r"\b0\.34000000\b"}[digits]
            self.report.matches(f"-p {digits}", text, wanted)
        self.report.check("0.3400" not in self.call("a.json", "--precision=2").text, "--precision=2", "two digits", "four")
        top = self.expect("--top 1", self.call("a.json", "--stages", "weights", "--top", "1"), 0, None).text
        for query, key in (("Hello", "shiny"), ("shiny", "shiny"), ("sun", "shiny")):
            self.report.matches(f"--top 1: {query} looks at {key}", top, rf"(?m)^\s*{query}\b.*\b{key}\b")
        self.report.check(len(re.findall(r"0\.\d{4}", top)) == 3, "--top 1", "three numbers", top)

    def test_messages(self):
        text = self.expect("an error", self.call("wrong.json"), 3, "", ERROR + r"wrong\.json:3:3: .*embedings").said
        self.report.matches("an error: excerpt and hint", text, r'(?s)\n\s*3 \|   "embedings".*\n\s*\|   \^+\n.*hint: .*embeddings')
        for arguments, status in ((["wrong.json"], 3), (["a.json", "--zz"], 2), (["a.json", "-o", "nowhere/x.json"], 4)):
            result = self.expect(f"{arguments} --error-format json", self.call(*arguments, "--error-format", "json"), status, "", None)
            try:
                lines = [json_values(line) for line in result.err.splitlines()]
                self.report.check(lines and all(len(v) == 1 and isinstance(v[0], dict) for v in lines),
                                  f"{arguments} --error-format json", "one object a line", result.said)
            except ValueError as error:
                self.report.check(False, f"{arguments} --error-format json", "JSON", f"{error}: {result.said}")
        place = self.call("wrong.json", "--error-format=json").said
        self.report.check(all(re.search(p, place) for p in (r"wrong\.json", r":\s*3\b", "embedings", "embeddings")),
                          "--error-format json has the place and the hint", "file, line, name, hint", place)
        warning = r"\Aattn-calc: warning: warn\.json: [^\n]+\n\Z"
        self.expect("a warning", self.call("warn.json"), 0, None, warning)
        self.expect("a warning once", self.call("warn.json", "-f", "json", "-o", "warn.csv", "-o", "warn.txt"), 0, None, warning)
        self.expect("-q", self.call("warn.json", "-q"), 0, "context", "")
        self.expect("-v", self.call("a.json", "-v"), 0, "context", r"\S")
        self.report.equal("-v: the same output", self.call("a.json", "-v").out, self.call("a.json").out)
        result = self.call("warn.json", "--error-format", "json")
        self.report.check(result.status == 0 and isinstance(json_values(result.err)[0], dict), "a warning as JSON", "an object",
                          result.said)

    def test_init(self):
        root = os.path.join(SOURCE, "data", "examples")
        names = sorted(os.path.relpath(os.path.join(folder, f), root)[:-5]
                       for folder, _, files in os.walk(root) for f in files if f.endswith(".json"))
        self.report.check(any("/" in n for n in names), "init: examples in folders", "some", names)
        listed = self.expect("init", self.call("init"), 0, None).text
        self.report.check(all(re.search(rf"(?m)^\s*{n}\b", listed) for n in names), "init lists the examples", names, listed)
        place = self.path("init")
        os.mkdir(place)
        for name in names:
            result = self.call("init", name, folder=place)
            file_name = name.split("/")[-1] + ".json"
            with open(os.path.join(root, name + ".json"), "rb") as file:
                self.report.check(result.status == 0 and not result.out and self.read(f"init/{file_name}") == file.read(),
                                  f"init {name}", "the example as a file", f"exit {result.status} {result.said}")
            self.report.equal(f"init {name}: computed", self.call(file_name, folder=place).status, 0)
        self.expect("init without the folder's name", self.call("init", "gpt2", folder=place), 2, "", r"models/gpt2")
        self.write(f"init/{names[0]}.json", "mine")
        self.expect("init over a file", self.call("init", names[0], folder=place), 4, "", ERROR + rf".*{names[0]}\.json")
        self.report.equal("init over a file: untouched", self.read(f"init/{names[0]}.json"), b"mine")
        self.expect("init -o", self.call("init", names[1], "-o", "mine.json", folder=place), 0, "", None)
        self.expect("init -o -", self.call("init", names[1], "-o", "-", folder=place), 0, r"\A\{")

    def test_check(self):
        text = self.expect("check", self.call("check", "a.json"), 0, r"(?s)scores.*weights.*context").text
        self.report.check("0.34" not in text, "check computes nothing", "no number of the document", text)
        plan = self.expect("check -f json", self.call("check", "a.json", "-f", "json"), 0, r"\A\{").out
        self.report.check(isinstance(json_values(plan)[0], dict), "check -f json", "JSON", plan[:80])
        self.expect("check of something wrong", self.call("check", "wrong.json"), 3, "", ERROR + r"wrong\.json:3:3")
        self.write("huge.json", json.dumps({"embeddings": {"init": "torch.randn", "seed": 1, "shape": [60000, 64]}}))
        result = self.call("check", "huge.json")
        self.report.check(result.status == 0 and (result.seconds < 2 or SANITIZED), "check of much work", "exit 0 in no time",
                          f"exit {result.status}, {result.seconds:.1f} s {result.said}")

    def test_memory(self):
        for size in ("10k", "1000"):
            self.expect(f"--max-memory {size}", self.call("wide.json", "--max-memory", size), 3, "", ERROR + ".*memory")
        self.expect("--max-memory 1G", self.call("wide.json", "--max-memory", "1G"), 0, "context")
        self.expect("--max-memory 2GiB", self.call("wide.json", "--max-memory=2GiB"), 0, "context")
        self.expect("--max-memory and -o", self.call("wide.json", "--max-memory", "10k", "-o", "never.json"), 3, "", ERROR)
        self.report.equal("--max-memory and -o: nothing written", self.read("never.json"), None)
        drawn = {"variant": "scaled_dot_product", **{
            name: {"init": "torch.randn", "seed": seed, "shape": [8192, 64]}
            for seed, name in enumerate(("queries", "keys", "values"), 1)}}
        self.write("long.json", json.dumps(drawn))
        for form in ("ndjson", "csv"):
            for rows in [["--rows", "0:256"]] + ([[]] if os.environ.get("ATTN_SLOW") == "1" else []):
                with open(os.devnull, "wb") as sink:
                    result = execute([self.program, "long.json", "-f", form, *rows], self.folder, stdout=sink, seconds=900)
                name = f"8192 queries and keys as {form} {' '.join(rows)}"
                self.expect(name, result, 0, None, None)
                if not SANITIZED:
                    self.report.check(result.megabytes < MEMORY_LIMIT, name, f"less than {MEMORY_LIMIT} MB",
                                      f"{result.megabytes} MB")


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))
