#!/bin/sh
# Renews the locks: every package with its hashes, no index named. The smaller locks follow dev.txt.
set -eu
cd "$(dirname "$0")/.."
uv=${1:-.venv/bin/uv}
lock() {
  out=$1; shift
  "$uv" pip compile --quiet --universal --generate-hashes --no-emit-index-url \
    --custom-compile-command "make lock" "$@" -o "requirements/$out.txt"
}
lock dev pyproject.toml --extra dev
lock daemon pyproject.toml -c requirements/dev.txt
lock site pyproject.toml -c requirements/dev.txt --extra site
lock demo pyproject.toml -c requirements/dev.txt --extra demo --extra build
lock build -c requirements/dev.txt --group build
