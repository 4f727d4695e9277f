// Streamed weights arrive in slot i mod N, each as soon as the last reader of what the slot held is done; a weight that still
// stands in its slot is not moved again.
// RUN: ahm-opt %s -hmem-schedule | FileCheck %s

#d = affine_map<() -> (4, 64)>
#w = affine_map<() -> (64, 64)>
module attributes {hmem.ring = {slots = 2 : i64, slot_bytes = 4224 : i64, sram_offset = 8192 : i64}} {
  hmem.weight @a "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  hmem.weight @b "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  hmem.weight @c "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  func.func @main() {
    %x = hmem.alloc "x" <activation> : memref<320xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> : memref<1024xi8, #hmem.tier<stash>>
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @a, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @b, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    return
  }
}
// CHECK: func.func @main() attributes {hmem.scheduled}
// CHECK-NEXT: %[[A:.*]] = hmem.transfer @a slot 0
// CHECK-NEXT: %[[B:.*]] = hmem.transfer @b slot 1
// CHECK: tokens(%[[A]]) ins{{.*}}@a
// CHECK-NEXT: %[[C:.*]] = hmem.transfer @c slot 0
// CHECK-NEXT: tokens(%[[B]]) ins{{.*}}@b
// CHECK-NEXT: tokens(%[[C]]) ins{{.*}}@c
// CHECK-NEXT: tokens(%[[C]]) ins{{.*}}@c
// CHECK-NOT: hmem.transfer
