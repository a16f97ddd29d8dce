"""No accepted option does nothing: each command, each of its formats, each option of its help, seen from outside.

An option changes what is written or said, or it is refused (exit 2) with the formats that it is for. What an
option takes is learnt from --help alone, so a new option without a value here is a failure, too.
"""
import glob
import json
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Report, execute, parser_of, program_of  # noqa: E402

# Two batch items, heads of size 1 nowhere but in the batch of one.json; a hidden row (a warning), tokens beyond
# ASCII, infinities, more columns than 40 characters hold, numbers of many digits.
TOKENS = ["Ünïcode", "b", "c", "d", "e", "f"]
ROWS = [[((7 * i + 3 * j) % 11) / 7 - 0.6 for j in range(8)] for i in range(6)]
RICH = {"tokens": TOKENS, "embeddings": [ROWS, [row[::-1] for row in ROWS]], "num_heads": 2, "variant": "multi_head",
        "mask": {"keep": [[i >= j and i != 2 for j in range(6)] for i in range(6)]},
        "weights": {"init": "torch.nn.Linear", "seed": 1, "d_out": 8}}
ONE = {**RICH, "embeddings": ROWS}

VALUES = {  # what is given to an option; the options of a command that need others beside them
    "--stages": "weights", "--batch": "1", "--heads": "1", "--rows": "1", "--cols": "1", "--row": "3", "--head": "1",
    "--cell": "weights[1,0]", "--level": "full", "--blank": "weights", "--tokens": "5", "--kv-heads": "1",
    "--causal": "false", "--window": "2", "--softcap": "2", "--seed": "9", "--atol": "9", "--rtol": "9", "--ulp": "1000000000",
    "--digits": "1", "--map": "tlens", "--layout": "tokens-first", "--layer": "1", "--dtype": "float64",
    "--weights": "w.npz", "--prefix": "p.", "--max-memory": "2k", "--format": None, "--output": None, "--top": "2",
    "--precision": "2", "--nonfinite": "null", "--width": "40", "--background": "light", "--color": "always", "--set": "scale=2", "--error-format": "json"}
BESIDE = {"--key": ["--blank", "weights"], "--background": ["--color", "always"]}
# Their effect is on time, not on what is written: numbers are the same bits for any number of threads and any kernels.
SILENT = {"--threads", "--kernels"}
# What depends on THEIRS: diff_test.py sees that each acts.
OF_THEIRS = {"--map", "--layout", "--layer", "--digits", "--atol", "--rtol", "--ulp"}
# Other tests see these act: files of tensors (read_files), float64 below the digits that are shown.
MODELS = ("--model", "--stack", "--as", "--embeddings", "--block", "--key-embeddings", "--root")  # models_folder_test.py
ELSEWHERE = {*((c, o) for c in ("run", "check", "explain", "view", "init", "diff", "blindspots") for o in MODELS), ("diff", "--dtype"), ("diff", "--ignore-unknown"), ("run", "--keep-going"), ("blindspots", "--dtype"), *((c, o) for c in ("run", "check", "explain", "view") for o in ("--weights", "--prefix"))}
ELSEWHERE |= {(c, "--watch") for c in ("run", "check", "explain", "view")}  # watch_test.py: they do not end
MESSAGES = {"--color", "--error-format"}


