"""What is printed from the tables of commands and options: completion in three shells, the manual page, docs/commands.md.

The options of a command, and the values that they know, are learnt from its --help; each shell is asked what it would complete.
"""
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Program, execute, run_tests  # noqa: E402

# What bash hands to a completion: --option=value is three words there.
ASK_BASH = r'''
. "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_attn_calc attn-calc "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
[ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"
'''
# The script is a function of completion; what it asks zsh's own functions for is printed.
ASK_ZSH = r'''
compdef() { }; _describe() { print -rl -- "${known[@]%%:*}" }; _arguments() { print -rl -- "$@" }
source "$1"; shift
words=("$@"); CURRENT=$#
_attn_calc
'''


class Tests(Program):
    def __init__(self, program, report, folder):
        super().__init__(program, report, folder)
        self.tool = os.path.join(os.path.dirname(os.path.dirname(program)), "attn-pages")
        main = self.out(program, "--help")
        self.commands = re.findall(r"(?m)^  ([a-z]+) ", main.split("\ncommands\n")[1].split("\n\n")[0])
        self.options = {c: re.findall(r"(?m)^  (?:(-\w), )?(--[\w-]+)( [A-Z]\S*)?(?=  |$)", self.out(program, c, "--help")) for c in self.commands}
        for name in ("trace.json", "a file.json"):
            with open(os.path.join(folder, name), "w", encoding="utf-8"):
                pass

    def out(self, *command):
        done = execute(command, self.folder)
        self.report.equal(f"{' '.join(command[:4])}: exit", (done.status, done.said), (0, ""))
        return done.text

    def names(self, command):
        return {name for pair in self.options[command] for name in pair[:2] if name}

    def script(self, shell):
        path = os.path.join(self.folder, f"completion.{shell}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.out(self.program, "completion", shell))
        return path

    def test_commands(self):
        self.report.check(len(self.commands) > 8, "commands of --help", "some", self.commands)
        done = execute([self.program, "completion"], self.folder)
        self.report.equal("without a shell", (done.status, done.said.split("\n")[0]), (2, "attn-calc: error: attn-calc completion takes one name: bash, zsh or fish"))
        done = execute([self.program, "completion", "bahs"], self.folder)
        self.report.check(done.status == 2 and 'did you mean "bash"?' in done.said, "a mistyped shell", "a suggestion", done.said)
        self.out(self.program, "completion", "bash", "-o", "to")
        with open(os.path.join(self.folder, "to"), encoding="utf-8") as file:
            self.report.equal("-o", file.read(), self.out(self.program, "completion", "bash"))
        os.remove(os.path.join(self.folder, "to"))

    def test_bash(self):
        path = self.script("bash")
        self.out("bash", "-n", path)

        def ask(*words):
            return sorted(self.out("bash", "--norc", "-c", ASK_BASH, "bash", path, "attn-calc", *words).splitlines())

        check = self.report.equal
        check("bash: commands", ask("pro"), ["probe"])
        check("bash: all commands and files", set(ask("")), {*self.commands, "help", "trace.json", "a file.json", "completion.bash"})
        check("bash: after help", ask("help", "bl"), ["blindspots"])
        check("bash: files", ask("a"), ["a file.json"])
        check("bash: a file makes it run", "--verbose" in ask("trace.json", "--v"), True)
        for command in self.commands:
            check(f"bash: {command} --", set(ask(command, "-")), self.names(command))
            check(f"bash: {command}, an option before", set(ask("--color", "never", command, "--")), {n for n in self.names(command) if n.startswith("--")})
        check("bash: values", ask("run", "--color", "a"), ["always", "auto"])
        check("bash: values after =", ask("run", "--color", "=", "n"), ["never"])
        check("bash: all values after =", ask("run", "--color", "="), ["always", "auto", "never"])
        check("bash: an option after --option=value", set(ask("--color", "=", "never", "probe", "--kv")), {"--kv-heads"})
        check("bash: values by command", (ask("run", "--dtype", ""), ask("convert", "--dtype", "")), (["bfloat16", "float16", "float32", "float64"], ["bfloat16", "float16", "float32", "float64"]))
        check("bash: formats", ask("probe", "-f", ""), ["json", "npz", "safetensors"])
        check("bash: lists", ask("run", "--stages", "scores,masked_s"), ["scores,masked_scores"])
        check("bash: files of options", ask("run", "--weights", "tra"), ["trace.json"])
        check("bash: keys", (ask("run", "--set", "caus"), ask("diff", "--set", "num_he")), (["causal="], ["num_heads="]))
        check("bash: numbers", ask("run", "--top", ""), [])
        check("bash: names in place of files", ask("schema", ""), ["input", "trace"])
        check("bash: examples", ask("init", "models/gpt2"), ["models/gpt2"])

    def test_zsh(self):
        path = self.script("zsh")
        if not shutil.which("zsh"):
            return
        self.out("zsh", "-f", "-n", path)

        def ask(*words):
            return self.out("zsh", "-f", "-c", ASK_ZSH, "zsh", path, "attn-calc", *words).splitlines()

        self.report.equal("zsh: commands", [w for w in ask("") if re.fullmatch("[a-z]+", w)], self.commands)
        for command in self.commands:
            specs = [s for s in ask(command, "") if "--" in s or s.startswith(("(-", "-", "*-"))]
            found = {re.sub(r"^(\*|\([^)]*\))", "", s).split("[")[0] for s in specs} - {""}
            self.report.equal(f"zsh: {command}", {n for n in found if n.startswith("-") and n not in ("-s", "-S")}, self.names(command))

    def test_fish(self):
        path = self.script("fish")
        if not shutil.which("fish"):
            return
        self.out("fish", "--no-execute", path)

        def ask(line):
            text = self.out("fish", "--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"', path, "attn-calc " + line)
            return {entry.split("\t")[0] for entry in text.splitlines()}

        check = self.report.equal
        check("fish: commands", {w for w in ask("") if w in self.commands}, set(self.commands))
        for command in self.commands:
            check(f"fish: {command} --", ask(f"{command} --"), {n for n in self.names(command) if n.startswith("--")})
        check("fish: values", ask("run --color "), {"auto", "always", "never"})
        check("fish: values after =", ask("run --color=n"), {"--color=never"})
        check("fish: values by command", ask("convert --dtype b"), {"bfloat16"})
        check("fish: keys", ask("run --set caus"), {"causal="})
        check("fish: lists", "scores,weights" in ask("run --stages scores,w"), True)
        check("fish: names in place of files", ask("schema "), {"input", "trace"})

    def test_manual(self):
        path = os.path.join(self.folder, "attn-calc.1")
        self.out(self.tool, "manual", path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        lines = text.splitlines()
        self.report.check(any(line.startswith(".TH ATTN") for line in lines[:3]), "manual: .TH", "at the top", lines[:3])
        known = {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".BR", ".nf", ".fi", ".\\\""}
        self.report.equal("manual: requests", {line.split(" ")[0] for line in lines if line.startswith((".", "'"))} - known, set())
        for before, after in zip(lines, lines[2:]):
            if before == ".TP":
                self.report.check(not after.startswith("."), "manual: a text behind each tag", "text", after)
        plain = text.replace("\\-", "-")
        for command in self.commands:
            section = plain.split(f'.SH "attn-calc {command}"\n')[-1].split("\n.SH ")[0]
            self.report.equal(f"manual: {command}", {n for line in re.findall(r"(?m)^\.TP\n\.B (.*)$", section) for n in re.findall(r"--?[a-z][\w-]*", line)}, self.names(command))
        for lint in (["mandoc", "-T", "lint", "-W", "warning", path], ["groff", "-man", "-ww", "-z", path]):
            if shutil.which(lint[0]):
                done = execute(lint, self.folder)
                said = [line for line in (done.text + done.said).splitlines() if "missing date" not in line]  # it has none: a build is to be repeatable
                self.report.equal(f"manual: {lint[0]}", said, [])

    def test_page(self):
        path = os.path.join(self.folder, "commands.md")
        self.out(self.tool, "commands", path)
        with open(path, encoding="utf-8") as new, open(os.path.join(SOURCE, "docs", "commands.md"), encoding="utf-8") as old:
            self.report.check(new.read() == old.read(), "docs/commands.md", "what the tables say: python3 tests/app/commands_page.py build/.../attn-pages", "another text")
        table = os.path.join(self.folder, "models.md")
        self.out(self.tool, "models", table)
        with open(table, encoding="utf-8") as new, open(os.path.join(SOURCE, "docs", "models.md"), encoding="utf-8") as old:
            self.report.check(f"<!-- architectures -->\n{new.read()}<!-- end of architectures -->\n" in old.read(), "docs/models.md", "what the tables say: python3 tests/app/commands_page.py build/.../attn-pages", "another table")
        self.report.equal("attn-pages: a page that is none", execute([self.tool, "menu", path], self.folder).status, 2)
        self.report.equal("attn-pages: no place", execute([self.tool, "manual", "/dev/full"], self.folder).status, 4)


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))
