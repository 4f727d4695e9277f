// A cache in pages: the append goes to the ring; attention runs in pieces of the staging ring's pages, each behind the transfers that bring
// them, which are issued as soon as their slot is free; what the append completes is sealed behind the last piece.
// RUN: ahm-opt %s -hmem-page-caches | FileCheck %s
// RUN: ahm-opt %s -hmem-page-caches -hmem-schedule | FileCheck %s --check-prefix=EARLY
// RUN: ahm-opt %s -hmem-page-caches -hmem-schedule -hmem-to-dimc | FileCheck %s --check-prefix=DIMC

#x = affine_map<()[s0, s1] -> (1, 2, s0, 32)>
#c = affine_map<()[s0, s1] -> (2, 3000, 32)>
#state = affine_map<()[s0, s1] -> (2, s0, 2)>
#past = affine_map<()[s0, s1] -> (s1)>
#length = affine_map<()[s0, s1] -> (s0 + s1)>
module attributes {hmem.kv_ring = {slots = 2 : i64, slot_bytes = 9216 : i64, sram_offset = 8192 : i64, pages = 16 : i64, chiplet_cores = 4 : i64}} {
  hmem.cache @k heads 2 head_dim 32 capacity 3000 format "mxint8" bytes 216064 {stash_offset = 0 : i64, open_pages = 2 : i64, sram_pages = 16 : i64, cores_first = 0 : i64, cores_count = 8 : i64, sram_offset = 0 : i64, dram_pages = 32 : i64, dram_chiplet = 0 : i64, dram_chiplets = 2 : i64, dram_offset = 0 : i64}
  hmem.cache @v heads 2 head_dim 32 capacity 3000 format "mxint8" bytes 216064 {stash_offset = 16384 : i64, open_pages = 2 : i64, sram_pages = 16 : i64, cores_first = 0 : i64, cores_count = 8 : i64, sram_offset = 26624 : i64, dram_pages = 32 : i64, dram_chiplet = 0 : i64, dram_chiplets = 2 : i64, dram_offset = 147456 : i64}
  hmem.cache @flat heads 2 head_dim 32 capacity 3000 format "mxint8" bytes 216064 {stash_offset = 65536 : i64}
  func.func @decode() attributes {nn.values = [{name = "tokens", min = 1 : i64, max = 1 : i64}, {name = "past", min = 0 : i64, max = 2999 : i64}]} {
    %x = hmem.alloc "x" <activation> {offset = 327680 : i64} : memref<256xi8, #hmem.tier<stash>>
    %o = hmem.alloc "o" <activation> {offset = 328704 : i64} : memref<256xi8, #hmem.tier<stash>>
    %s = hmem.alloc "softmax_state" <activation> {offset = 329728 : i64} : memref<64xi8, #hmem.tier<stash>>
    hmem.exec "CacheAppend"(%x : memref<256xi8, #hmem.tier<stash>>) ins [#hmem.view<"f32", 0, #x>] outs [#hmem.view<"mx_rows8", @k, #c>] {exprs = [#past]}
    hmem.exec "CacheAppend"(%x : memref<256xi8, #hmem.tier<stash>>) ins [#hmem.view<"f32", 0, #x>] outs [#hmem.view<"mx_rows8", @v, #c>] {exprs = [#past]}
    hmem.exec "Attention"(%x, %o, %s : memref<256xi8, #hmem.tier<stash>>, memref<256xi8, #hmem.tier<stash>>, memref<64xi8, #hmem.tier<stash>>) ins [#hmem.view<"f32", 0, #x>, #hmem.view<"mx_rows8", @k, #c>, #hmem.view<"mx_rows8", @v, #c>] outs [#hmem.view<"f32", 1, #x>, #hmem.view<"f32", 2, #state>] {ints = array<i64: 1, 0, 0, 16>, floats = array<f32: 0.5>, exprs = [#length, #past]}
    hmem.exec "Attention"(%x, %o, %s : memref<256xi8, #hmem.tier<stash>>, memref<256xi8, #hmem.tier<stash>>, memref<64xi8, #hmem.tier<stash>>) ins [#hmem.view<"f32", 0, #x>, #hmem.view<"mx_rows8", @flat, #c>, #hmem.view<"mx_rows8", @flat, #c>] outs [#hmem.view<"f32", 1, #x>, #hmem.view<"f32", 2, #state>] {ints = array<i64: 1, 0, 0, 16>, floats = array<f32: 0.5>, exprs = [#length, #past]}
    return
  }
}
// CHECK-DAG: #[[$RING:.*]] = affine_map<()[s0, s1] -> (2, 2, 64, 32)>
// CHECK-DAG: #[[$PLACES:.*]] = affine_map<()[s0, s1] -> (32, 2, 64, 32)>
// CHECK-DAG: #[[$PIECE:.*]] = affine_map<()[s0, s1] -> (16, 2, 64, 32)>
// CHECK: hmem.exec "CacheAppend"{{.*}}outs [#hmem.view<"mx_rows8", @k, #[[$RING]]>]
// CHECK: hmem.exec "CacheAppend"{{.*}}outs [#hmem.view<"mx_rows8", @v, #[[$RING]]>]
// CHECK-NEXT: hmem.exec "CacheFetch" ins [#hmem.view<"mx_rows8", @k, #[[$PLACES]] part "dram">] outs [#hmem.view<"mx_rows8", @k, #[[$PIECE]] part "slot0">]{{.*}}ints = array<i64: 16, 48, 0>
// CHECK-NEXT: hmem.exec "CacheFetch" ins [#hmem.view<"mx_rows8", @v, #[[$PLACES]] part "dram">] outs [#hmem.view<"mx_rows8", @v, #[[$PIECE]] part "slot1">]
// CHECK-NEXT: hmem.exec "Attention"{{.*}}@k, #[[$PIECE]] part "sram">{{.*}}part "slot0">, #hmem.view<"mx_rows8", @v, #[[$PIECE]] part "slot1">] outs [#hmem.view<"f32", 1 : i64, {{.*}}>, #hmem.view<"f32", 2 : i64, {{.*}}>]{{.*}}ints = array<i64: 1, 0, 0, 16, 16, 48, 16, 1, 0>
// CHECK-NEXT: "CacheFetch"
// CHECK-NEXT: "CacheFetch"
// CHECK-NEXT: hmem.exec "Attention"{{.*}}ints = array<i64: 1, 0, 0, 16, 16, 48, 16, 0, 0>
// CHECK-NEXT: "CacheFetch"
// CHECK-NEXT: "CacheFetch"
// CHECK-NEXT: hmem.exec "Attention"{{.*}}part "slot1">, #hmem.view<"f32", 1 : i64, {{.*}}>, #hmem.view<"f32", 2 : i64, {{.*}}>] outs [#hmem.view<"f32", 1 : i64, {{[^,]*}}>]{{.*}}ints = array<i64: 1, 0, 0, 16, 16, 48, 16, 0, 1>
// CHECK-NEXT: hmem.exec "CacheSeal" ins [#hmem.view<"mx_rows8", @{{[kv]}}, #[[$RING]]>] outs [#hmem.view<"mx_rows8", @{{[kv]}}, #[[$PIECE]] part "sram">, #hmem.view<"mx_rows8", @{{[kv]}}, #[[$PLACES]] part "dram">]{{.*}}ints = array<i64: 16, 48>
// CHECK-NEXT: hmem.exec "CacheSeal"
// A flat cache is read at once: no state.
// CHECK-NEXT: hmem.exec "Attention"{{.*}}outs [#hmem.view<"f32", 1 : i64, {{[^,]*}}>]

// The first pieces come before anything else, the next when their slots' readers are done.
// EARLY: func.func @decode()
// EARLY-NEXT: "CacheFetch"{{.*}}part "slot0"
// EARLY-NEXT: "CacheFetch"{{.*}}part "slot1"
// EARLY: "Attention"
// EARLY-NEXT: "CacheFetch"
// EARLY-NEXT: "CacheFetch"
// EARLY-NEXT: "Attention"

// DIMC-DAG: dimc.region @k.kv "k" "stash" "kv" units 0 1 at 0 size 9216 {persistent}
// DIMC-DAG: dimc.region @k.kv.sram "k" "sram" "kv" units 0 8 at 0 size 9216 {persistent}
// DIMC-DAG: dimc.region @k.kv.dram "k" "dram" "kv" units 0 2 at 0 size 73728 {persistent}
// DIMC-DAG: dimc.region @k.kv.slot0 "k" "sram" "staging" units 0 8 at 8192 size 9216
// DIMC: dimc.entry @decode
// DIMC: dimc.command "CacheFetch" queue "dma" {{.*}}@k.kv.dram{{.*}}@k.kv.slot0{{.*}}waits []
// DIMC: dimc.command "Attention" queue "gemm" {{.*}}waits [{{.*}}1
// DIMC: dimc.command "CacheSeal" queue "dma"
