// What a cyclic ring holds between calls: `load` moves it there and leaves it, an entry needs it, moves it again behind all else for the
// next call, and leaves it.
// RUN: ahm-opt %s -hmem-schedule -hmem-to-dimc | FileCheck %s

#d = affine_map<() -> (4, 64)>
#w = affine_map<() -> (64, 64)>
module attributes {hmem.ring = {cyclic, slots = 2 : i64, slot_bytes = 4224 : i64, sram_offset = 8192 : i64}} {
  hmem.weight @a "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64, dram_chiplet = 0 : i64, dram_offset = 0 : i64}
  hmem.weight @b "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64, dram_chiplet = 0 : i64, dram_offset = 0 : i64}
  hmem.weight @c "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64, dram_chiplet = 0 : i64, dram_offset = 0 : i64}
  func.func @decode() {
    %x = hmem.alloc "x" <activation> {offset = 0 : i64} : memref<320xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> {offset = 1024 : i64} : memref<1024xi8, #hmem.tier<stash>>
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @a, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @b, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    return
  }
}
// CHECK: dimc.entry @load {{.*}}leaves = [@a.slot0, @b.slot1]
// CHECK-COUNT-3: dimc.command "HostToDram" queue "host"
// CHECK-NEXT: dimc.command "DmaTiles" queue "dma" {{.*}}@a.dram{{.*}}@a.slot0{{.*}}waits [2]
// CHECK-NEXT: dimc.command "DmaTiles" queue "dma" {{.*}}@b.dram{{.*}}@b.slot1{{.*}}waits []
// CHECK: dimc.entry @decode {{.*}}leaves = [@a.slot0, @b.slot1]{{.*}}needs = [@a.slot0, @b.slot1]
// CHECK: dimc.command "GemmMx" queue "gemm" {{.*}}@a.slot0{{.*}}waits []
// CHECK-NEXT: dimc.command "DmaTiles" queue "dma" {{.*}}@c.slot0{{.*}}waits [0]
// CHECK-NEXT: dimc.command "GemmMx" queue "gemm" {{.*}}@b.slot1{{.*}}waits []
// CHECK-NEXT: dimc.command "GemmMx" queue "gemm" {{.*}}@c.slot0{{.*}}waits [1]
// CHECK-NEXT: dimc.command "DmaTiles" queue "dma" {{.*}}@a.dram{{.*}}@a.slot0{{.*}}waits [3]
// CHECK-NOT: dimc.command
// CHECK: dimc.entry @release
