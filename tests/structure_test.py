"""The shape of the tree: rooms include only rooms to their left, heavy headers stay where they are, files stay short.

`structure_test.py [TREE]` checks a tree (this one); every rule is first tried on a made-up tree that breaks it.
"""
import os
import re
import subprocess
import sys
import tempfile

ROOMS = ["", "input", "models", "kernels", "random", "plan", "run", "gradient", "trace", "explain", "theirs", "replay", "mistakes", "diff", "render"]  # of lib/, left to right; "" is lib/*.hpp
HEAVY = {  # header's first part: files of app/ and lib/ that may include it
    "CLI": r"app/options\.cpp",
    "nlohmann": r"lib/input/json\.cpp",
    "xtensor": r"lib/tensor\.hpp",
    "xtl": r"lib/tensor\.hpp",
    "xsimd": r"lib/kernels/.*",
    "xlsxwriter.h": r"lib/render/sheet/workbook\.cpp",
    "doctest": r"(?!)",
}
DOORS = {"lib/tensor.hpp": r"lib/run/.*"}  # own headers that pull in a heavy one: who may include them
TOP = {"CMakeLists.txt", "CMakePresets.json", "app", "lib", "tests", "data", "docs", "README.md", "LICENSE",
       "CHANGELOG.md", "CONTRIBUTING.md", "findings"}
LONGEST = 450
SPOKEN_PATH = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/\w")


def tracked(tree):
    """Files of the tree: git's listing, new ones included; without git everything but builds and dotfiles."""
    try:
        listed = subprocess.run(["git", "-C", tree, "ls-files", "-z", "-co", "--exclude-standard"],
                                capture_output=True, check=True).stdout.decode().split("\0")
        if any(listed):
            return sorted(f for f in set(listed) if f and os.path.exists(os.path.join(tree, f)))
    except (OSError, subprocess.CalledProcessError):
        pass
    files = []
    for folder, folders, names in os.walk(tree):
        folders[:] = [d for d in folders if d[0] != "." and d != "__pycache__" and
                      not (folder == tree and d.startswith("build"))]
        files += [os.path.relpath(os.path.join(folder, n), tree) for n in names]
    return sorted(files)


def rank(path):
    """A file's place from left to right; app/ is last. None when its room is not in the list."""
    parts = path.split("/")
    if parts[0] == "app":
        return len(ROOMS)
    room = parts[1] if len(parts) > 2 else ""
    return ROOMS.index(room) if room in ROOMS else None


def includes(text):
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if found:
            yield number, found[1], found[2]


def problems_of_code(path, text):
    own = rank(path)
    if own is None:
        yield f"{path}: a room without a place in the order: {', '.join(filter(None, ROOMS))}"
        return
    for number, quote, header in includes(text):
        first = header.split("/")[0]
        where = f"{path}:{number}: includes {header}"
        if first in ("lib", "app", "tests"):
            other = rank(header) if first != "tests" else len(ROOMS) + 1
            if other is None or other > own:
                yield f"{where}, which is to the right of this room"
            if header in DOORS and not re.fullmatch(DOORS[header], path):
                yield f"{where}, a door to a heavy header"
        elif quote == '"':
            yield f"{where}, which is not written from the root of the tree"
        if first in HEAVY and not re.fullmatch(HEAVY[first], path):
            yield f"{where}, a heavy header away from its place"
    lines = text.count("\n")
    if lines > LONGEST:
        yield f"{path}: {lines} lines are more than {LONGEST}"


def problems(tree):
    files = tracked(tree)
    for name in sorted({f.split("/")[0] for f in files}):
        if name not in TOP and not name.startswith("."):
            yield f"{name}: not a name of the top level"
    for path in files:
        try:
            with open(os.path.join(tree, path), encoding="utf-8", newline="") as file:
                text = file.read()
        except UnicodeDecodeError:
            continue
        if SPOKEN_PATH.search(text) and path != "tests/structure_test.py":
            yield f"{path}: speaks of a path of one machine: {SPOKEN_PATH.search(text)[0]}..."
        if re.fullmatch(r"(app|lib)/.*\.(cpp|hpp)", path):
            yield from problems_of_code(path, text)


WRONG = [  # file, text, a word of the complaint
    ("lib/input/a.hpp", '#include "lib/plan/plan.hpp"\n', "to the right"),
    ("lib/shape.hpp", '#  include "lib/input/value.hpp"\n', "to the right"),
    ("lib/render/a.cpp", '#include "app/options.hpp"\n', "to the right"),
    ("app/main.cpp", '#include "tests/support.hpp"\n', "to the right"),
    ("lib/run/a.cpp", '#include "mask.hpp"\n', "from the root"),
    ("lib/somewhere/a.hpp", "\n", "without a place"),
    ("app/main.cpp", "#include <CLI/CLI.hpp>\n", "heavy"),
    ("lib/render/traces/json.cpp", "#include <nlohmann/json.hpp>\n", "heavy"),
    ("lib/run/ops.cpp", "#include <xtensor/xview.hpp>\n", "heavy"),
    ("lib/run/ops.hpp", "#include <xsimd/xsimd.hpp>\n", "heavy"),
    ("lib/plan/plan.hpp", '#include "lib/tensor.hpp"\n', "door"),
    ("lib/text.cpp", "#include <doctest/doctest.h>\n", "heavy"),
    ("lib/plan/plan.cpp", "\n" * (LONGEST + 1), "lines"),
    ("src/main.cpp", "\n", "top level"),
    ("docs/a.md", "see /home/someone/attn-calc\n", "one machine"),
]
RIGHT = [
    ("app/options.cpp", '#include <CLI/CLI.hpp>\n#include "lib/render/text.hpp"\n'),
    ("lib/run/ops.cpp", '#include <vector>\n#include "lib/tensor.hpp"\n#include "lib/run/ops.hpp"\n'),
    ("lib/kernels/body.hpp", "#include <xsimd/xsimd.hpp>\n"),
    ("lib/plan/plan.cpp", "\n" * LONGEST),
    (".ci/run", "a/work/b\n"),
    ("README.md", "\n"),
]


def self_test():
    for path, text, complaint in WRONG + [(p, t, None) for p, t in RIGHT]:
        with tempfile.TemporaryDirectory() as tree:
            file = os.path.join(tree, path)
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "w") as out:
                out.write(text)
            found = list(problems(tree))
        if complaint is None and found:
            yield f"self-test: {path} is fine, but: {found}"
        if complaint is not None and not any(complaint in f for f in found):
            yield f"self-test: {path} with {text[:40]!r} is not found ({complaint})"


def main():
    tree = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = list(self_test()) + list(problems(tree))
    print("\n".join(found) or "structure: ok")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
