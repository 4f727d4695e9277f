// An embedding is gathered from tiles: of the product that has the same weight, wherever its recipe comes from, else from a table of tiles that
// stays in DRAM. Chunks of the product's columns stand one behind the other.
// RUN: ahm-opt %s -hmem-tile | FileCheck %s
// RUN: ahm-opt %s -hmem-tile="sram-per-core=4224 cores=2 quad=1 chiplet=2" | FileCheck %s --check-prefix=CHUNKS
// RUN: sed 's/"mxint8"/"mxint9"/' %s | not ahm-opt -hmem-tile 2>&1 | FileCheck %s --check-prefix=FORMAT

// CHECK-DAG: [[TIED:#.*]] = affine_map<() -> (64, 512)>
// CHECK-DAG: [[FREE:#.*]] = affine_map<() -> (96, 512)>
// CHECK: hmem.weight @tied "tiles" : tensor<64x512xf32> {{.*}}format "mxint8" bytes 33792
// CHECK-NOT: hmem.weight @head
// CHECK: hmem.weight @free "table" : tensor<96x512xf32> {{.*}}format "mxint4" bytes 34816 {columns = 512 : i64, tile_bytes = 4352 : i64, tiles = 8 : i64}
// CHECK: hmem.exec "GatherTiles"{{.*}}ins [#hmem.view<"tiles_mx8", @tied, [[TIED]] part "dram">, #hmem.view<"i32", 0
// CHECK: hmem.exec "GatherTiles"{{.*}}ins [#hmem.view<"tiles_mx4", @free, [[FREE]]>, #hmem.view<"i32", 0
// CHECK: hmem.exec "GemmMx"{{.*}}@tied, [[TIED]]>

// CHUNKS: [[CHUNK:#.*]] = affine_map<() -> (64, 128)>
// CHUNKS: hmem.exec "GatherTiles"{{.*}}@tied.c0, [[CHUNK]] part "dram">, #hmem.view<"tiles_mx8", @tied.c1{{.*}}@tied.c3, [[CHUNK]] part "dram">

// FORMAT: error: 'nn.embedding' op reads the weight @tied in format "mxint9"; run the quantise pass first (mxint16, mxint8,
module {
  nn.weight @tied : tensor<512x64xf32> from tensor<512x64xf32> in "w.bin" at 64 size 131072 recipe [["transpose", 1, 0], ["cast", "f32"], ["transpose", 1, 0]] {format = "mxint8"}
  nn.weight @head : tensor<64x512xf32> from tensor<512x64xf32> in "w.bin" at 64 size 131072 recipe [["transpose", 1, 0]] {format = "mxint8"}
  nn.weight @free : tensor<512x96xf32> from tensor<512x96xf32> in "w.bin" at 131136 size 196608 recipe [] {format = "mxint4"}
  func.func @main(%ids: tensor<1x4xi32> {onnx.name = "ids"}) -> (tensor<1x4x512xf32> {onnx.name = "y"}, tensor<1x4x96xf32> {onnx.name = "f"}) {
    %x = nn.embedding @tied[%ids] : tensor<1x4xi32> -> tensor<1x4x64xf32>
    %f = nn.embedding @free[%ids] : tensor<1x4xi32> -> tensor<1x4x96xf32>
    %y = nn.linear %x, @head : tensor<1x4x64xf32> -> tensor<1x4x512xf32>
    return %y, %f : tensor<1x4x512xf32>, tensor<1x4x96xf32>
  }
}
