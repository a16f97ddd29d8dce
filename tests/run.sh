#!/bin/sh
# sh tests/run.sh: everything, with the sanitizers (addresses, undefined behaviour, threads) and clang-tidy too. The last line is `N passed, N failed`.
# sh tests/run.sh ARGUMENTS...: what `ctest ARGUMENTS...` chooses (such as -R cases), from the release build alone.
set -eu
root=$(CDPATH='' cd -P -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/app/setup.sh"

need_to_build
need doctest-dev doctest/doctest.h
need libbenchmark-dev benchmark/benchmark.h
need python3 python3
install_missing || true
# Another version would format and warn otherwise, so these are of one version or left out.
need clang-format-14 clang-format-14
install_missing || say "formatting is not checked"

# What only tests and clang-tidy ask for is installed while the release is built.
need python3-jsonschema python:jsonschema
need python3-numpy python:numpy
need python3-pandas python:pandas
need python3-matplotlib python:matplotlib
need jq jq
need librsvg2-bin rsvg-convert
need binutils nm
need chromium chromium
need chromium-driver chromedriver
need python3-selenium python:selenium
if [ "$(uname -m)" = x86_64 ]; then
    need qemu-user qemu-x86_64
    need g++-aarch64-linux-gnu aarch64-linux-gnu-g++
fi
need clang-tidy-14 clang-tidy-14
mkdir -p "$builds"
install_missing >"$builds/install.log" 2>&1 &
installing=$!
# installed: waits for that
installed() {
    if [ -n "$installing" ]; then
        wait "$installing" || cat "$builds/install.log" >&2
        installing=
    fi
}

passed=0
failed=0
fail() {
    say "$*"
    failed=$((failed + 1))
}

# count PRESET ARGUMENTS...: runs ctest and adds up
count() {
    folder=$builds/$1
    shift
    status=0
    rm -f "$folder/results.xml"
    ctest --test-dir "$folder" --parallel "$(nproc 2>/dev/null || echo 2)" --output-on-failure --no-tests=error \
        --output-junit "$folder/results.xml" "$@" </dev/null || status=$?
    if [ ! -f "$folder/results.xml" ]; then
        fail "ctest has no results"
        return
    fi
    of() { sed -n "s/^.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p" "$folder/results.xml" | head -n 1; }
    bad=$(of failures)
    skipped=$(($(of skipped) + $(of disabled)))
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then
        fail "ctest ends with $status"
    fi
    [ "$skipped" = 0 ] || say "$skipped skipped"
    failed=$((failed + bad))
    passed=$((passed + $(of tests) - bad - skipped))
}

finish() {
    installed
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
    exit
}

lock
if ! configure release -DATTN_TESTS=ON || ! build release attn-tests all; then
    fail "the release build failed"
    finish
fi
unlock # a test may run app/run.sh
installed
if [ $# -gt 0 ]; then
    count release "$@"
    finish
fi
count release

tidy=OFF
if found clang-tidy-14; then
    tidy=ON
else
    say "clang-tidy is not asked"
fi
lock
keep_going=yes
# What the sanitizers have nothing to say about is not run twice: texts of the tree, other instruction sets, tables and
# numbers that other programs read, the arithmetic of documents whose like the other tests run, what becomes of each option.
once='flags|sheet|sheets|svg|alone|structure|schema|format|architecture|docs|setup|instruction_sets|neon|md|tex|latex|models|numerics|memory|coverage|backward|page|page_types|worksheet|office|readers|install'
if configure sanitize -DATTN_TIDY=$tidy && build sanitize attn-tests all; then
    unlock
    count sanitize --exclude-regex "^($once)\$"
else
    unlock
    fail "the build with sanitizers and clang-tidy failed"
fi

lock
if configure thread && build thread attn-tests attn-tests; then
    unlock
    count thread --tests-regex '^threads$'
else
    fail "the build with the thread sanitizer failed"
fi
finish
