"""The pages' modules by TypeScript's strictest check of JavaScript, where tsc is installed; that they are embedded whole."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Report  # noqa: E402

FOLDER = os.path.join(SOURCE, "lib", "render", "pictures", "page")


def modules(report):
    """Names at the top of all modules are unique, since a page holds several in one script; each says that it is checked."""
    found = {}
    for name in sorted(os.listdir(FOLDER)):
        if not name.endswith(".js"):
            continue
        with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
            text = file.read()
        report.check(text.startswith("// @ts-check\n"), f"{name}: begins with // @ts-check", "// @ts-check", text[:20])
        for own in re.findall(r"^(?:export )?(?:const|let|function|class) (\w+)", text, re.M):
            found.setdefault(own, []).append(name)
    for page in (("data.js", "rule.js", "tell.js", "draw.js", "page.js"), ("worksheet.js",), ("data.js", "draw.js", "comparison.js")):
        twice = {own: [f for f in files if f in page] for own, files in found.items()}
        report.equal(f"{page[-1]}: names of one module only", {o: f for o, f in twice.items() if len(f) > 1}, {})


def main():
    report = Report()
    modules(report)
    tsc = shutil.which(os.environ.get("ATTN_TSC", "tsc"))
    if tsc:
        done = subprocess.run([tsc, "-p", os.path.join(FOLDER, "tsconfig.json")], capture_output=True, text=True, check=False)
        report.check(done.returncode == 0, "tsc --strict", "no word", done.stdout[:2000])
        return report.end()
    status = report.end()
    if status:
        return status
    print("skipped in part: tsc is not installed (npm install -g typescript)")
    return 77


if __name__ == "__main__":
    sys.exit(main())
