// What an append completes is sealed where the dma queue is free: where its command stands when every transfer before it has been
// read, behind the first command that reads the last transfer, or before the next transfer where that comes first.
// RUN: ahm-opt %s -hmem-schedule | FileCheck %s

#d = affine_map<()[s0] -> (4, 64)>
#w = affine_map<()[s0] -> (64, 64)>
#ring = affine_map<()[s0] -> (2, 1, 64, 32)>
#pages = affine_map<()[s0] -> (46, 1, 64, 32)>
#past = affine_map<()[s0] -> (s0)>
#one = affine_map<()[s0] -> (1)>
module attributes {hmem.ring = {slots = 2 : i64, slot_bytes = 4224 : i64, sram_offset = 65536 : i64}} {
  hmem.weight @a "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  hmem.weight @b "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  hmem.weight @c "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  hmem.weight @d "tiles" : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe [] format "mxint8" bytes 4224 {columns = 64 : i64, cores_count = 4 : i64, tile_bytes = 4224 : i64, tiles = 1 : i64, residency = "streamed", cores_first = 0 : i64}
  hmem.cache @k heads 1 head_dim 32 capacity 3000 format "mxint8" bytes 108032 {stash_offset = 0 : i64, open_pages = 2 : i64, sram_pages = 46 : i64, cores_first = 0 : i64, cores_count = 8 : i64, sram_offset = 0 : i64, dram_pages = 0 : i64}
  hmem.cache @l heads 1 head_dim 32 capacity 3000 format "mxint8" bytes 108032 {stash_offset = 16384 : i64, open_pages = 2 : i64, sram_pages = 46 : i64, cores_first = 0 : i64, cores_count = 8 : i64, sram_offset = 16384 : i64, dram_pages = 0 : i64}
  hmem.cache @m heads 1 head_dim 32 capacity 3000 format "mxint8" bytes 108032 {stash_offset = 32768 : i64, open_pages = 2 : i64, sram_pages = 46 : i64, cores_first = 0 : i64, cores_count = 8 : i64, sram_offset = 32768 : i64, dram_pages = 0 : i64}
  hmem.cache @n heads 1 head_dim 32 capacity 3000 format "mxint8" bytes 108032 {stash_offset = 49152 : i64, open_pages = 2 : i64, sram_pages = 46 : i64, cores_first = 0 : i64, cores_count = 8 : i64, sram_offset = 49152 : i64, dram_pages = 0 : i64}
  func.func @decode() attributes {nn.values = [{name = "past", min = 0 : i64, max = 2999 : i64}]} {
    %x = hmem.alloc "x" <activation> : memref<320xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> : memref<1024xi8, #hmem.tier<stash>>
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @a, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "CacheSeal" ins [#hmem.view<"mx_rows8", @k, #ring>] outs [#hmem.view<"mx_rows8", @k, #pages part "sram">] {ints = array<i64: 46, 46>, exprs = [#past, #one]}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @b, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "CacheSeal" ins [#hmem.view<"mx_rows8", @l, #ring>] outs [#hmem.view<"mx_rows8", @l, #pages part "sram">] {ints = array<i64: 46, 46>, exprs = [#past, #one]}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "CacheSeal" ins [#hmem.view<"mx_rows8", @m, #ring>] outs [#hmem.view<"mx_rows8", @m, #pages part "sram">] {ints = array<i64: 46, 46>, exprs = [#past, #one]}
    hmem.exec "CacheSeal" ins [#hmem.view<"mx_rows8", @n, #ring>] outs [#hmem.view<"mx_rows8", @n, #pages part "sram">] {ints = array<i64: 46, 46>, exprs = [#past, #one]}
    return
  }
  func.func @other() attributes {nn.values = [{name = "past", min = 0 : i64, max = 2999 : i64}]} {
    %x = hmem.alloc "x" <activation> : memref<320xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> : memref<1024xi8, #hmem.tier<stash>>
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @a, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "CacheSeal" ins [#hmem.view<"mx_rows8", @k, #ring>] outs [#hmem.view<"mx_rows8", @k, #pages part "sram">] {ints = array<i64: 46, 46>, exprs = [#past, #one]}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @b, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @c, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    hmem.exec "GemmMx"(%x, %y : memref<320xi8, #hmem.tier<stash>>, memref<1024xi8, #hmem.tier<stash>>) ins [#hmem.view<"mx_rows8", 0, #d>, #hmem.view<"tiles_mx8", @d, #w>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0, 64, 1>}
    return
  }
}
// @c takes @a's slot, and its transfer stands behind @a's reader: the seal of @k, behind that, waits for @c to be read, and with it that of
// @l. Those of @m and @n find nothing on its way.
// CHECK: func.func @decode()
// CHECK: hmem.transfer @a slot 0
// CHECK-NEXT: hmem.transfer @b slot 1
// CHECK: "GemmMx"{{.*}}@a
// CHECK-NEXT: hmem.transfer @c slot 0
// CHECK-NEXT: "GemmMx"{{.*}}@b
// CHECK-NEXT: "GemmMx"{{.*}}@c
// CHECK-NEXT: "CacheSeal"{{.*}}@k
// CHECK-NEXT: "CacheSeal"{{.*}}@l
// CHECK-NEXT: "CacheSeal"{{.*}}@m
// CHECK-NEXT: "CacheSeal"{{.*}}@n
// CHECK-NEXT: return

// @d takes @b's slot before anything reads @c, the last transfer before the seal.
// CHECK: func.func @other()
// CHECK: "GemmMx"{{.*}}@a
// CHECK-NEXT: hmem.transfer @c slot 0
// CHECK-NEXT: "GemmMx"{{.*}}@b
// CHECK-NEXT: "CacheSeal"{{.*}}@k
// CHECK-NEXT: hmem.transfer @d slot 1
// CHECK-NEXT: "GemmMx"{{.*}}@c
