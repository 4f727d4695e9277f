// Three weights of eight tiles a core each, on a card with room for nineteen. What stays, what streams and through which
// ring, under every policy; a weight that is split becomes a weight a piece, and so does its product.
// RUN: ahm-opt %s --hmem-place="target=test-tiny policy=hybrid" | FileCheck %s --check-prefix=HYBRID
// RUN: ahm-opt %s --hmem-place="target=test-tiny policy=exact" | FileCheck %s --check-prefix=EXACT
// RUN: ahm-opt %s --hmem-place="target=test-tiny policy=static" | FileCheck %s --check-prefix=STATIC
// RUN: ahm-opt %s --hmem-place="target=test-tiny policy=dram-only" | FileCheck %s --check-prefix=DRAM
// RUN: ahm-opt %s --hmem-place="target=test-tiny policy=lru" --hmem-schedule | FileCheck %s --check-prefix=LRU
// RUN: ahm-opt %s --hmem-place="target=test-tiny policy=belady" | FileCheck %s --check-prefix=BELADY
// RUN: not ahm-opt %s --hmem-place="target=test-tiny policy=sram-only" 2>&1 | FileCheck %s --check-prefix=ONLY
// RUN: not ahm-opt %s --hmem-place="target=test-tiny policy=fifo" 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: ahm-opt %s --hmem-place="target=test-tiny remarks" 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: not ahm-opt %s --hmem-place="target=test-tiny workload=prompt=7,outputs=2" 2>&1 | FileCheck %s --check-prefix=WORKLOAD

// HYBRID: hmem.placement = {gap = {{.*}}, policy = "hybrid"}
// HYBRID-SAME: hmem.ring = {slot_bytes = {{[0-9]+}} : i64, slots = {{[0-9]+}} : i64, sram_offset = {{[0-9]+}} : i64}
// HYBRID: hmem.weight @{{[abc]}}.p0 {{.*}} residency = "streamed"
// HYBRID: func.func @main() attributes {hmem.lower_bound_ps = {{[0-9]+}} : i64, hmem.predicted_ps = {{[0-9]+}} : i64}
// HYBRID: hmem.exec "GemmMx"{{.*}}@{{[abc]}}.p0{{.*}}ints = array<i64: 0, 4096, 1>
// HYBRID-NEXT: hmem.exec "GemmMx"{{.*}}@{{[abc]}}.p1{{.*}}ints = array<i64: {{[1-9][0-9]*}}, 4096, 1>

// EXACT: policy = "exact"

// Whole weights, of which the first is pinned beside two slots for the others.
// STATIC: policy = "static"
// STATIC-SAME: hmem.ring = {slot_bytes = 33792 : i64, slots = 2 : i64
// DRAM: policy = "dram-only"
// DRAM-SAME: hmem.ring = {slot_bytes = 33792 : i64, slots = 2 : i64
// DRAM-COUNT-3: residency = "streamed"

// Three uses over and over do not fit, so that each misses.
// LRU: hmem.ring = {on_demand, slot_bytes = 33792 : i64, slots = 1 : i64
// LRU-COUNT-3: residency = "streamed"
// LRU: hmem.transfer @a slot 0 {on_demand}
// LRU-NEXT: hmem.exec "GemmMx"{{.*}}@a
// LRU-NEXT: hmem.transfer @b slot 0 {on_demand}
// LRU-NEXT: hmem.exec "GemmMx"{{.*}}@b
// BELADY: hmem.ring = {on_demand, slot_bytes = 33792 : i64, slots = 1 : i64
// BELADY: @a {{.*}} residency = "resident"

// ONLY: placement 'sram-only' does not fit: {{[abc]}} wants 4325376 bytes of SRAM, the largest hole is 2097152 bytes; live there: {{.*}}remedy: --placement=hybrid
// UNKNOWN: no placement policy 'fifo'; policies are hybrid, sram-only, dram-only, static, lru, belady, exact
// REMARK: remark: {{[abc]}} does not stay in SRAM: {{.*}} stream: SRAM is full, and moving it costs {{[0-9]+}} ns of DRAM time a MiB
// WORKLOAD: --workload: no member 'outputs'; members are prompt, output and batch

#d = affine_map<() -> (4, 1024)>
#w = affine_map<() -> (1024, 4096)>
#y = affine_map<() -> (4, 4096)>
module {
  hmem.weight @a "tiles" : tensor<1024x4096xf32> from tensor<1024x4096xf32> in "" at 0 size 16777216 recipe [] format "mxint8" bytes 4325376 {columns = 4096 : i64, cores_count = 128 : i64, tile_bytes = 4224 : i64, tiles = 1024 : i64}
  hmem.weight @b "tiles" : tensor<1024x4096xf32> from tensor<1024x4096xf32> in "" at 0 size 16777216 recipe [] format "mxint8" bytes 4325376 {columns = 4096 : i64, cores_count = 128 : i64, tile_bytes = 4224 : i64, tiles = 1024 : i64}
  hmem.weight @c "tiles" : tensor<1024x4096xf32> from tensor<1024x4096xf32> in "" at 0 size 16777216 recipe [] format "mxint8" bytes 4325376 {columns = 4096 : i64, cores_count = 128 : i64, tile_bytes = 4224 : i64, tiles = 1024 : i64}
  func.func @main() {
    %x = hmem.alloc "x" <activation> : memref<4352xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> : memref<65536xi8, #hmem.tier<stash>>
    hmem.exec "GemmMx"(%x, %y : memref<4352xi8, #hmem.tier<stash>>, memref<65536xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @a, #w>] outs [#hmem.view<"f32", 1, #y>] {ints = array<i64: 0, 4096, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<4352xi8, #hmem.tier<stash>>, memref<65536xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @b, #w>] outs [#hmem.view<"f32", 1, #y>] {ints = array<i64: 0, 4096, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<4352xi8, #hmem.tier<stash>>, memref<65536xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #y>] {ints = array<i64: 0, 4096, 1>}
    return
  }
}
