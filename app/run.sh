#!/bin/sh
# sh app/run.sh ARGUMENTS...: attn-calc with these arguments, after whatever it takes to have it: packages, a build.
set -eu
root=$(CDPATH='' cd -P -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/app/setup.sh"

need_to_build
install_missing || true # CMake has the last word: it may find them elsewhere

program=$builds/release/app/attn-calc
lock
first=yes
[ ! -e "$program" ] || first=
configure_release
build release app/attn-calc attn-calc
unlock
# Once, on the way to what was asked for: whoever runs this again, in a pipe perhaps, knows it.
[ -z "$first" ] || say "built: $program
  to install it as attn-calc: cmake --install $builds/release
  (into /usr/local; elsewhere with --prefix FOLDER)"

exec "$program" "$@"
