#!/usr/bin/env bash
# Installs ONNX Runtime for Node, the reference of the end-to-end tests, into models/cache/oracle. The package carries the CPU
# library; its install script would only fetch CUDA parts and is not run.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$root/models/cache/oracle
[ -d "$dir/node_modules/onnxruntime-node" ] && { echo "oracle: onnxruntime-node is there" >&2; exit 0; }
. "$root/models/npm.sh"
mkdir -p "$dir"
cd "$dir"
[ -f package.json ] || echo '{"private": true}' > package.json
echo "fetching npm package onnxruntime-node@1.30.0" >&2
if ! ONNXRUNTIME_NODE_INSTALL_CUDA=skip npm_fetch "the npm package onnxruntime-node" install --no-audit --no-fund --ignore-scripts onnxruntime-node@1.30.0 >&2; then
  rm -rf node_modules
  exit 1
fi
