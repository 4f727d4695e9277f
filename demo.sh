#!/usr/bin/env bash
# The main job on a real model: builds what is missing, fetches Moonshine-tiny, compiles it for the card and transcribes a spoken clip on
# the simulated card. Usage: ./demo.sh [CLIP.wav]   (16 kHz WAV; default models/clips/train.wav)
set -euo pipefail
cd "$(dirname "$0")"
clip=${1:-models/clips/train.wav}
[ -f "$clip" ] || { echo "no such clip: $clip" >&2; exit 1; }
./setup.sh release
models/fetch_moonshine.sh
model=models/cache/moonshine
echo "compiling Moonshine-tiny for the card"
build/bin/ahm-compile "$model/encoder_model.onnx" "$model/decoder_model_merged.onnx" -o "$model/moonshine.ahm"
echo "transcribing $clip on the simulated card"
build/bin/ahm-run "$model/moonshine.ahm" --audio="$clip" --tokenizer="$model/tokenizer.json"
