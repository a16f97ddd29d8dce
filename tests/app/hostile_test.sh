#!/bin/sh
# sh tests/app/hostile_test.sh ARGUMENTS...: tests/hostile/run.py with the program of the build.
set -eu
exec "${ATTN_PYTHON:-python3}" -B "$(dirname -- "$0")/../hostile/run.py" "$@"
