# The kernels' test for AArch64 and NEON, by Debian's cross compiler and qemu-user. Exit 77 (skipped) where these are not.
set -eu
if [ "${ATTN_SANITIZE:-OFF}" = ON ] || ! command -v qemu-aarch64 >/dev/null || ! command -v aarch64-linux-gnu-g++ >/dev/null; then
    echo "needs qemu-user and g++-aarch64-linux-gnu, in the release build"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Headers alone, without the other headers of this machine's own architecture.
mkdir "$scratch/include"
for library in xsimd doctest; do
    for folder in /usr/include /usr/local/include; do
        [ ! -d "$folder/$library" ] || ln -sfn "$folder/$library" "$scratch/include/$library"
    done
done
built=$scratch/kernels_test
objects=
for source in tests/main.cpp tests/kernels/kernels_test.cpp tests/kernels/products_test.cpp lib/kernels/dispatch.cpp lib/kernels/neon.cpp lib/*.cpp; do
    object=$scratch/$(echo "$source" | tr / _).o
    aarch64-linux-gnu-g++ -std=c++20 -O1 -ffp-contract=off -DDOCTEST_CONFIG_SUPER_FAST_ASSERTS -I. -I"$scratch/include" -c "$source" -o "$object" &
    objects="$objects $object"
    [ "$source" != lib/kernels/neon.cpp ] || wait
done
wait
# shellcheck disable=SC2086
aarch64-linux-gnu-g++ -static $objects -o "$built"
qemu-aarch64 "$built"
