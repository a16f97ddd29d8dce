"""What the scripts that test the program from outside have in common: running it, reading its JSON strictly, reporting."""
import argparse
import json
import math
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from typing import NamedTuple, Optional

SOURCE = os.environ.get("ATTN_SOURCE") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Sanitizers cost memory and time that say nothing about the program.
SANITIZED = os.environ.get("ATTN_SANITIZE", "OFF").upper() not in ("", "0", "OFF", "NO", "FALSE")
DEFECT = re.compile(rb"terminate called|(Address|Leak|Memory|Thread|UndefinedBehavior)Sanitizer|runtime error:|"
                    rb"Assertion .* failed|stack smashing|double free|free\(\): invalid|corrupted size|"
                    rb"Segmentation fault|core dumped")
NOT_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
CSV_HEADER = ["stage", "batch", "head", "row", "column", "row_token", "column_token", "value"]


def parser_of(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--program", default=os.environ.get("ATTN_PROGRAM"), help="the attn-calc to test")
    parser.add_argument("--only", default="", help="regular expression: only what is called so")
    return parser


def program_of(options):
    path = shutil.which(options.program or "")
    if not path:
        sys.exit(f"no program at {options.program!r}: --program PATH")
    return os.path.abspath(path)


class Outcome(NamedTuple):
    status: Optional[int]  # None: it did not end
    out: bytes
    err: bytes
    seconds: float
    megabytes: int

    @property
    def text(self):
        return self.out.decode("utf-8", "replace")

    @property
    def said(self):
        return self.err.decode("utf-8", "replace")

    @property
    def died(self):
        """Whether it ended by a defect: a signal, exit 70, a sanitizer's report."""
        return self.status is not None and (self.status < 0 or self.status == 70 or self.status > 125 or
                                            DEFECT.search(self.err) is not None)


def environment(**changes):
    plain = {k: v for k, v in os.environ.items()
             if k not in ("NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "COLUMNS", "ATTN_CALC_KERNELS")}
    # Looking for leaks doubles the time of a small run: tests/hostile/run.py, the fuzz targets and attn-tests do it.
    return {**plain, **({"ASAN_OPTIONS": "detect_leaks=0"} if SANITIZED else {}), **changes}


def execute(command, folder, stdin=None, seconds=60.0, env=None, stdout=None):
    """Runs a command to its end; its whole process group is killed after `seconds`."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if stdin is not None:
            given.write(stdin)
            given.seek(0)
        start = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=env or environment(), start_new_session=True,
                                   stdin=subprocess.DEVNULL if stdin is None else given,
                                   stdout=out if stdout is None else stdout, stderr=err)
        late = threading.Event()

        def end():
            late.set()
            os.killpg(process.pid, signal.SIGKILL)

        watch = threading.Timer(seconds, end)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        watch.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return Outcome(None if late.is_set() else process.returncode, out.read(256 << 20), err.read(1 << 20),
                       time.monotonic() - start, usage.ru_maxrss // 1024)


class Report:
    """Counts; one line for each failure. `only` leaves out what is called otherwise."""

    def __init__(self, only=""):
        self.only, self.passed, self.failed, self.lock = re.compile(only), 0, 0, threading.Lock()

    def wants(self, name):
        return bool(self.only.search(name))

    def check(self, good, name, expected="", found=""):
        if not self.wants(name):
            return bool(good)
        with self.lock:
            self.passed += bool(good)
            self.failed += not good
        if not good:
            line = f"FAIL {name}: expected {short(expected)}, found {short(found)}"
            print(line.encode("unicode_escape").decode() if not line.isprintable() else line, flush=True)
        return bool(good)

    def equal(self, name, found, expected):
        return self.check(found == expected, name, expected, found)

    def matches(self, name, text, pattern):
        return self.check(re.search(pattern, text), name, f"/{pattern}/", text)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0


class Program:
    """The program in a folder of its own: what the classes of tests begin with."""

    def __init__(self, program, report, folder):
        self.program, self.report, self.folder = program, report, folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def call(self, *arguments):
        return execute([self.program, *arguments], self.folder)


def run_tests(tests, description):
    """Every method test_... of a class like Program, each in a folder of its own; the exit status."""
    options = parser_of(description).parse_args()
    program, report = program_of(options), Report(options.only)
    for name in sorted(n for n in dir(tests) if n.startswith("test_")):
        with tempfile.TemporaryDirectory() as folder:
            try:
                getattr(tests(program, report, folder), name)()
            except (OSError, ValueError, LookupError, TypeError) as error:
                report.check(False, name, "no exception", repr(error))
    return report.end()


def short(value, most=240):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[:most // 2]} ... {text[-most // 2:]}"


def json_values(raw):
    """The JSON values that follow one another, strictly: no NaN, no member twice; -0 keeps its sign."""
    text = raw.decode("utf-8")

    def once(pairs):
        made = dict(pairs)
        if len(made) < len(pairs):
            raise ValueError("a member is there twice")
        return made

    def refuse(word):
        raise ValueError(f"{word} is no JSON")

    decoder = json.JSONDecoder(object_pairs_hook=once, parse_constant=refuse,
                               parse_int=lambda digits: -0.0 if digits == "-0" else int(digits))
    space = re.compile(r"[ \t\r\n]*")
    values, at = [], space.match(text).end()
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        values.append(value)
        at = space.match(text, at).end()
    return values


def number(written):
    return NOT_FINITE[written] if isinstance(written, str) else float(written)


def leaves(data):
    """The numbers of nested lists, in order; no recursion, since the lists may be deep."""
    found, todo = [], [data]
    while todo:
        top = todo.pop()
        if isinstance(top, list):
            todo.extend(reversed(top))
        else:
            found.append(top)
    return found


def shape_of(data):
    shape = []
    while isinstance(data, list):
        shape.append(len(data))
        data = data[0] if data else None
    return shape


def float32(value):
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def same(a, b):
    """Equal bits, where every NaN is as good as another."""
    return a != a and b != b or struct.pack("d", a) == struct.pack("d", b)
