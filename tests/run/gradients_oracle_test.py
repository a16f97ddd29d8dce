"""Random documents with a "gradient" against the oracle of gradients: see tests/oracle/compare.py, which takes any number."""
import os
import subprocess
import sys

try:
    import numpy  # noqa: F401
except ImportError:
    print("needs numpy")
    sys.exit(77)
count = "30" if os.environ.get("ATTN_SANITIZE") == "ON" else "200"
folder = os.path.join(os.environ["ATTN_SOURCE"], "tests", "oracle")
sys.exit(subprocess.run([sys.executable, "-B", os.path.join(folder, "compare.py"), "--program", os.environ["ATTN_PROGRAM"], "--gradients",
                         "--count", count, "--seed", "1", "--size", "8", "--failures", "5"], check=False).returncode)
