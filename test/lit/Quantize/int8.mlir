// A plain int8 model keeps its int8 layers; what it leaves in float, and its caches, are mxint16.
// RUN: ahm-opt %s -nn-quantize -nn-shard | FileCheck %s
// RUN: not ahm-opt %s -nn-quantize="weights=mxint8" 2>&1 | FileCheck %s --check-prefix=EXACT

// CHECK: module attributes {nn.cards = 1 : i64}
// CHECK: nn.weight @q {{.*}}format = "int8"
// CHECK: nn.weight @f {{.*}}format = "mxint16"
// CHECK: nn.cache @k {{.*}}format = "mxint16"
// CHECK: nn.linear {{.*}}activations = "mxint16"

// EXACT: stored in int8 and stay exact
module {
  nn.weight @q : tensor<32x32xui8> from tensor<32x32xui8> in "" at 0 size 1024 recipe []
  nn.weight @f : tensor<32x32xf32> from tensor<32x32xf32> in "" at 0 size 4096 recipe []
  nn.cache @k heads 1 head_dim 32 capacity 64
  func.func @main(%x: tensor<4x32xf32>) -> tensor<4x32xf32> {
    %i, %s, %z = nn.dynamic_quantize %x : tensor<4x32xf32> -> tensor<4x32xui8>, tensor<f32>, tensor<ui8>
    %a = nn.int8_linear %i scale %s zero_point %z, @q weight_scale 5.000000e-01 weight_zero_point 128 : tensor<4x32xui8>, tensor<f32>, tensor<ui8> -> tensor<4x32xf32>
    %b = nn.linear %a, @f : tensor<4x32xf32> -> tensor<4x32xf32>
    return %b : tensor<4x32xf32>
  }
}
