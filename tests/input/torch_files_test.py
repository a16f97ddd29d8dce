"""Files that PyTorch wrote (tests/data/torch): every tensor as PyTorch reads it, and what is not read, by its name."""
import os
import sys

SOURCE = os.environ.get("ATTN_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests"))
from harness import Report, parser_of, program_of  # noqa: E402
from case_files import check_case  # noqa: E402

FOLDER = os.path.join(SOURCE, "tests", "data", "torch")


def main():
    options = parser_of(__doc__).parse_args()
    program, report = program_of(options), Report(options.only)
    files = sorted(os.path.join(f, n[:-len(".json")]) for f in ("legacy", "zip") for n in os.listdir(os.path.join(FOLDER, f))
                   if n.endswith(".json"))
    for name in files:
        check_case(program, report, os.path.join(FOLDER, name), name)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
