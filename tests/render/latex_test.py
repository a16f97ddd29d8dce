"""What -f tex writes compiles with pdflatex and amsmath (Debian: texlive-latex-base): all examples, and tokens that could act."""
import glob
import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import tables  # noqa: E402
from harness import SOURCE, Report, execute, parser_of, program_of  # noqa: E402

HEAD = "\\documentclass{article}\n\\usepackage{amsmath}\n\\begin{document}\n"


def main():
    options = parser_of(__doc__).parse_args()
    latex = shutil.which("pdflatex")
    if not latex:
        print("needs pdflatex")
        return 77
    program, report = program_of(options), Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        documents = sorted(glob.glob(os.path.join(SOURCE, "data", "examples", "**", "*.json"), recursive=True))
        corners = os.path.join(folder, "corners.json")
        with open(corners, "w", encoding="utf-8") as file:
            tokens = [t for t in tables.CORNERS] + ["\\end{tabular}", "^^5cinput", "[1cm]", "你", "\x1b[1m"]
            json.dump({"embeddings": [[i / 7, 1 - i / 5] for i in range(len(tokens))], "causal": True, "tokens": tokens}, file)
        for form in ([], ["--compact"]):
            body = HEAD
            for number, path in enumerate([*documents, corners]):
                name = f"part{number}{''.join(form)}.tex"
                extra = ["--ascii", "--rows", f"0:{len(tokens)}", "--width", "10000"] if path == corners else []
                result = execute([program, path, "-o", name, *form, *extra], folder)
                report.check(result.status == 0, f"{path}: written", "exit 0", result.said)
                body += "\\input{%s}\n\\clearpage\n" % name
            with open(os.path.join(folder, "all.tex"), "w", encoding="utf-8") as file:
                file.write(body + "\\end{document}\n")
            result = execute([latex, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"], folder)
            wrong = [line for line in result.text.split("\n") if line.startswith(("!", "l."))]
            report.check(result.status == 0 and os.path.getsize(os.path.join(folder, "all.pdf")) > 10000,
                         f"compiles {form}", "exit 0", wrong)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
