#!/usr/bin/env bash
# Installs ONNX Runtime for Node, the reference of the end-to-end tests, into models/cache/oracle. The package carries the CPU
# library; its install script would only fetch CUDA parts and is not run.
set -euo pipefail
dir=$(cd "$(dirname "$0")/../.." && pwd)/models/cache/oracle
[ -d "$dir/node_modules/onnxruntime-node" ] && exit 0
mkdir -p "$dir"
cd "$dir"
[ -f package.json ] || echo '{"private": true}' > package.json
echo "fetching npm package onnxruntime-node@1.30.0" >&2
if ! ONNXRUNTIME_NODE_INSTALL_CUDA=skip npm install --silent --ignore-scripts onnxruntime-node@1.30.0 >&2; then
  rm -rf node_modules
  echo "could not fetch onnxruntime-node; the network is needed once" >&2
  exit 1
fi
