#!/bin/sh
# Regenerates the protobuf modules from the .proto files beside this script.
#
# The daemon and the simulated module each get a copy of their own: they share no code and meet only
# in SPEC.md, the .proto files and vectors.json.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${1:-$here/../../.venv/bin/python}
# It is given from where the caller is, who need not be here.
bin=$(cd "$(dirname "$python")" && pwd)
cd "$here"
for out in ../../daemon/ucm_provision/link/messages ../ucm_sim/messages; do
  mkdir -p "$out"
  PATH="$bin:$PATH" "$bin/python" -m grpc_tools.protoc -I. --python_out="$out" --mypy_out=quiet:"$out" ucm_link.proto protocomm.proto
done
