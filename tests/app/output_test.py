"""Files that could not be completed: a full disk, a limit, a signal, a reader that leaves. The old file stays as it was and
nothing unfinished is left, for each format and for all files of a call together."""
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import DEFECT, Report, environment, parser_of, program_of  # noqa: E402

FORMATS = {"json": "json", "ndjson": "ndjson", "csv": "csv", "txt": "text", "npz": "npz", "safetensors": "safetensors"}
SMALL = {"embeddings": {"init": "torch.randn", "seed": 1, "shape": [200, 8]}}
LONG = {"embeddings": {"init": "torch.randn", "seed": 1, "shape": [20000, 8]}}  # no time to be done before a signal
LIMIT = 3000  # bytes: less than any format needs for SMALL
OLD = b"what was there"


class Tests:
    def __init__(self, program, report):
        self.program, self.report = program, report

    def folder(self, names):
        """A folder with documents and an old file for each name."""
        made = tempfile.TemporaryDirectory()
        for name, content in (("small.json", SMALL), ("long.json", LONG)):
            with open(os.path.join(made.name, name), "w", encoding="utf-8") as file:
                json.dump(content, file)
        for name in names:
            with open(os.path.join(made.name, name), "wb") as file:
                file.write(OLD)
        return made

    def start(self, folder, document, outputs, **options):
        words = [self.program, document, "-q"]
        if any(output.endswith((".txt", ".md", ".tex")) for output in outputs):
            words += ["--width", "10000"]
        for output in outputs:
            words += ["-o", output]
        return subprocess.Popen(words, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                **{"stdout": subprocess.PIPE, **options})

    def untouched(self, name, folder, names):
        self.report.equal(f"{name}: files", sorted(os.listdir(folder)), sorted(["small.json", "long.json", *names]))
        for old in names:
            with open(os.path.join(folder, old), "rb") as file:
                self.report.equal(f"{name}: {old} is the old one", file.read(100), OLD)

    def limited(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
        for suffix in FORMATS:
            names = [f"old.{suffix}"]
            with self.folder(names) as folder, self.start(folder, "small.json", names, preexec_fn=limit) as process:
                said = process.communicate(timeout=60)[1]
                self.report.equal(f"limit, {suffix}: exit", process.returncode, 4)
                self.report.matches(f"limit, {suffix}: message", said.decode(), r"\Aattn-calc: error: old\.\w+: cannot be written")
                self.untouched(f"limit, {suffix}", folder, names)

    def full_disk(self):
        """One output of several cannot be written: none takes its place. /dev/full is such a disk."""
        for suffix, form in FORMATS.items():
            names = ["a.json", "b.npz", "c.safetensors"]
            outputs = [*names[:2], f"/dev/full:{form}", names[2]]
            with self.folder(names) as folder, self.start(folder, "small.json", outputs) as process:
                process.communicate(timeout=60)
                self.report.equal(f"full, {form}: exit", process.returncode, 4)
                self.untouched(f"full, {form}", folder, names)

    def tmpfs(self):
        """A real full disk, where mounting is allowed."""
        with tempfile.TemporaryDirectory() as folder:
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", folder], capture_output=True, check=False)
            if mounted.returncode != 0:
                print("no tmpfs can be mounted: not tried")
                return
            try:
                old = os.path.join(folder, "old.npz")
                with open(old, "wb") as file:
                    file.write(OLD)
                with self.folder([]) as place, self.start(place, "small.json", [old, "other.json"]) as process:
                    said = process.communicate(timeout=60)[1].decode()
                    self.report.equal("tmpfs: exit", process.returncode, 4)
                    self.report.matches("tmpfs: message", said, "old.npz: cannot be written: No space left on device")
                    self.untouched("tmpfs: the other file", place, [])
                self.report.equal("tmpfs: files", os.listdir(folder), ["old.npz"])
                with open(old, "rb") as file:
                    self.report.equal("tmpfs: content", file.read(), OLD)
            finally:
                subprocess.run(["umount", folder], check=False)

    def signals(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            names = ["a.json", "b.npz", "c.safetensors", "d.ndjson"]
            with self.folder(names) as folder, self.start(folder, "long.json", names) as process:
                before = len(os.listdir(folder))
                end = time.monotonic() + 30
                while len(os.listdir(folder)) < before + len(names) and time.monotonic() < end:
                    time.sleep(0.01)
                self.report.equal(f"{number.name}: unfinished files", len(os.listdir(folder)), before + len(names))
                time.sleep(0.1)
                process.send_signal(number)
                process.communicate(timeout=60)
                self.report.equal(f"{number.name}: exit", process.returncode, 128 + number)
                self.untouched(number.name, folder, names)

    def closed_pipe(self):
        """The reader of standard output leaves: quiet, exit 0, and the files beside it are complete."""
        for form in FORMATS.values():
            with self.folder([]) as folder:
                with self.start(folder, "small.json", ["-" if form == "text" else f"/dev/stdout:{form}", "a.npz", "b.json"]) as process:
                    process.stdout.read(10)
                    process.stdout.close()
                    said = process.stderr.read()
                    process.wait(60)
                self.report.equal(f"closed, {form}", (process.returncode, said), (0, b""))
                self.report.check(not DEFECT.search(said), f"closed, {form}: a defect", "", said)
                with self.start(folder, "small.json", ["whole.npz", "whole.json"]) as process:
                    process.communicate(timeout=60)
                for name, whole in (("a.npz", "whole.npz"), ("b.json", "whole.json")):
                    with open(os.path.join(folder, name), "rb") as a, open(os.path.join(folder, whole), "rb") as b:
                        self.report.check(a.read() == b.read(), f"closed, {form}: {name} is complete")

    def pipes(self):
        """A named pipe and /dev/stdout get the bytes directly."""
        for form in FORMATS.values():
            with self.folder([]) as folder:
                with self.start(folder, "small.json", [f"whole:{form}"]) as process:
                    process.communicate(timeout=60)
                with open(os.path.join(folder, "whole"), "rb") as file:
                    whole = file.read()
                pipe = os.path.join(folder, "pipe")
                os.mkfifo(pipe)
                with open(os.path.join(folder, "out"), "wb") as out, \
                        self.start(folder, "small.json", [f"pipe:{form}", f"/dev/stdout:{form}"], stdout=out) as process:
                    with open(pipe, "rb") as file:
                        self.report.check(file.read() == whole, f"pipe, {form}")
                    process.communicate(timeout=60)
                with open(os.path.join(folder, "out"), "rb") as file:
                    self.report.check(file.read() == whole, f"/dev/stdout, {form}")


def main():
    options = parser_of(__doc__).parse_args()
    report = Report(options.only)
    tests = Tests(program_of(options), report)
    for test in (tests.limited, tests.full_disk, tests.tmpfs, tests.signals, tests.closed_pipe, tests.pipes):
        test()
    return report.end()


sys.exit(main())
