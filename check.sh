#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: unit, lit and end to end.
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh release
models/fetch_moonshine.sh || echo "so the end-to-end tests of Moonshine are skipped" >&2
test/e2e/fetch_oracle.sh || echo "so the end-to-end tests against ONNX Runtime are skipped" >&2
echo "running all tests; the slowest take minutes"
ctest --test-dir build --output-on-failure
