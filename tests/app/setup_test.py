"""app/run.sh without a build of its own: what it says, when, and where. A cmake of the test's own makes the program."""
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Report, execute, environment, parser_of  # noqa: E402

CMAKE = """#!/bin/sh
case $1 in
    --preset) touch "$4/CMakeCache.txt" "$4/build.ninja" ; echo "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" >"$4/CMakeCache.txt" ;;
    --build) mkdir -p "$2/app" && printf '#!/bin/sh\\necho "$@"; cat\\n' >"$2/app/attn-calc" && chmod +x "$2/app/attn-calc"
        echo "words of the build" ;;
esac
"""


def main():
    report = Report(parser_of(__doc__).parse_args().only)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "cmake"), "w", encoding="utf-8") as file:
            file.write(CMAKE)
        os.chmod(file.name, 0o755)
        build = os.path.join(folder, "a build")
        env = environment(PATH=folder + os.pathsep + os.environ.get("PATH", ""), ATTN_BUILD=build)

        def run():
            return execute(["sh", os.path.join(SOURCE, "app", "run.sh"), "a", "b c"], folder, b"input", env=env)

        first, second = run(), run()
        for name, result in (("first", first), ("second", second)):
            report.equal(f"{name}: exit and output", (result.status, result.text), (0, "a b c\ninput"))
        release = os.path.join(build, "release")
        report.check(f"{release}/app/attn-calc" in first.said and f"cmake --install {release}" in first.said,
                     "the first run says where the program is and how it is installed", release, first.said)
        report.equal("the second run says nothing", second.said, "")
        os.remove(os.path.join(release, "app", "attn-calc"))
        with open(os.path.join(folder, "cmake"), "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho what went wrong\nexit 1\n")
        failed = run()
        report.equal("a build that fails: exit and output", (failed.status != 0, failed.text), (True, ""))
        report.check("what went wrong" in failed.said and "--install" not in failed.said, "a build that fails is shown",
                     "what went wrong", failed.said)
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    report.equal("README.md installs the folder that run.sh builds", re.findall(r"^cmake --install (\S+)", readme, re.M), ["build/release"])
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
