#!/bin/sh
# Makes the .deb from an installed release and tries it: lintian without errors, then installed in a bare root of each
# Debian named, where it computes an example and finds its manual page and completion. By hand: it fetches Debian's
# base system and builds anew.
#
#   sh tests/release/packages.sh [SUITE...]        (bookworm trixie)
#
# Needs root, debootstrap and lintian. Exit 0: all of it held.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ $# -gt 0 ] || set -- bookworm trixie

say() { printf 'packages: %s\n' "$*"; }

# Two builds in two folders have to give the same bytes.
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH
for n in 1 2; do
    git -C "$root" archive --prefix="tree$n/" HEAD | tar -x -C "$work"
    cmake -S "$work/tree$n" -B "$work/build$n" -DCMAKE_BUILD_TYPE=Release -DATTN_TESTS=OFF -DATTN_UNITY=ON \
        -DCMAKE_CXX_FLAGS="-ffile-prefix-map=$work/tree$n=. -ffile-prefix-map=$work/build$n=build" \
        -DCMAKE_INSTALL_PREFIX=/usr -DATTN_ZSH_FOLDER=zsh/vendor-completions >/dev/null
    cmake --build "$work/build$n" --parallel --target attn-calc >/dev/null
    (cd "$work/build$n" && cpack -G DEB >/dev/null)
done
package=$(ls "$work"/build1/*.deb)
cmp "$package" "$work/build2/$(basename "$package")"
say "two builds give the same $(basename "$package")"

lintian --allow-root --fail-on error "$package"
say "lintian has no error to tell"

for suite in "$@"; do
    there=$work/$suite
    debootstrap --variant=minbase "$suite" "$there" http://deb.debian.org/debian >/dev/null
    cp "$package" "$there/tmp/attn-calc.deb"
    chroot "$there" sh -ec '
        apt-get -qq update && apt-get -qq install --yes --no-install-recommends /tmp/attn-calc.deb >/dev/null
        cd /tmp && attn-calc init hello_shiny_sun && attn-calc hello_shiny_sun.json --stages weights
        test -e /usr/share/bash-completion/completions/attn-calc'
    say "$suite: installed, computed"
done
