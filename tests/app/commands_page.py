"""Writes docs/commands.md and the table of docs/models.md as `attn-pages` prints them from the tables: python3 tests/app/commands_page.py build/.../attn-pages"""
import os
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

BEGIN, END = "<!-- architectures -->\n", "<!-- end of architectures -->\n"


def main():
    if len(sys.argv) != 2:
        return __doc__
    commands, models = (os.path.join(SOURCE, "docs", name) for name in ("commands.md", "models.md"))
    status = subprocess.run([sys.argv[1], "commands", commands], check=False).returncode
    table = subprocess.run([sys.argv[1], "models", "-"], check=False, capture_output=True, text=True)
    if status or table.returncode:
        return status or table.returncode
    with open(models, encoding="utf-8") as file:
        before, rest = file.read().split(BEGIN)
    with open(models, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + table.stdout + END + rest.split(END)[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
