#!/bin/sh
# sh app/run.sh ARGUMENTS...: attn-calc with these arguments, after whatever it takes to have it: packages, a build.
set -eu
root=$(CDPATH='' cd -P -- "$(dirname -- "$0")/.." && pwd -P)
. "$root/app/setup.sh"

need_to_build
install_missing || true # CMake has the last word: it may find them elsewhere

lock
configure_release
build release app/attn-calc attn-calc
unlock

exec "$builds/release/app/attn-calc" "$@"
