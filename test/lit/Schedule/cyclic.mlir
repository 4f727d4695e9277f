// A cyclic ring: what every function reads first from a slot stands there when a call begins, and is moved again for the next call at
// the end. A slot whose first weight differs between the functions, or which nothing overwrites, has no such transfer.
// RUN: ahm-opt %s -hmem-schedule -split-input-file | FileCheck %s

#d = affine_map<() -> (4, 64)>
#w = affine_map<() -> (64, 64)>
module attributes {hmem.ring = {cyclic, slots = 2 : i64, slot_bytes = 4224 : i64, sram_offset = 8192 : i64}} {
  hmem.weight @a "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  hmem.weight @b "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  hmem.weight @c "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  func.func @prefill() {
    %x = hmem.alloc "x" <activation> : memref<320xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> : memref<1024xi8, #hmem.tier<stash>>
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @a, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @b, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    return
  }
  func.func @decode() {
    %x = hmem.alloc "x" <activation> : memref<320xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> : memref<1024xi8, #hmem.tier<stash>>
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @a, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @b, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    return
  }
}
// CHECK-LABEL: func.func @prefill
// CHECK-NEXT: %[[A:.*]] = hmem.transfer @a slot 0 {earlier_call}
// CHECK-NEXT: %[[B:.*]] = hmem.transfer @b slot 1 {earlier_call}
// CHECK: tokens(%[[A]]) ins{{.*}}@a
// CHECK-NEXT: %[[C:.*]] = hmem.transfer @c slot 0
// CHECK-NEXT: tokens(%[[B]]) ins{{.*}}@b
// CHECK-NEXT: tokens(%[[C]]) ins{{.*}}@c
// Slot 1 still holds @b.
// CHECK-NEXT: hmem.transfer @a slot 0 {next_call}
// CHECK-NEXT: return
// CHECK-LABEL: func.func @decode
// CHECK-NEXT: hmem.transfer @a slot 0 {earlier_call}
// CHECK-NEXT: hmem.transfer @b slot 1 {earlier_call}
// CHECK: hmem.transfer @a slot 0 {next_call}
// CHECK-NEXT: return

// -----

#d = affine_map<() -> (4, 64)>
#w = affine_map<() -> (64, 64)>
module attributes {hmem.ring = {cyclic, slots = 2 : i64, slot_bytes = 4224 : i64, sram_offset = 8192 : i64}} {
// @encode begins with another weight: its slot has no contents between calls. Slot 1 has, and all of @decode's weights pass through it.
  hmem.weight @a "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, ring_slot = 0 : i64, residency = "streamed", cores_first = 0 : i64}
  hmem.weight @b "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, ring_slot = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  hmem.weight @c "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, ring_slot = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  hmem.weight @d "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, ring_slot = 0 : i64, residency = "streamed", cores_first = 0 : i64}
  func.func @encode() {
    %x = hmem.alloc "x" <activation> : memref<320xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> : memref<1024xi8, #hmem.tier<stash>>
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @d, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    return
  }
  func.func @decode() {
    %x = hmem.alloc "x" <activation> : memref<320xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> : memref<1024xi8, #hmem.tier<stash>>
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @a, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @b, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    return
  }
}
// CHECK-LABEL: func.func @encode
// CHECK-NEXT: hmem.transfer @d slot 0
// CHECK-NOT: next_call
// CHECK-LABEL: func.func @decode
// CHECK-NEXT: hmem.transfer @b slot 1 {earlier_call}
// CHECK-NEXT: hmem.transfer @a slot 0
// CHECK: hmem.transfer @c slot 1
// CHECK: @c
// CHECK: hmem.transfer @b slot 1 {next_call}
// CHECK-NOT: next_call
// CHECK: return
