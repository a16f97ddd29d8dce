"""With clang, libFuzzer sees which lines of the library an input reaches, and finds inputs that reach more.

Configured as tests/fuzz/README.md says; of it only the rooms that the target `npy` needs are compiled.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.environ.get("ATTN_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUNTIME = "-fsanitize=fuzzer,address,undefined"
TARGET = 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n'
UNITS = ("CMakeFiles/attn_lib.dir/Unity/unity_lib_cxx.cxx.o", "CMakeFiles/attn_lib.dir/Unity/unity_lib_input_cxx.cxx.o",
         "CMakeFiles/attn-fuzz-npy.dir/tests/fuzz/npy.cpp.o")


def do(folder, *command):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout + done.stderr


def main():
    clang = shutil.which("clang++") or shutil.which("clang++-14")
    if not clang or not shutil.which("ninja"):
        print("not tested: no clang++ or no ninja here")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "target.cpp"), "w", encoding="utf-8") as file:
            file.write(TARGET)
        if subprocess.run([clang, RUNTIME, "target.cpp", "-o", "target"], cwd=folder, capture_output=True, check=False).returncode:
            print("not tested: clang++ has no libFuzzer here (libclang-rt-dev)")
            return 77
        do(folder, "cmake", "-S", SOURCE, "-B", ".", "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={clang}", "-DCMAKE_BUILD_TYPE=Debug",
           "-DCMAKE_CXX_FLAGS_DEBUG=-O1", "-DATTN_SANITIZE=ON", "-DATTN_UNITY=ON")
        do(folder, "ninja", *UNITS)
        do(folder, clang, RUNTIME, *UNITS, "-lz", "-pthread", "-o", "npy")
        os.mkdir(os.path.join(folder, "found"))
        said = do(folder, "./npy", "-runs=20000", "-seed=1", "-max_len=512", "found", os.path.join(SOURCE, "tests", "hostile", "npy"))
    covered = [int(n) for n in re.findall(r"cov: (\d+)", said)]
    good = len(covered) > 2 and covered[0] > 100 and covered[-1] > covered[0]
    print(f"lines that were reached, first and last: {covered[:1]}, {covered[-1:]}")
    if not good:
        print(said[-4000:])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
