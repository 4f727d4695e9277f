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

// expected-error@+1 {{has residency "split"; it is resident or streamed}}
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
