"""Every .cpp of app/ and lib/ is valid alone: the release build compiles those of a room together, where a missing #include is
not seen. Those that the build compiles alone anyway are not tried again.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

from concurrent.futures import ThreadPoolExecutor

SOURCE, BUILD = os.environ["ATTN_SOURCE"], os.path.dirname(os.path.dirname(os.environ["ATTN_PROGRAM"]))


def command_of_unit(commands):
    """The compiler's words, without the file and what is made of it."""
    unit = next(c for c in commands if "attn_lib.dir/Unity/" in c["command"])
    words = unit["command"].split()
    words = words[:words.index("-o")]
    return [w for w in words if not re.match(r"-O\d", w)] + ["-fsyntax-only", "-w"]


def wrong(command, file):
    done = subprocess.run([*command, file], cwd=SOURCE, capture_output=True, text=True, check=False)
    return f"{os.path.relpath(file, SOURCE)} alone:\n{done.stderr[:2000]}" if done.returncode else None


def main():
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    compiled = {c["file"] for c in commands}
    files = [os.path.join(folder, name) for top in ("app", "lib") for folder, _, names in os.walk(os.path.join(SOURCE, top))
             for name in names if name.endswith(".cpp")]
    files = sorted(f for f in files if f not in compiled)
    if not files:
        print("every file is compiled alone in this build")
        return 0
    command = command_of_unit(commands)
    with tempfile.TemporaryDirectory() as folder:  # the test itself: a missing #include is seen
        planted = os.path.join(folder, "planted.cpp")
        with open(planted, "w", encoding="utf-8") as file:
            file.write("std::vector<int> numbers;\n")
        if not wrong(command, planted):
            print("a missing #include is not seen")
            return 1
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = [w for w in pool.map(lambda f: wrong(command, f), files) if w]
    print("\n".join(found) or f"{len(files)} files are valid alone")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
