#!/bin/sh
# sh tests/bench/compare_builds.sh OLD NEW [--filter REGEX] [--rounds N] [--seconds S]: two commits, or two programs attn-bench, measured in turn:
# a table of each benchmark that both have, with the ratios within a round. Commits are built in build/bench/COMMIT, once.
# Nothing else should run meanwhile.
set -eu
root=$(CDPATH='' cd -P -- "$(dirname -- "$0")/../.." && pwd -P)
. "$root/app/setup.sh"
case ${1-} in '' | -*) sed -n '2,4s/^# //p' "$0" >&2; exit 2 ;; esac
[ $# -ge 2 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }

# bench_of SIDE: the program of a commit, built where it is not there yet
bench_of() {
    if [ -f "$1" ] && [ -x "$1" ]; then
        echo "$1"
        return
    fi
    commit=$(git -C "$root" rev-parse --verify --quiet "$1^{commit}") || { say "$1 is neither a program nor a commit"; return 1; }
    folder=$builds/bench/$commit
    if [ ! -x "$folder/build/attn-bench" ]; then
        mkdir -p "$folder/source"
        git -C "$root" archive "$commit" | tar -x -C "$folder/source"
        say "building $1 in $folder"
        cmake -S "$folder/source" -B "$folder/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DATTN_UNITY=ON -DATTN_TESTS=OFF >"$folder/log" &&
            cmake --build "$folder/build" --target attn-bench >>"$folder/log" || { tail -n 20 "$folder/log" >&2; return 1; }
    fi
    echo "$folder/build/attn-bench"
}

old=$(bench_of "$1")
new=$(bench_of "$2")
shift 2
exec python3 -B "$root/tests/bench/compare_builds.py" "$old" "$new" "$@"