class Tests:
    def __init__(self, program, report, folder):
        self.program, self.report, self.folder = program, report, folder
        for name, content in (("x.json", RICH), ("one.json", ONE)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                json.dump(content, file)

    def call(self, *arguments):
        before = set(os.listdir(self.folder))
        result = execute([self.program, *arguments], self.folder)
        files = {}
        for name in sorted(set(os.listdir(self.folder)) - before):
            with open(os.path.join(self.folder, name), "rb") as file:
                files[name] = file.read()
            os.remove(os.path.join(self.folder, name))
        return result.status, result.out, result.err, files

    def options(self, command):
        """The options in a command's help, and whether each takes a value."""
        text = self.call(command, "--help")[1].decode()
        found = re.findall(r"(?m)^  (?:-\w, )?(--[\w-]+)( [A-Z][\w,=]*)?(?=  |$)", text)
        self.report.check(len(found) > 4, f"{command} --help has options", "some", text)
        return {name: bool(value) for name, value in found}

    def formats(self, command):
        said = self.call(command, "a", "b", "-f", "nonsense", *(["-o", "-"] if command == "convert" else []))[2].decode()
        found = re.search(r"formats: (.*)", said)
        return re.split(r", | or ", found[1]) if found else [None]

    def base(self, command, form):
        """A call that works, and whose result has what options act on."""
        words = {"run": ["run", "x.json"], "check": ["check", "x.json"], "explain": ["explain", "x.json"],
                 "blindspots": ["blindspots", "one.json"], "view": ["view", "x.json"], "probe": ["probe"], "init": ["init"], "schema": ["schema", "input"], "completion": ["completion", "bash"],
                 "convert": ["convert", "trace.json"], "diff": ["diff", "theirs.json", "x.json"]}[command]
        if form == "npy":
            words = words + ["--stages", "weights" if command == "convert" else "masked_scores"]
        return words + (["-f", form] if form else [])

    def prepare(self):
        trace = json.loads(self.call("run", "x.json", "-f", "json")[1])
        with open(os.path.join(self.folder, "trace.json"), "w", encoding="utf-8") as file:
            json.dump(trace, file)
        theirs = {name: stage["data"] for name, stage in trace["stages"].items() if name in ("queries", "scaled_scores", "weights", "output")}
        theirs["scaled_scores"][0][0][3][1] += 0.5
        theirs["weights"][0][0][3][1] += 0.25
        with open(os.path.join(self.folder, "theirs.json"), "w", encoding="utf-8") as file:
            json.dump(theirs, file)

    def one(self, command, form, option, takes_value):
        name = f"{command} {'-f ' + form if form else ''} {option}"
        base = self.base(command, form) + (BESIDE.get(option, []) if form != "svg" and (command, form) != ("view", "html") else [])
        if option == "--squeeze":
            base[1] = "one.json"
        if option == "--stages" and form == "npy":
            return  # it stands in the call
        if option in ("--help", "--version", "--format", "--output") or option in OF_THEIRS or (command, option) in ELSEWHERE:
            return
        value = VALUES.get(option, "")
        if option in MESSAGES:
            words = [w for w in base if w not in ("-f", form)] + ["--stagse"]
            self.report.check(self.call(*words) != self.call(*words, option, value), f"{name}: accepted", "another message", "the same")
            return
        if option == "--quiet" and (command not in ("run", "probe") or form == "npy"):
            return  # without a warning there is nothing to leave out
        if option == "--dtype" and (command == "explain" and form != "json" or command == "view"):
            base = base + ["-p", "12"]
        if option in SILENT:
            wrong = self.call(*base, option, "nonsense")
            self.report.equal(f"{name}: a wrong value", wrong[0], 2)
            return
        if option == "--dtype" and command == "convert":
            value = "float16"
        if option == "--stages" and command == "view":  # weights are drawn in any case
            value = "scores"
        if option == "--tokens" and command == "view":
            value = "u,v,w,x,y,z"
        if option == "--width" and command == "probe":
            value = "16"
        if option == "--heads" and command == "probe":
            value = "4"
        if takes_value and not self.report.check(value != "", f"{name}: a value to try", "one in VALUES"):
            return
        plain = self.call(*base)
        self.report.check(plain[0] in (0, 1), f"{name}: without it", "exit 0", plain[2])
        given = self.call(*base, option, *([value] if takes_value else []))
        if given[0] == 2:
            self.report.matches(f"{name}: refused", given[2].decode(), rf"\Aattn-calc: error: {option} (is for .*, and the output is {form}|has no use: )")
            return
        self.report.check(given != plain, f"{name}: accepted", "another output, or another word", "the same")
        self.report.check(given[0] in (0, 1) or option == "--max-memory", f"{name}: accepted", "exit 0", given[2])

    def test_words(self, known):
        """Messages name options that there are: the library by lib/option_words.hpp alone."""
        literal = re.compile(r'R"(\w*)\((.*?)\)\1"|"((?:[^"\\\n]|\\.)*)"', re.S)
        for path in sorted(glob.glob(os.path.join(SOURCE, "app", "**", "*.cpp"), recursive=True) + glob.glob(os.path.join(SOURCE, "lib", "**", "*.?pp"), recursive=True)):
            name = os.path.relpath(path, SOURCE)
            with open(path, encoding="utf-8") as file:
                text = re.sub(r"//[^\n]*", "", file.read())
            if name == "app/completion.cpp":
                continue  # its scripts are other languages
            said = {w for m in literal.finditer(text) for w in re.findall(r"(?<![\w-])--[a-z][a-z-]*", m[2] or m[3] or "")}
            self.report.check(said <= known, f"{name}: options that messages name", "some of the table", said - known)
            if name.startswith("lib/") and name != "lib/option_words.hpp":
                self.report.equal(f"{name}: options by their words", said, set())

    def test_all(self):
        self.prepare()
        known = set()
        for command in ("run", "check", "init", "schema", "convert", "explain", "diff", "blindspots", "probe", "view", "completion"):
            options = self.options(command)
            known |= set(options)
            for form in self.formats(command):
                for option, takes_value in options.items():
                    self.one(command, form, option, takes_value)
        self.test_words(known)


def main():
    options = parser_of(__doc__).parse_args()
    program, report = program_of(options), Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        Tests(program, report, folder).test_all()
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
