"""cmake --install into an empty folder: program, manual pages, completions, schemas, documents, examples, each where it is looked for."""
import gzip
import json
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Program, environment, execute, run_tests  # noqa: E402


class Tests(Program):
    def test_install(self):
        build = os.path.dirname(os.path.dirname(self.program))
        done = execute(["cmake", "--install", build, "--prefix", "/usr"], self.folder, env=environment(DESTDIR=self.folder))
        if not self.report.equal("cmake --install", (done.status, done.said), (0, "")):
            return
        usr, share = self.path("usr"), self.path("usr/share")
        program = os.path.join(usr, "bin", "attn-calc")
        check = self.report.check

        def text(*parts):
            with open(os.path.join(share, *parts), encoding="utf-8") as file:
                return file.read()

        main = execute([program, "--help"], self.folder).text
        commands = re.findall(r"(?m)^  ([a-z]+) ", main.split("\ncommands\n")[1].split("\n\n")[0])
        self.report.equal("manual pages", sorted(os.listdir(os.path.join(share, "man", "man1"))), sorted(["attn-calc.1.gz", *(f"attn-calc-{c}.1.gz" for c in commands)]))
        for command in commands:
            with gzip.open(os.path.join(share, "man", "man1", f"attn-calc-{command}.1.gz"), "rt", encoding="utf-8") as file:
                page = file.read()
            path = self.path("page.1")
            with open(path, "w", encoding="utf-8") as file:
                file.write(page)
            names = set(re.findall(r"(?m)^  (?:-\w, )?(--[\w-]+)", execute([program, command, "--help"], self.folder).text))
            self.report.equal(f"attn-calc-{command}.1: options", {n for line in re.findall(r"(?m)^\.TP\n\.B (.*)$", page.replace("\\-", "-")) for n in re.findall(r"--[a-z][\w-]*", line)}, names)
            for lint in (["mandoc", "-T", "lint", "-W", "warning", path], ["groff", "-man", "-ww", "-z", path]):
                if shutil.which(lint[0]):
                    done = execute(lint, self.folder)
                    self.report.equal(f"attn-calc-{command}.1: {lint[0]}", [line for line in (done.text + done.said).splitlines() if "missing date" not in line], [])
        for shell, place in (("bash", ["bash-completion", "completions", "attn-calc"]), ("fish", ["fish", "vendor_completions.d", "attn-calc.fish"])):
            self.report.equal(f"completion for {shell}", text(*place), execute([program, "completion", shell], self.folder).text)
        zsh = [os.path.join(folder, "_attn-calc") for folder, _, names in os.walk(os.path.join(share, "zsh")) if "_attn-calc" in names]
        check(len(zsh) == 1, "completion for zsh", "one", zsh)
        for kind in ("input", "trace"):
            self.report.equal(f"schema of {kind}", json.loads(text("attn-calc", "schemas", f"{kind}.schema.json")), json.loads(execute([program, "schema", kind], self.folder).out))
        for kept, here in (("docs", os.path.join("doc", "attn-calc")), ("data/examples", os.path.join("attn-calc", "examples"))):
            for folder, _, names in os.walk(os.path.join(SOURCE, kept)):
                below = os.path.relpath(folder, os.path.join(SOURCE, kept))
                missing = [n for n in names if not os.path.exists(os.path.join(share, here, below, n))]
                self.report.equal(f"{kept}/{below}: all installed", missing, [])
        check("MIT License" in text("doc", "attn-calc", "copyright"), "the licence", "MIT", "another")
        done = execute([program, os.path.join(share, "attn-calc", "examples", "hello_shiny_sun.json")], self.folder)
        self.report.equal("the program computes an example", (done.status, done.said, "weights" in done.text), (0, "", True))


if __name__ == "__main__":
    sys.exit(run_tests(Tests, __doc__))
