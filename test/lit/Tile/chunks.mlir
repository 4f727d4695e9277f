// A weight that takes more than a sixth of each core's SRAM is split at tile-column borders; all chunks write one result, and
// two layers that read the same rows share one quantised operand.
// RUN: ahm-opt %s '-hmem-tile=sram-per-core=65536 cores=16 quad=4 chiplet=8' | FileCheck %s

module {
  nn.weight @w : tensor<256x1280xf32> from tensor<256x1280xf32> in "" at 0 size 1310720 recipe [] {format = "mxint8"}
  nn.weight @v : tensor<256x64xf32> from tensor<256x64xf32> in "" at 0 size 65536 recipe [] {format = "mxint8"}
  func.func @main(%x: tensor<4x256xf32>) -> (tensor<4x1280xf32>, tensor<4x64xf32>) {
    %y = nn.linear %x, @w : tensor<4x256xf32> -> tensor<4x1280xf32>
    %z = nn.linear %x, @v : tensor<4x256xf32> -> tensor<4x64xf32>
    return %y, %z : tensor<4x1280xf32>, tensor<4x64xf32>
  }
}
// 80 tiles; at most 2 a core, 32 a chunk: chunks of 7, 7 and 6 columns of 4 tiles.
// CHECK: hmem.weight @w.c0 "tiles"{{.*}}columns = 448 : i64, cores_count = 16 : i64{{.*}}tiles = 28
// CHECK: hmem.weight @w.c1 "tiles"{{.*}}columns = 448 : i64, cores_count = 16 : i64, first_column = 448 : i64
// CHECK: hmem.weight @w.c2 "tiles"{{.*}}columns = 384 : i64{{.*}}first_column = 896 : i64{{.*}}tiles = 24
// CHECK: hmem.weight @v "tiles"{{.*}}columns = 64 : i64, cores_count = 4 : i64
// CHECK: hmem.exec "QuantizeMx"
// CHECK-NOT: "QuantizeMx"
// CHECK: "GemmMx"{{.*}}@w.c0{{.*}}ints = array<i64: 0, 1280, 1>
// CHECK-NEXT: "GemmMx"{{.*}}@w.c1{{.*}}ints = array<i64: 448, 1280, 1>
// CHECK-NEXT: "GemmMx"{{.*}}@w.c2{{.*}}ints = array<i64: 896, 1280, 1>
// CHECK: "GemmMx"{{.*}}@v
