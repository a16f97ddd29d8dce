"""Runs the program over inputs that are wrong or nasty in one way each, and holds it to the verdict beside each.

    python3 run.py --program build/app/attn-calc [--only 'attn/mask__']

The index.json of each folder and numeric/cases.json list the cases. Each is `run FILE -f json` in an empty folder:
`error` is exit 3, nothing on standard output and one short diagnostic; `ok` is exit 0 and a trace; `warn` is a trace
with a warning in it and on standard error. `alt` are verdicts that are accepted too.
"""
import base64
import collections
import concurrent.futures
import json
import os
import re
import resource
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from harness import SANITIZED, execute, json_values, parser_of, program_of  # noqa: E402
from verdict import (faults_of_format, faults_of_message, faults_of_numbers, faults_of_trace, raw_characters,  # noqa: E402
                     warned)

INDEXES = [*(f"{folder}/index.json" for folder in ("json", "attn", "npy", "npz", "safetensors", "gguf", "torch", "onnx", "shards")),
           "numeric/cases.json"]
FORMATS = ("text", "csv", "ndjson", "svg", "html")
FIELDS = {"file", "name", "class", "what_is_wrong", "expect", "alt", "key", "suggest", "names", "position", "line",
          "mention", "checks", "formats", "document", "setup", "via", "generator", "args", "also", "values", "stages",
          "zero_rows", "nan_rows", "documents", "max_seconds", "max_rss_mb", "text_matches"}
CHECKS = {"short_stderr", "no_file_content_leak", "error_json", "one_warning", "rows_sum_to_one", "equal_rows",
          "bounded_text_output"}
FORBIDDEN_FILES = ["/tmp/pwned", "/tmp/attn_pwned", "/tmp/attn_pwned.npy"]  # what some documents try to write


def long_row(spec):
    """A document of one query whose row of scores would be too long to store."""
    count, kind = spec["n"], spec["kind"]
    if kind == "wide":  # one key of many numbers
        queries = keys = f"[[{','.join([spec['value']] * count)}]]"
        values = "[[1]]"
    elif kind == "one":  # one key above many zeros
        rows = ["[0]"] * count
        rows[spec["at"]] = f"[{spec['value']}]"
        queries, keys, values = "[[1]]", f"[{','.join(rows)}]", f"[{','.join(['[1]'] * count)}]"
    else:
        raise SystemExit(f"unknown generator {kind}")
    return (f'{{"variant": "scaled_dot_product", "dtype": "{spec["dtype"]}", "scale": "none", '
            f'"queries": {queries}, "keys": {keys}, "values": {values}}}')


