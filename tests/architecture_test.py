"""docs/architecture.md against the tree: its rooms with the files of each, its tests, the paths that it speaks of."""
import fnmatch
import os
import re
import sys

SOURCE = os.environ.get("ATTN_SOURCE") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(SOURCE, "docs", "architecture.md")
CODE = (".cpp", ".hpp", ".sh", ".cmake")


def files_below(*folders):
    found = set()
    for folder in folders:
        for path, below, names in os.walk(os.path.join(SOURCE, folder)):
            below[:] = [b for b in below if b != "__pycache__"]
            found |= {os.path.relpath(os.path.join(path, name), SOURCE) for name in names}
    return found


def rows(text, heading):
    """(first cell, other cells) of the table below a heading of the page."""
    section = text.split(f"\n## {heading}\n", 1)[-1].split("\n## ", 1)[0]
    for line in section.split("\n"):
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if line.startswith("| `") and len(cells) > 1:
            yield cells[0], " | ".join(cells[1:])


def problems_of_rooms(text, files):
    code = {f for f in files if f.startswith(("app/", "lib/")) and f.endswith(CODE)}
    named, rooms = set(), []
    for room, words in rows(text, "A tour of the folders"):
        room = room.strip("`").rstrip("/")
        if not room.startswith(("app", "lib")):
            continue
        rooms.append(room)
        for name in re.findall(r"`([\w*]+\.(?:cpp|hpp|sh|cmake))`", words):
            hits = set(fnmatch.filter((f for f in code if os.path.dirname(f) == room), f"{room}/{name}"))
            if not hits:
                yield f"{room}: the page names {name}, which is not there"
            named |= hits
    for room in sorted({os.path.dirname(f) for f in code} ^ set(rooms)):
        yield f"{room}: a room {'without a row in' if room not in rooms else 'that is gone, but has a row in'} the table of rooms"
    for file in sorted(code - named):  # a header is named by the .cpp file of its name
        if os.path.splitext(file)[0] + ".cpp" not in named:
            yield f"{file}: say in the row of {os.path.dirname(file)}/ what it is for"


def problems_of_tests(text, files):
    tests = {f for f in files if re.fullmatch(r"tests/(?:\w+/)?\w+_test\.(cpp|py|sh)", f)}
    named = [name for cell, _ in rows(text, "Tests") for name in re.findall(r"`([^`]+_test\.\w+)`", cell)]
    for name in sorted(tests - set(named)):
        yield f"{name}: a row in the table of tests has to say what it would catch"
    for name in sorted(set(named) - tests):
        yield f"{name}: in the table of tests, but not there"
    for name in sorted({n for n in named if named.count(n) > 1}):
        yield f"{name}: twice in the table of tests"


def problems_of_paths(text, files):
    for path in re.findall(r"`((?:app|lib|tests|docs|data)/[\w./*-]+)`", text):
        if not any(fnmatch.fnmatch(f, path) or f.startswith(path.rstrip("/") + "/") for f in files):
            yield f"{path}: spoken of, but not there"


def problems(text, files):
    return [*problems_of_rooms(text, files), *problems_of_tests(text, files), *problems_of_paths(text, files)]


def self_test(text, files):
    """Each rule is tried on a tree, or a page, that breaks it."""
    for file, word in (("lib/run/new.cpp", "lib/run/new.cpp: say"), ("lib/run/new.hpp", "lib/run/new.hpp: say"),
                       ("lib/new/a.cpp", "lib/new: a room without"), ("tests/run/new_test.py", "tests/run/new_test.py: a row")):
        if not any(word in p for p in problems(text, files | {file})):
            yield f"self-test: {file} is not missed"
    for file, word in (("lib/run/arena.cpp", "names arena.cpp"), ("tests/run/cases_test.cpp", "but not there"),
                       ("lib/diff/compare.cpp", "names compare.cpp"), ("tests/oracle/mistaken.py", "spoken of")):
        if not any(word in p for p in problems(text, files - {file})):
            yield f"self-test: {file} may go without a word"


def main():
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    files = files_below("app", "lib", "tests", "docs", "data")
    found = problems(text, files)
    found += self_test(text, files) if not found else []
    print("\n".join(f"docs/architecture.md: {f}" for f in found) or "architecture: ok")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
