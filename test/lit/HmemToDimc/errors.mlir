// RUN: ahm-opt %s -hmem-to-dimc -split-input-file -verify-diagnostics

func.func @main() {
  // expected-error@+1 {{'x' has no offset; run placement first}}
  %x = hmem.alloc "x" <activation> : memref<64xi8, #hmem.tier<stash>>
  return
}

// -----

// expected-error@+1 {{has no stash_offset; run placement first}}
hmem.cache @c heads 2 head_dim 32 capacity 64 format "mxint16" bytes 8704

// -----

// expected-error@+1 {{names an entry of its own}}
func.func @load() {
  return
}
