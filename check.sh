#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: unit, lit and end to end.
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh release
models/fetch_moonshine.sh || echo "the end-to-end tests of Moonshine will be skipped" >&2
test/e2e/fetch_oracle.sh || echo "the end-to-end tests against ONNX Runtime will be skipped" >&2
ctest --test-dir build --output-on-failure
