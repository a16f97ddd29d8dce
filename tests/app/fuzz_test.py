"""Every target of tests/fuzz, for 70 seconds together (ATTN_FUZZ_SECONDS: for each), under the sanitizers."""
import glob
import os
import subprocess
import sys
import tempfile

SOURCE, BUILD = os.environ["ATTN_SOURCE"], os.path.dirname(os.path.dirname(os.environ["ATTN_PROGRAM"]))
CORPORA = {"document": ["data/examples", "data/cases", "tests/hostile/attn"], "npy": ["tests/hostile/npy"],
           "npz": ["tests/hostile/npz"], "safetensors": ["tests/hostile/safetensors"],
           "gguf": ["tests/hostile/gguf", "tests/data/files/gguf"], "torch": ["tests/data/torch/zip", "tests/data/torch/legacy", "tests/hostile/torch"],
           "onnx": ["tests/hostile/onnx", "tests/data/files/onnx"], "config": ["tests/data/models/*/config.json"]}
ALL_SECONDS = 70
if os.environ.get("ATTN_SANITIZE") != "ON":
    print("built with the sanitizers only")
    sys.exit(77)

targets = sorted(os.path.basename(path)[:-4] for path in glob.glob(os.path.join(SOURCE, "tests", "fuzz", "*.cpp")))
targets.remove("driver")
failed = sorted(set(targets) ^ set(CORPORA))
seconds = os.environ.get("ATTN_FUZZ_SECONDS", str(ALL_SECONDS // len(targets)))
for target in targets:
    with tempfile.TemporaryDirectory() as folder:
        corpora = [path for corpus in CORPORA[target] for path in sorted(glob.glob(os.path.join(SOURCE, corpus)))]
        done = subprocess.run([os.path.join(BUILD, f"attn-fuzz-{target}"), "--seconds", seconds, *corpora], cwd=folder, env={**os.environ, "TMPDIR": folder},
                              capture_output=True, text=True, check=False)
        print(f"{target}: {done.stdout.strip()}")
        if done.returncode != 0:
            failed.append(target)
            print(done.stderr[-4000:])
            if os.path.exists(os.path.join(folder, "fuzz-failure")):
                with open(os.path.join(folder, "fuzz-failure"), "rb") as file:
                    print(f"the input: {file.read()[:2000]!r}")
print(f"{len(targets)} targets, failed: {failed}")
sys.exit(1 if failed else 0)
