#!/usr/bin/env bash
# Fetches Moonshine-tiny (MIT) and derives the tokenizer that turns its ids into text, all from npm, checked by sha256.
# Usage: models/fetch_moonshine.sh [DIR]   (default: models/cache/moonshine). Does nothing when everything is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/cache/moonshine}
. "$here/npm.sh"
mkdir -p "$dir"

model_package=@moonshine-ai/moonshine-js@0.1.29
model_sha=864e17a00ed494857c71693e835306fa038e0f82002c76e3056d67d574e1c2d8
encoder_sha=c6fc4b7bc5af75c0591fd157a1f3829b533d18e9769a888fd95a62e470dd4f4a
decoder_sha=eed87831c3a6103534aae7d47a5d485025c659a1323901513961c39fe8a1a367
tokenizer_package=llama-tokenizer-js@1.2.2
tokenizer_sha=ee83014ac8b379b16cf8d81e99ffcdb23dfade8c0d2e751bd06e7dc0b8476e72

# has FILE SHA: the file is there, whole
has() { [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status; }

# pack PACKAGE SHA WORK: downloads the package's tarball into WORK/package.tgz and unpacks it
pack() {
  echo "fetching npm package $1" >&2
  local name
  name=$(cd "$3" && npm_fetch "the npm package $1" pack "$1" | tail -n 1) || exit 1
  if ! echo "$2  $3/$name" | sha256sum --check --status; then
    echo "the npm package $1 is not the expected one (its sha256 differs from $2)" >&2
    exit 1
  fi
  tar -xzf "$3/$name" -C "$3"
}

if has "$dir/encoder_model.onnx" $encoder_sha && has "$dir/decoder_model_merged.onnx" $decoder_sha; then
  echo "moonshine: models are there" >&2
else
  work=$(mktemp -d "$dir/work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  pack $model_package $model_sha "$work"
  from=$work/package/dist/model/tiny/quantized
  for pair in "encoder_model.onnx $encoder_sha" "decoder_model_merged.onnx $decoder_sha"; do
    read -r name sha <<<"$pair"
    has "$from/$name" "$sha" || { echo "$name in the package has another sha256 than expected" >&2; exit 1; }
    mv "$from/$name" "$dir/$name"
  done
  cp "$work/package/LICENSE" "$dir/LICENSE" 2>/dev/null || true
fi
if [ -f "$dir/tokenizer.json" ]; then
  echo "moonshine: tokenizer.json is there" >&2
else
  work2=$(mktemp -d "$dir/work.XXXXXX")
  trap 'rm -rf "${work:-}" "$work2"' EXIT
  pack $tokenizer_package $tokenizer_sha "$work2"
  node "$here/make_tokenizer.mjs" "$work2/package" "$dir/tokenizer.json" >&2
fi
