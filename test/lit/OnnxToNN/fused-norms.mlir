// Norms behind a sum, over several dimensions and with their statistics; fused activations and products; rotary embedding.
// RUN: ahm-opt %s -split-input-file -onnx-to-nn | FileCheck %s

// CHECK-LABEL: func.func @main
// CHECK: %[[SUM:.*]] = nn.binary "add"
// CHECK: nn.rms_norm %[[SUM]] gamma
// CHECK: nn.reshape {{.*}} -> tensor<2x32xf32>
// CHECK: nn.layer_norm {{.*}} gamma {{.*}} beta {{.*}} tensor<2x32xf32>
// CHECK: nn.reshape {{.*}} -> tensor<2x4x8xf32>
// CHECK: nn.unary "gelu_tanh"
// CHECK: nn.unary "silu"
// CHECK: nn.transpose {{.*}} perm [0, 2, 1]
// CHECK: nn.matmul
func.func @graph(%x: tensor<2x4x8xf32> {onnx.name = "x", onnx.dims = [2, 4, 8]}, %g: tensor<8xf32> {onnx.name = "g", onnx.dims = [8]},
    %h: tensor<4x8xf32> {onnx.name = "h", onnx.dims = [4, 8]})
    -> (tensor<*xf32> {onnx.name = "y"}, tensor<*xf32> {onnx.name = "s"}) attributes {onnx.opset = 24 : i64} {
  %0:4 = onnx.ms.SkipSimplifiedLayerNormalization(%x, %x, %g) {epsilon = 1.0e-05 : f32} : (tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<8xf32>)
      -> (tensor<*xf32>, tensor<*xf32>, tensor<*xf32>, tensor<*xf32>)
  %1 = onnx.LayerNormalization(%0#0, %h, %h) {axis = 1 : i64} : (tensor<*xf32>, tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<*xf32>
  %2 = onnx.ms.FastGelu(%1, %g) : (tensor<*xf32>, tensor<8xf32>) -> tensor<*xf32>
  %3 = onnx.Swish(%2) : (tensor<*xf32>) -> tensor<*xf32>
  %4 = onnx.ms.FusedMatMul(%3, %3) {transB = 1 : i64} : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  return %4, %0#3 : tensor<*xf32>, tensor<*xf32>
}

// -----

// One sequence is turned by nn.rotary; several, whose positions may differ, pair by pair. Without position ids the tables are rows already.
// CHECK-LABEL: func.func @main
// CHECK: nn.gather {{.*}} axis 0 {{.*}} -> tensor<1x4x2xf32>
// CHECK: nn.rotary {{.*}} interleaved true : tensor<1x2x4x8xf32>, tensor<1x1x4x2xf32>
// CHECK: nn.slice {{.*}} steps [1, 1, 1, 2]
// CHECK: nn.binary "sub"
// CHECK: nn.concat axis 4
func.func @graph(%x: tensor<1x2x4x8xf32> {onnx.name = "x", onnx.dims = [1, 2, 4, 8]}, %t: tensor<9x2xf32> {onnx.name = "t", onnx.dims = [9, 2]},
    %p: tensor<1x4xi64> {onnx.name = "p", onnx.dims = [1, 4]}, %z: tensor<2x4x16xf32> {onnx.name = "z", onnx.dims = [2, 4, 16]},
    %r: tensor<2x4x4xf32> {onnx.name = "r", onnx.dims = [2, 4, 4]}) -> (tensor<*xf32> {onnx.name = "y"}, tensor<*xf32> {onnx.name = "w"}) attributes {onnx.opset = 23 : i64} {
  %0 = onnx.RotaryEmbedding(%x, %t, %t, %p) {interleaved = 1 : i64, rotary_embedding_dim = 4 : i64}
      : (tensor<1x2x4x8xf32>, tensor<9x2xf32>, tensor<9x2xf32>, tensor<1x4xi64>) -> tensor<*xf32>
  %1 = onnx.RotaryEmbedding(%z, %r, %r) {interleaved = 1 : i64, num_heads = 2 : i64} : (tensor<2x4x16xf32>, tensor<2x4x4xf32>, tensor<2x4x4xf32>) -> tensor<*xf32>
  return %0, %1 : tensor<*xf32>, tensor<*xf32>
}
