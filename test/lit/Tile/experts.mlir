// Experts are one weight of equal runs of whole tiles, split by columns like any other; gate, up and down of one routing share its number.
// RUN: ahm-opt %s '-hmem-tile=sram-per-core=65536 cores=16 quad=4 chiplet=8' -split-input-file -verify-diagnostics | FileCheck %s

// CHECK: hmem.weight @up.c0 "tiles" : tensor<8x256x320xf32> {{.*}}columns = 64 {{.*}} tiles = 32
// CHECK: hmem.weight @up.c4 "tiles" : tensor<8x256x320xf32> {{.*}}columns = 64{{.*}}first_column = 256 {{.*}} tiles = 32
// CHECK: hmem.weight @down "tiles" : tensor<8x320x40xf32> {{.*}}columns = 40 {{.*}} tiles = 40
// CHECK: hmem.exec "GemmExperts"{{.*}}"tiles_mx8", @up.c0{{.*}}ints = array<i64: 0, 320, 1, 8, 64, 2, 0>
// CHECK: hmem.exec "GemmExperts"{{.*}}"tiles_mx8", @up.c4{{.*}}ints = array<i64: 256, 320, 1, 8, 64, 2, 0>
// CHECK: hmem.exec "GemmExperts"{{.*}}"tiles_mx8", @down{{.*}}ints = array<i64: 0, 40, 1, 8, 40, 1, 0>
module {
  nn.weight @up : tensor<8x256x320xf32> from tensor<8x256x320xf32> in "" at 0 size 2621440 recipe [] {format = "mxint8"}
  nn.weight @down : tensor<8x320x40xf32> from tensor<8x320x40xf32> in "" at 0 size 409600 recipe [] {format = "mxint8"}
  func.func @main(%x: tensor<3x256xf32>, %ids: tensor<3x2xi32>) -> tensor<3x2x40xf32> {
    %y = nn.expert_linear %x[%ids], @up : tensor<3x256xf32>, tensor<3x2xi32> -> tensor<3x2x320xf32>
    %z = nn.expert_linear %y[%ids], @down : tensor<3x2x320xf32>, tensor<3x2xi32> -> tensor<3x2x40xf32>
    return %z : tensor<3x2x40xf32>
  }
}

// -----

module {
  nn.weight @flat : tensor<256x320xf32> from tensor<256x320xf32> in "" at 0 size 327680 recipe [] {format = "mxint8"}
  func.func @main(%x: tensor<3x256xf32>, %ids: tensor<3x2xi32>) -> tensor<3x2x320xf32> {
    // expected-error@+1 {{which is no weight [experts, K, N]}}
    %y = nn.expert_linear %x[%ids], @flat : tensor<3x256xf32>, tensor<3x2xi32> -> tensor<3x2x320xf32>
    return %y : tensor<3x2x320xf32>
  }
}
