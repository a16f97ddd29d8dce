#!/bin/sh
# sh tests/readers/run.sh [ATTN-CALC]: recipes and table of docs/formats.md and docs/recipes.md with every program they name. Too much
# to install for each run of the tests: Octave, R, jsonlite, Miller, gojq, SQLite from Debian, DuckDB and Polars from npm.
set -eu
root=$(CDPATH='' cd -P -- "$(dirname -- "$0")/../.." && pwd -P)
. "$root/app/setup.sh"

need octave octave-cli
need r-base-core Rscript
Rscript -e 'library(jsonlite)' >/dev/null 2>&1 || missing="$missing r-cran-jsonlite"
need miller mlr
need gojq gojq
need jq jq
need sqlite3 sqlite3
need nodejs node
need npm npm
need python3 python3
need python3-numpy python:numpy
need python3-pandas python:pandas
need python3-matplotlib python:matplotlib
install_missing

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Polars' own package leaves out what it needs on some versions of npm: it is named.
case $(uname -m) in
    aarch64) machine=arm64 ;;
    *) machine=x64 ;;
esac
npm install --silent --no-fund --no-audit --prefix "$folder" @duckdb/node-api@1.5.6-r.1 nodejs-polars@0.26.1 "nodejs-polars-linux-$machine-gnu@0.26.1"
status=0
PATH=/usr/bin:$PATH python3 -B "$root/tests/readers/readers_test.py" --all --modules "$folder/node_modules" \
    --program "${1:-$builds/release/app/attn-calc}" || status=$?
exit "$status"
