# Which instruction set is chosen on processors that this one is not: emulated by qemu-user, from Debian.
# Exit 77 (skipped) where it cannot be shown.
set -eu
if [ "${ATTN_SANITIZE:-OFF}" = ON ] || [ "$(uname -m)" != x86_64 ] || ! command -v qemu-x86_64 >/dev/null; then
    echo "needs a release build on x86-64 and qemu-user"
    exit 77
fi
document=data/examples/hello_shiny_sun.json
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0
check() { # WHAT EXPECTED FOUND
    if [ "$2" = "$3" ]; then
        echo "ok: $1"
    else
        echo "FAIL $1: expected '$2', found '$3'"
        failed=1
    fi
}

# A processor without AVX, one with AVX2.
for pair in core2duo:sse2 qemu64:sse2 Haswell:avx2; do
    cpu=${pair%:*} set=${pair#*:}
    chosen=$(qemu-x86_64 -cpu "$cpu" "$ATTN_PROGRAM" --version -v 2>"$scratch/errors" | sed -n 's/^instruction set: \([a-z0-9]*\):.*/\1/p')
    check "$cpu chooses $set" "$set" "$chosen"
    qemu-x86_64 -cpu "$cpu" "$ATTN_PROGRAM" --kernels "$set" -f json "$document" >"$scratch/there.json" 2>>"$scratch/errors"
    "$ATTN_PROGRAM" --kernels "$set" -f json "$document" >"$scratch/here.json" 2>/dev/null || cp "$scratch/there.json" "$scratch/here.json"
    check "$cpu computes what this processor computes with $set" "$(cksum <"$scratch/here.json")" "$(cksum <"$scratch/there.json")"
done
status=0
qemu-x86_64 -cpu core2duo "$ATTN_PROGRAM" --kernels avx2 "$document" >"$scratch/out" 2>"$scratch/errors" || status=$?
check "avx2 is refused without AVX" 2 "$status"
check "and nothing is written" 0 "$(wc -c <"$scratch/out" | tr -d ' ')"

# Units that are built with wider flags define kernels and nothing else: a copy of an ordinary template in them could be
# the one that the linker keeps for everybody.
objects=$(find "$(dirname "$ATTN_PROGRAM")/.." -name 'avx*.cpp.o' -path '*kernels*')
check "two such units" 2 "$(printf '%s\n' "$objects" | grep -c .)"
for object in $objects; do
    foreign=$(nm --defined-only "$object" | sed -n 's/^[0-9a-f]* [TtWwVu] //p' |
        grep -v '^_ZN4attn7kernels\|^DW.ref.__gxx_personality_v0$' | c++filt || true)
    check "$(basename "$object") has only kernels" "" "$foreign"
done
exit $failed
