#!/usr/bin/env bash
# Mutations of compiled programs: run.sh BUILD [SAMPLE|all] [FILTER]. SAMPLE (default 150) mutations of each program, chosen by a fixed
# seed; "all" takes every one (test/bench/mutation.sh). FILTER: only programs whose name contains it.
# Models: a decoder made here, with caches in pages; kjv-llama beside the project and Moonshine (models/fetch_moonshine.sh), each resident
# and streaming. Exit 1 when a score is below 99 %, 77 when no program was mutated.
set -euo pipefail
build=$1
sample=${2:-150}
filter=${3:-}
root=$(cd "$(dirname "$0")/../.." && pwd)
kjv=$root/../shared/assets/kjv-llama/model_optimum.onnx
moonshine=$root/models/cache/moonshine
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
options=(--shadow)
[ "$sample" = all ] || options+=("--sample=$sample" --seed=1)
status=77

# mutate NAME REQUEST COMPILE_ARGUMENTS...
mutate() {
  local name=$1 request=$2
  shift 2
  [[ $name == *"$filter"* ]] || return 0
  echo "$name"
  "$build/bin/ahm-compile" "$@" -o "$work/$name.ahm" >/dev/null
  if "$build/mutation/ahm-mutate" "$work/$name.ahm" "$request" "${options[@]}"; then
    [ $status = 1 ] || status=0
  else
    status=1
  fi
}

# A prompt that fills pages at home in both tiers and is read in two pieces.
/usr/bin/python3 "$root/test/mutation/paged.py" "$work"
prompt=$(for i in {0..12}; do seq -s, 0 94; done | paste -sd,)
for kv in mxint16 bf16; do
  mutate "paged.$kv" "--prompt-ids=$prompt" "$work/decoder.onnx" --target="$work/paged.yaml" --weights=mxint16 --kv=$kv --max-context=4096
done
if [ -f "$kjv" ]; then
  for target in corsair kjv-quarter; do
    mutate "kjv-llama.$target" --prompt-ids=0,12,7,99 "$kjv" --weights=mxint16 --target=$target
  done
else
  echo "kjv-llama is not at hand"
fi
if [ -f "$moonshine/encoder_model.onnx" ]; then
  for target in corsair test-tiny; do
    mutate "moonshine.$target" "--audio=$root/test/e2e/clips/say16.wav" \
      "$moonshine/encoder_model.onnx" "$moonshine/decoder_model_merged.onnx" --target=$target
  done
else
  echo "Moonshine is not at hand"
fi
exit $status
