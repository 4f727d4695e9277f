// Transfers become dma commands into the slot's region. A refill awaits the product that last read the slot, because their bytes
// overlap; waits that queue order implies are left out.
// RUN: ahm-opt %s -hmem-schedule -hmem-to-dimc | FileCheck %s

#d = affine_map<() -> (4, 64)>
#w = affine_map<() -> (64, 64)>
module attributes {hmem.ring = {slots = 2 : i64, slot_bytes = 4224 : i64, sram_offset = 8192 : i64}} {
  hmem.weight @a "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64, dram_chiplet = 0 : i64, dram_offset = 0 : i64}
  hmem.weight @b "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64, dram_chiplet = 0 : i64, dram_offset = 0 : i64}
  hmem.weight @c "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64, dram_chiplet = 0 : i64, dram_offset = 0 : i64}
  func.func @main() {
    %x = hmem.alloc "x" <activation> {offset = 0 : i64} : memref<320xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> {offset = 1024 : i64} : memref<1024xi8, #hmem.tier<stash>>
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @a, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @b, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    return
  }
}
// CHECK-DAG: dimc.region @a.dram "a" "dram" "weight" units 0 1 at 0 size 16896 {persistent}
// CHECK-DAG: dimc.region @a.slot0 "a" "sram" "staging" units 0 4 at 8192 size 4224 {alias_group = 1 : i64}
// CHECK-DAG: dimc.region @b.slot1 "b" "sram" "staging" units 0 4 at 12416 size 4224 {alias_group = 1 : i64}
// CHECK: dimc.entry @load
// CHECK-COUNT-3: dimc.command "HostToDram" queue "host"
// CHECK: dimc.entry @main
// CHECK: dimc.command "DmaTiles" queue "dma" {{.*}}@a.dram{{.*}}@a.slot0{{.*}}waits []
// CHECK-NEXT: dimc.command "DmaTiles" queue "dma" {{.*}}@b.slot1{{.*}}waits []
// CHECK-NEXT: dimc.command "GemmMx" queue "gemm" {{.*}}@a.slot0{{.*}}waits [0]
// CHECK-NEXT: dimc.command "DmaTiles" queue "dma" {{.*}}@c.slot0{{.*}}waits [2]
// CHECK-NEXT: dimc.command "GemmMx" queue "gemm" {{.*}}@b.slot1{{.*}}waits [1]
// CHECK-NEXT: dimc.command "GemmMx" queue "gemm" {{.*}}@c.slot0{{.*}}waits [3]
// CHECK-NEXT: dimc.command "GemmMx" queue "gemm" {{.*}}@c.slot0{{.*}}waits []
// CHECK: dimc.entry @release
