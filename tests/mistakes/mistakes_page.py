"""Writes docs/mistakes.md as `attn-mistakes page` prints it from the table; with --check says whether it is current."""
import os
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(SOURCE, "docs", "mistakes.md")


def main():
    words = [w for w in sys.argv[1:] if w != "--check"]
    if len(words) != 1:
        sys.exit("python3 tests/mistakes/mistakes_page.py [--check] build/.../attn-mistakes")
    new = subprocess.run([words[0], "page"], capture_output=True, text=True, check=True).stdout
    if "--check" in sys.argv:
        with open(PAGE, encoding="utf-8") as file:
            if file.read() != new:
                print("docs/mistakes.md is not what the table says: python3 tests/mistakes/mistakes_page.py build/.../attn-mistakes")
                return 1
        return 0
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
