// RUN: ahm-opt %s -split-input-file -verify-diagnostics

// expected-error@+1 {{has 2 tiles, but its shape takes 1}}
hmem.weight @w "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 2 : i64}

// -----

// expected-error@+1 {{has sram_offset 100, which is not a multiple of 64}}
hmem.weight @w "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "resident", cores_first = 0 : i64, sram_offset = 100 : i64}

// -----

// expected-error@+1 {{has a negative dram_offset (-64)}}
hmem.weight @w "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, dram_offset = -64 : i64}

// -----

// expected-error@+1 {{starts at column 32, inside a tile of 64 columns}}
hmem.weight @w "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 32 : i64, cores_count = 4 : i64, first_column = 32 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64}

// -----

// expected-error@+1 {{has residency "split"; it is resident, streamed or fetched}}
hmem.weight @w "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "split"}

// -----

func.func @f() {
  // expected-error@+1 {{has the unknown opcode "Frobnicate"}}
  hmem.exec "Frobnicate" ins [] outs []
  return
}

// -----

func.func @f(%x: memref<64xi8, #hmem.tier<stash>>) {
  // expected-error@+1 {{views 80 bytes of a buffer of 64}}
  hmem.exec "Fill"(%x : memref<64xi8, #hmem.tier<stash>>) ins [] outs [#hmem.view<"f32", 0, affine_map<() -> (20)>>]
  return
}

// -----

func.func @f(%x: memref<64xi8, #hmem.tier<stash>>) {
  // expected-error@+1 {{Binary has 1 inputs, but takes 2}}
  hmem.exec "Binary"(%x : memref<64xi8, #hmem.tier<stash>>) ins [#hmem.view<"f32", 0, affine_map<() -> (4)>>] outs [#hmem.view<"f32", 0, affine_map<() -> (4)>>]
  return
}

// -----

func.func @f() {
  // expected-error@+1 {{needs the memory space #hmem.tier<stash> or #hmem.tier<host>}}
  %x = hmem.alloc "x" <activation> : memref<64xi8, #hmem.tier<sram>>
  return
}

// -----

hmem.weight @w "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
func.func @f(%x: memref<320xi8, #hmem.tier<stash>>, %y: memref<1024xi8, #hmem.tier<stash>>) attributes {hmem.scheduled} {
  // expected-error@+1 {{reads the streamed weight @w without awaiting its transfer}}
  hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, affine_map<() -> (4, 64)>>, #hmem.view<"tiles_mx8", @w, affine_map<() -> (64, 64)>>] outs [#hmem.view<"f32", 1, affine_map<() -> (4, 64)>>]
  return
}

// -----

// expected-error@+1 {{has format "mxint5"; caches are bf16, mxint16, mxint8 or mxint4}}
hmem.cache @c heads 2 head_dim 32 capacity 256 format "mxint5" bytes 18432

// -----

// expected-error@+1 {{has 16 places for pages, but no ring of open pages}}
hmem.cache @c heads 2 head_dim 32 capacity 256 format "mxint8" bytes 18432 {sram_pages = 16 : i64, cores_first = 0 : i64, cores_count = 8 : i64, sram_offset = 0 : i64}

// -----

// expected-error@+1 {{has pages in DRAM but no dram_chiplet, dram_chiplets and dram_offset}}
hmem.cache @c heads 2 head_dim 32 capacity 256 format "mxint8" bytes 18432 {open_pages = 2 : i64, dram_pages = 16 : i64}

// -----

// expected-error@+1 {{has a number of slots or pages that is out of range}}
hmem.cache @c heads 2 head_dim 32 capacity 256 format "mxint8" bytes 18432 {slots = 0 : i64}

// -----

hmem.cache @c heads 2 head_dim 32 capacity 256 format "mxint8" bytes 18432 {open_pages = 2 : i64}
func.func @f() {
  // expected-error@+1 {{views dram of the cache @c, which has no pages there}}
  hmem.exec "CacheFetch" ins [#hmem.view<"mx_rows8", @c, affine_map<() -> (4, 2, 64, 32)> part "dram">] outs [#hmem.view<"mx_rows8", @c, affine_map<() -> (16, 2, 64, 32)> part "slot0">]
  return
}

// -----

// expected-error@+1 {{needs a static tensor type}}
hmem.weight @w "vector" : tensor<?xf32> from tensor<64xf32> in "" at 0 size 256 recipe [] format "dense" bytes 256

// -----

// expected-error@+1 {{of tiles needs a [K, N] type, or [experts, K, N]}}
hmem.weight @w "tiles" : tensor<64xf32> from tensor<64xf32> in "" at 0 size 256 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64}

// -----

// expected-error@+1 {{has format "mxint3"; tiles are mxint16, mxint8, mxint4, mxfp8, mxfp6, mxfp4 or int8}}
hmem.weight @w "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint3" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64}

// -----

// expected-error@+1 {{is resident but has no cores_first and sram_offset}}
hmem.weight @w "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "resident"}

// -----

func.func @f() {
  // expected-error@+1 {{has a binding without direction (input or output), name, dtype or view}}
  %x = hmem.alloc "x" <io> {binding = {name = "x"}} : memref<64xi8, #hmem.tier<host>>
  return
}

// -----

func.func @f(%x: memref<64xi8, #hmem.tier<stash>>) {
  // expected-error@+1 {{has an operand that is no #hmem.view}}
  hmem.exec "Fill"(%x : memref<64xi8, #hmem.tier<stash>>) ins [] outs [1 : i64]
  return
}

// -----

func.func @f(%x: memref<64xi8, #hmem.tier<stash>>) {
  // expected-error@+1 {{has an operand of unknown dtype "f31"}}
  hmem.exec "Fill"(%x : memref<64xi8, #hmem.tier<stash>>) ins [] outs [#hmem.view<"f31", 0, affine_map<() -> (4)>>]
  return
}

// -----

func.func @f(%x: memref<64xi8, #hmem.tier<stash>>) {
  // expected-error@+1 {{has dims that are not functions of run-time values alone}}
  hmem.exec "Fill"(%x : memref<64xi8, #hmem.tier<stash>>) ins [] outs [#hmem.view<"f32", 0, affine_map<(d0) -> (d0)>>]
  return
}

// -----

func.func @f(%x: memref<64xi8, #hmem.tier<stash>>) {
  // expected-error@+1 {{reads a buffer as tiles; tiles belong to weights}}
  hmem.exec "Fill"(%x : memref<64xi8, #hmem.tier<stash>>) ins [] outs [#hmem.view<"tiles_mx8", 0, affine_map<() -> (64, 64)>>]
  return
}

// -----

func.func @f() {
  // expected-error@+1 {{views @nothing, which is no buffer, weight or cache}}
  hmem.exec "Fill" ins [] outs [#hmem.view<"f32", @nothing, affine_map<() -> (4)>>]
  return
}

// -----

func.func private @g()
func.func @f() {
  // expected-error@+1 {{views @g, which is no weight or cache}}
  hmem.exec "Fill" ins [] outs [#hmem.view<"f32", @g, affine_map<() -> (4)>>]
  return
}

// -----

hmem.cache @k heads 1 head_dim 32 capacity 64 format "mxint8" bytes 2304
func.func @f() {
  // expected-error@+1 {{views the cache @k as f32}}
  hmem.exec "Fill" ins [] outs [#hmem.view<"f32", @k, affine_map<() -> (4)>>]
  return
}

// -----

func.func @f(%x: memref<64xi8, #hmem.tier<stash>>) {
  // expected-error@+1 {{repeats by what is not one number}}
  hmem.exec "Fill"(%x : memref<64xi8, #hmem.tier<stash>>) ins [] outs [#hmem.view<"f32", 0, affine_map<() -> (4)>>] {repeat = affine_map<() -> (1, 2)>}
  return
}

// -----

func.func @f(%x: memref<64xi8, #hmem.tier<stash>>) {
  // expected-error@+1 {{has an expression that is not one number}}
  hmem.exec "Fill"(%x : memref<64xi8, #hmem.tier<stash>>) ins [] outs [#hmem.view<"f32", 0, affine_map<() -> (4)>>] {exprs = [3 : i64]}
  return
}

// -----

hmem.weight @w "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "resident", cores_first = 0 : i64, sram_offset = 0 : i64}
func.func @f() {
  // expected-error@+1 {{moves @w, which is not streamed}}
  %t = hmem.transfer @w slot 0
  return
}

// -----

hmem.weight @w "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
func.func @f() {
  // expected-error@+1 {{needs the module attribute hmem.ring = {slots, slot_bytes, sram_offset}}}
  %t = hmem.transfer @w slot 0
  return
}

// -----

module attributes {hmem.ring = {slots = 2 : i64, slot_bytes = 64 : i64, sram_offset = 0 : i64}} {
  hmem.weight @w "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  func.func @f() {
    // expected-error@+1 {{moves 4224 bytes a core into a slot of 64}}
    %t = hmem.transfer @w slot 0
    return
  }
}
