#!/usr/bin/env bash
# A seeded sample of mutations over two compiled programs, one resident and one streaming. run.sh BUILD [SAMPLE]; SAMPLE "all"
# takes every mutation. Exit 77 when the model is not at hand.
set -euo pipefail
build=$1
sample=${2:-200}
model=$(cd "$(dirname "$0")/../.." && pwd)/../shared/assets/kjv-llama/model_optimum.onnx
[ -f "$model" ] || { echo "kjv-llama is not at hand"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target in corsair kjv-quarter; do
  "$build/bin/ahm-compile" "$model" --weights=mxint16 --target=$target -o "$work/$target.ahm" >/dev/null
  echo "$target"
  if [ "$sample" = all ]; then
    "$build/mutation/ahm-mutate" "$work/$target.ahm" 0,12,7,99
  else
    "$build/mutation/ahm-mutate" "$work/$target.ahm" 0,12,7,99 "$sample" 1
  fi
done
