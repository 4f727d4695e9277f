#!/usr/bin/env bash
# Fails when a binary defines MLIR's or LLVM's own symbols instead of taking them from the shared libraries: two copies of a
# registry in one process break type identity silently.
set -euo pipefail
bin=$1
status=0
for file in "$bin"/ahm-*; do
  [ -f "$file" ] && [ -x "$file" ] || continue
  # A sentinel that every static MLIR user would pull in: the registry of contexts and passes.
  if nm -C --defined-only "$file" 2>/dev/null | grep -qE ' [TtBbDd] (mlir::MLIRContext::MLIRContext\(|mlir::PassManager::run\(|llvm::cl::ParseCommandLineOptions\()'; then
    echo "$file embeds static MLIR or LLVM"
    status=1
  fi
done
exit $status
