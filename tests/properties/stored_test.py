"""Every command that reads documents, over tensors in files of every type, byte order, alignment and kind, in every place
where a tensor may stand: the same numbers as the document that has them written out.

    stored_test.py --program PATH [--count 90] [--seed 1]
"""
import collections
import json
import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SANITIZED, SOURCE, Report, execute, json_values, parser_of, program_of  # noqa: E402

try:
    import drawn_files
except ImportError:
    print("needs numpy")
    sys.exit(77)
sys.path.insert(0, os.path.join(SOURCE, "tests", "oracle"))
import generate  # noqa: E402

# What a document says of its numbers; the rest of an answer says where they were read.
PARTS = {"run": ("tokens", "order", "stages", "warnings"), "check": ("dtype", "stages", "masks"),
         "explain": ("steps", "warnings"), "blindspots": None}


class Stored:
    def __init__(self, program, report, folder):
        self.program, self.report, self.folder = program, report, folder
        self.turn, self.used = collections.Counter(), collections.defaultdict(set)

    def choose(self, name, storages):
        """All that fit, one after another, among the weights and among the rest; a document has many types."""
        place = (name.startswith("weights."), len(storages))
        self.turn[place] += 5  # the numbers of storages have no divisor 5
        return storages[self.turn[place] % len(storages)]

    def call(self, *words):
        return execute([self.program, *words, "-q"], self.folder)

    def compare(self, number, doc):
        filed, written, used = drawn_files.with_files(doc, self.folder, f"t{number}", self.choose)
        for name, storage in used.items():
            self.used[name].add(storage.name)
            self.used["weights" if name.startswith("weights.") else "the rest"].add(storage.name)
        for stem, document in (("filed", filed), ("written", written)):
            with open(os.path.join(self.folder, stem + ".json"), "w", encoding="utf-8") as file:
                json.dump(document, file)
        places = {name: storage.name for name, storage in used.items()}
        for words in (("run",), ("run", "--heads", "0", "--rows", "0", "--batch", "0"), ("check",), ("explain", "--level", "full", "--all-rows"), ("explain", "--cell", self.last_cell(doc)),
                      ("blindspots",)):
            told = [self.answer(words[0], stem, *words[1:]) for stem in ("filed", "written")]
            if not self.report.check(told[0] == told[1], f"document {number}: {' '.join(words)}", told[1], told[0]):
                print(f"  {json.dumps(places)}\n  {json.dumps(filed)}")
                return
        execute([self.program, "written.json", "-q", "-o", "trace.json"], self.folder)
        for words in (("trace.json", "filed.json"), ("trace.json", "trace.json")):
            found = self.call("diff", *words)
            self.report.check(found.status == 0, f"document {number}: diff {' '.join(words)}", 0, f"{found.status} {found.text} {places}")

    def last_cell(self, doc):
        return "weights[0,0]" if doc.get("variant") not in generate.RECURRENT else "context[0,0]"

    def answer(self, command, stem, *words):
        done = self.call(command, stem + ".json", "-f", "json", *words)
        if done.status != 0:
            return f"exit {done.status}: " + done.said.replace("filed.json", "written.json")
        if PARTS[command] is None:
            return done.text.replace("filed.json", "written.json")
        return [{part: value.get(part) for part in PARTS[command]} for value in json_values(done.out)]


def main():
    parser = parser_of(__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=20 if SANITIZED else 90)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    program, report = program_of(options), Report(options.only)
    with tempfile.TemporaryDirectory() as folder:
        stored = Stored(program, report, folder)
        for number in range(options.count):
            rng = random.Random(options.seed * 1000003 + number)
            doc = generate.document(rng, size=3, width=4, heads=2)
            doc["dtype"] = rng.choice(("float32", "float64"))
            stored.compare(number, doc)
        if options.count >= 90:
            for kind in ("weights", "the rest"):
                missing = {s.name for s in drawn_files.NUMBERS} - stored.used[kind]
                report.check(not missing, f"every type in every kind of file among {kind}", "none missing", sorted(missing))
            report.check(len(stored.used) >= 40, "places where a file stood", "40 or more", sorted(stored.used))
    print(f"seed {options.seed}, {options.count} documents, {len(stored.used)} places")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
