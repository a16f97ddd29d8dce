"""Writes docs/mistakes.md from the table in lib/mistakes/mistake_table.cpp; with --check says whether it is current."""
import os
import re
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(SOURCE, "docs", "mistakes.md")
HEAD = """# Known mistakes

<!-- Written by tests/mistakes/mistakes_page.py from lib/mistakes/mistake_table.cpp: change the table, not this page. -->

`attn-calc diff` makes each of these mistakes with your input, one at a time and then two together, and names those that
give somebody's numbers. `attn-calc blindspots` says which of them an input cannot show; `attn-calc probe` writes an input
that tells them apart. An id with `:NAME` exists for each weight, and `weight_transposed:all` for all square ones at once.

| id | what was done | sign in the numbers | where to look | seen in |
| --- | --- | --- | --- | --- |
"""


def strings(text):
    return [re.sub(r"\\(.)", r"\1", s) for s in re.findall(r'"((?:[^"\\]|\\.)*)"', text)]


def page():
    with open(os.path.join(SOURCE, "lib", "mistakes", "mistake_table.cpp"), encoding="utf-8") as file:
        code = file.read()
    constants = dict(zip(("scale_blind", "scale_cure"), strings(code[code.index("scale_blind ="):code.index("clang-format off")])))
    rows = []
    for body in re.findall(r"MistakeRow\{(.*?)\},\n", code, re.S):
        for name, value in constants.items():
            body = re.sub(rf"\b{name}\b", lambda _, v=value: '"' + v + '"', body)
        rows.append(strings(body))
    assert len(rows) > 40 and all(len(r) == 7 for r in rows), [r for r in rows if len(r) != 7]
    lines = [HEAD]
    for mistake, did, sign, seen, hint, _, _ in rows:
        shown = {"weight_transposed": "weight_transposed:NAME", "rounded": "rounded:bf16, rounded:f16",
                 "no_bias": "no_bias, no_bias:NAME"}.get(mistake, mistake)
        ids = ", ".join(f"`{s}`" for s in shown.split(", "))
        lines.append(f"| {ids} | {did} | {sign} | {hint} | {seen} |\n")
    lines.append("\n## Where an input does not show them\n\n| id | it is not seen where | what would show it |\n| --- | --- | --- |\n")
    lines += [f"| `{r[0]}` | {r[5]} | {r[6]} |\n" for r in rows if r[5] or r[6]]
    lines.append("\n## What is no mistake\n\nThese change a stage on the way and no weight:\n\n")
    harmless = strings(code[code.index("harmless{"):code.index("// clang-format on")])
    lines += [f"- {h}\n" for h in harmless]
    return "".join(lines)


def main():
    new = page()
    if "--check" in sys.argv:
        with open(PAGE, encoding="utf-8") as file:
            if file.read() != new:
                print("docs/mistakes.md is not what the table says: python3 tests/mistakes/mistakes_page.py")
                return 1
        return 0
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
