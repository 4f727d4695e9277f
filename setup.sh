#!/usr/bin/env bash
# Installs what is missing (Debian 12 packages), configures and builds into build/. Run again at any time.
# Usage: ./setup.sh [PRESET]      (release or debug; default release)
set -euo pipefail
cd "$(dirname "$0")"
preset=${1:-release}
packages=(cmake ninja-build ccache g++ clang-22 clang-format-22 clang-tidy-22 lld-22 libclang-rt-22-dev
  libmlir-22-dev mlir-22-tools llvm-22-dev llvm-22-tools libonnx-dev libprotobuf-dev protobuf-compiler
  libflatbuffers-dev flatbuffers-compiler libyaml-cpp-dev nlohmann-json3-dev libgtest-dev libgmock-dev libbenchmark-dev libsimde-dev
  coinor-libcbc-dev
  python3-numpy python3-onnx libonnx-testdata)
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || packages+=(nodejs npm)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing ${#missing[@]} Debian packages: ${missing[*]}"
  run() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
  export DEBIAN_FRONTEND=noninteractive
  if ! { run apt-get update -qq && run apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}"; } </dev/null; then
    echo "could not install: ${missing[*]}" >&2
    echo "these packages come from Debian 12 with its security updates; the network is needed once, then run this again" >&2
    exit 1
  fi
fi
echo "building (preset $preset)"
cmake --preset "$preset" >"${TMPDIR:-/tmp}/ahm-configure.log" 2>&1 || { tail -n 30 "${TMPDIR:-/tmp}/ahm-configure.log" >&2; exit 1; }
cmake --build --preset "$preset" -j "$(nproc)"
