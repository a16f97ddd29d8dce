#!/bin/sh
# sh tests/bench/run.sh [--quick]: builds attn-bench, measures every shape in turn with the peers of ATTN_BENCH_PEERS
# (tests/bench/compare.py --help says what a peer is), then all that has no peer: lengths, widths, growth, numbers, kernels.
# The tables of docs/performance.md go to standard output, figures and the picture to build/bench/. Half an hour with two
# peers; nothing else should run meanwhile.
# --quick: one short round of the small shapes, to see that everything works; its figures say little.
set -eu
root=$(CDPATH='' cd -P -- "$(dirname -- "$0")/../.." && pwd -P)
. "$root/app/setup.sh"

rounds=3
seconds=0.5
shapes=
lengths='[0-9]+'
others='growth|dims|number|read|write|draw|kernel|machine'
case ${1-} in
    '') ;;
    --quick)
        rounds=1
        seconds=0.05
        shapes=S2_causal,S2_full,S5_decode
        lengths='(128|256|512|1024|2048)'
        others='growth/.*n:4096|number|machine'
        ;;
    *)
        sed -n '2,6s/^# //p' "$0" >&2
        exit 2
        ;;
esac

need_to_build
need python3 python3
need libbenchmark-dev benchmark/benchmark.h
install_missing || true # CMake has the last word: it may find them elsewhere

lock
configure_release
# A folder that was configured before Google Benchmark was installed has no target for it.
if grep -q '^benchmark_DIR:.*NOTFOUND' "$builds/release/CMakeCache.txt"; then
    quietly "$builds/release/configure.log" cmake "$builds/release"
fi
build release attn-bench attn-bench
unlock

bench=$builds/release/tests/bench/attn-bench
[ -x "$bench" ] || bench=$builds/release/attn-bench
out=$builds/bench
mkdir -p "$out"

say "measuring the shapes, $rounds rounds of ours and of each peer"
python3 -B "$root/tests/bench/compare.py" --bench "$bench" --rounds "$rounds" --seconds "$seconds" --json "$out/compare.json" \
    ${shapes:+"--shape=$shapes"}

round=1
rm -f "$out"/sweep-*.json "$out"/others-*.json # a longer call may have left more rounds
while [ "$round" -le "$rounds" ]; do
    say "measuring what has no peer, round $round of $rounds"
    "$bench" --benchmark_filter="^(machine/fma_peak|sweep/n:$lengths)/threads:[0-9]+/real_time\$" --benchmark_format=json \
        --benchmark_min_time="$seconds" >"$out/sweep-$round.json"
    "$bench" --benchmark_filter="^($others)/" --benchmark_format=json --benchmark_min_time=0.1 >"$out/others-$round.json"
    round=$((round + 1))
done
python3 -B "$root/tests/bench/picture.py" "$out"/sweep-*.json -o "$out/performance.svg"
python3 -B "$root/tests/bench/tables.py" "$out"/sweep-*.json "$out"/others-*.json
say "written: $out/compare.json, $out/sweep-*.json, $out/others-*.json, $out/performance.svg"