class Case:
    def __init__(self, folder, record):
        unknown = set(record) - FIELDS | set(record.get("checks", [])) - CHECKS
        if unknown:
            raise SystemExit(f"{folder}: nobody looks at {sorted(unknown)} of {record}")
        self.record = record
        self.folder = os.path.join(HERE, folder)
        self.name = f"{folder}/{record.get('file') or record['name']}"
        self.faults = []

    def checks(self, name):
        return name in self.record.get("checks", [])

    def lay(self, root):
        """Makes the working folder and the document: sets cwd, path, stdin."""
        self.cwd = os.path.join(root, "cwd")
        os.mkdir(self.cwd)
        if "document" in self.record or "generator" in self.record:
            place = os.path.join(root, "doc")
            os.mkdir(place)
            for what, name, *argument in self.record.get("setup", []):
                base = {"outside": root, "cwd": self.cwd}.get(what, place)
                self.lay_one(what, os.path.join(base, name), *argument)
            text = (long_row(self.record["generator"]) if "generator" in self.record
                    else json.dumps(self.record["document"], ensure_ascii=False).replace("{folder}", place))
            self.path = os.path.join(place, "input.json")
            with open(self.path, "wb") as file:
                file.write(text.encode("utf-8", "surrogateescape"))
        else:
            self.path = os.path.join(self.folder, self.record["file"])
        self.stdin = None
        if self.record.get("via") == "stdin":
            with open(self.path, "rb") as file:
                self.stdin = file.read()

    def lay_one(self, what, path, argument=None):
        if what in ("bytes", "outside", "cwd"):
            with open(path, "wb") as file:
                file.write(base64.b64decode(argument))
        elif what == "copy":
            shutil.copyfile(os.path.join(self.folder, argument), path)
        elif what == "folder":
            os.makedirs(path, exist_ok=True)
        elif what == "link":
            os.symlink(argument, path)
        elif what == "fifo":
            os.mkfifo(path)
        else:
            raise SystemExit(f"{self.name}: unknown setup {what}")

    def run(self, arguments):
        if "-f" not in arguments:
            arguments = ["-f", "json", *arguments]
        document = "-" if self.stdin is not None else self.path
        return execute([self.program, "run", document, *arguments], self.cwd, self.stdin, self.seconds)

    def judge(self, program, seconds):
        self.program, self.seconds = program, seconds
        with tempfile.TemporaryDirectory() as root:
            self.lay(root)
            self.faults = list(self.problems())
        return self

    def problems(self):
        record = self.record
        result = self.run(record.get("args", []))
        if result.status is None:
            yield f"HANG no end after {self.seconds:g} s"
            return
        if result.died:
            yield f"CRASH exit {result.status}: {result.said[-200:]}"
            return
        if not SANITIZED:
            if result.megabytes > record.get("max_rss_mb", result.megabytes):
                yield f"MEMORY {result.megabytes} MB are more than {record['max_rss_mb']}"
            if result.seconds > record.get("max_seconds", result.seconds):
                yield f"SLOW {result.seconds:.1f} s are more than {record['max_seconds']}"
        left = sorted(set(os.listdir(self.cwd)) - {n for w, n, *_ in record.get("setup", []) if w == "cwd"})
        if left:
            yield f"LEAK wrote {left[:2]}"
        if b"root:x:" in result.out + result.err:
            yield "LEAK shows a foreign file"
        if raw_characters(result.err):
            yield f"LEAK raw {raw_characters(result.err)} on standard error"
        yield from self.problems_of_refusal(result) if result.status else self.problems_of_result(result)

    def problems_of_verdict(self, got):
        allowed = [self.record["expect"], *self.record.get("alt", [])]
        if got not in allowed:
            yield f"VERDICT expected {'/'.join(allowed)}, found {got}"

    def problems_of_refusal(self, result):
        if result.status != 3:
            wanted = 3 if self.record["expect"] == "error" else 0
            yield f"VERDICT expected exit {wanted}, found exit {result.status}: {result.said[:100]}"
            return
        yield from self.problems_of_verdict("error")
        # Documents before the wrong one are written.
        if result.out and not re.search(rb": document [1-9]\d*: |\"document\":[1-9]", result.err):
            yield f"LEAK {len(result.out)} bytes on standard output with an error"
        if self.record["expect"] != "error":  # accepted, or reported above: how it is said is open
            return
        yield from faults_of_message(self.record, result, "" if self.stdin is not None else self.path)
        if self.checks("error_json"):
            other = self.run(["--error-format", "json"])
            try:
                lines = [json_values(line) for line in other.err.split(b"\n") if line.strip()]
                good = lines and all(len(line) == 1 and isinstance(line[0], dict) for line in lines)
            except ValueError:
                good = False
            if not good or other.status != 3 or other.out:
                yield f"FORM --error-format json: exit {other.status}, {other.said[:100]}"

    def problems_of_result(self, result):
        record, arguments = self.record, self.record.get("args", [])
        said, traces, told = warned(result) > 0, [], False
        if "-f" not in arguments:
            traces, faults = faults_of_trace(result.out, record, whole="--stages" not in arguments)
            yield from faults
            told = any(trace["warnings"] for trace in traces)
            if traces and said != told:
                yield f"VERDICT a warning only {'on standard error' if said else 'in the trace'}"
        yield from self.problems_of_verdict("warn" if said or told else "ok")
        if record["expect"] == "error":
            return
        yield from faults_of_numbers(record, traces, self.document(), quiet=not (said or told))
        if self.checks("one_warning") and traces:
            counts = [sum(len(trace["warnings"]) for trace in traces), warned(result)]
            if counts != [1, 1]:
                yield f"VERDICT expected one warning, found {counts[0]} in the trace, {counts[1]} on standard error"
        if "text_matches" in record and not re.search(record["text_matches"], result.text):
            yield f"NUMBER expected /{record['text_matches']}/, found {result.text[:120]}"
        for more in record.get("also", []):
            other = self.run([*arguments, *more])
            try:
                stages = [trace["stages"] for trace in json_values(other.out)]
            except (ValueError, KeyError, TypeError):
                stages = None
            if other.status != 0 or stages != [trace["stages"] for trace in traces]:
                yield f"NUMBER another result with {' '.join(more)} (exit {other.status})"
        for form in record.get("formats", []):
            if form in FORMATS:
                yield from self.problems_of_format(form)

    def problems_of_format(self, form):
        result = self.run(["-f", form])
        if result.status is None:
            yield f"HANG -f {form}"
        elif result.died:
            yield f"CRASH -f {form}: exit {result.status}"
        elif result.status:
            yield f"FORMAT {form}: exit {result.status} {result.said[:80]}"
        else:
            for fault in faults_of_format(form, result.out):
                yield f"FORMAT {form}: {fault}"
            if form == "text" and self.checks("bounded_text_output") and len(result.out) > 200_000:
                yield f"FORMAT text: {len(result.out)} bytes for a long token"

    def document(self):
        """The document as Python reads it, or None."""
        try:
            with open(self.path, "rb") as file:
                return json.loads(file.read().decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None


def all_cases():
    for index in INDEXES:
        with open(os.path.join(HERE, index), encoding="utf-8") as file:
            yield from (Case(os.path.dirname(index), record) for record in json.load(file))


def main():
    parser = parser_of(__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60 if SANITIZED else 20, help="until a run counts as hanging")
    parser.add_argument("--names", action="store_true", help="print only the names of the failing cases")
    options = parser.parse_args()
    program = program_of(options)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = {path for path in FORBIDDEN_FILES if os.path.exists(path)}
    cases = list(all_cases())
    chosen = [case for case in cases if re.search(options.only, case.name)]
    with concurrent.futures.ThreadPoolExecutor(2) as workers:
        list(workers.map(lambda case: case.judge(program, options.seconds), chosen))

    bad = [(case.name, " | ".join(case.faults)) for case in chosen if case.faults]
    bad += [(path, "LEAK a document had this file written") for path in FORBIDDEN_FILES
            if os.path.exists(path) and path not in before]
    for name, why in bad:
        print(name if options.names else f"FAIL {name}: {ascii(why)[1:-1]}")
    good = sum(not case.faults for case in chosen)
    print(f"{good} of {len(chosen)} cases as expected")
    return 1 if bad or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
