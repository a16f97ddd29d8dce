"""Writes docs/commands.md as `attn-pages commands` prints it from the tables: python3 tests/app/commands_page.py build/.../attn-pages"""
import os
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

if __name__ == "__main__":
    sys.exit(subprocess.run([sys.argv[1], "commands", os.path.join(SOURCE, "docs", "commands.md")], check=False).returncode if len(sys.argv) == 2 else __doc__)
