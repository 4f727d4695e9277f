// RUN: ahm-opt %s -hmem-schedule -split-input-file -verify-diagnostics

#d = affine_map<() -> (4, 64)>
#w = affine_map<() -> (64, 64)>
module {
  hmem.weight @a "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64}
  func.func @main() {
    %x = hmem.alloc "x" <activation> : memref<320xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> : memref<1024xi8, #hmem.tier<stash>>
    // expected-error@+1 {{reads @a, which has no residency; run placement first}}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @a, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    return
  }
}

// -----

#d = affine_map<() -> (4, 64)>
#w = affine_map<() -> (64, 64)>
module {
  hmem.weight @a "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  func.func @main() {
    %x = hmem.alloc "x" <activation> : memref<320xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> : memref<1024xi8, #hmem.tier<stash>>
    // expected-error@+1 {{the module has no hmem.ring with slots}}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @a, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    return
  }
}
