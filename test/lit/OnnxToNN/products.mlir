// Products stay unfused; weights become nn.weight with an empty recipe.
// RUN: ahm-opt %s -onnx-to-nn -split-input-file | FileCheck %s

// CHECK: nn.weight @w : tensor<16x8xf32> from tensor<16x8xf32> in "m.onnx" at 64 size 512 recipe []
onnx.Weight @w : tensor<16x8xf32> in "m.onnx" at 64 size 512
onnx.Weight @q : tensor<16x8xi8> in "m.onnx" at 576 size 128
// CHECK-LABEL: func.func @main
func.func @graph(%x: tensor<2x8xf32> {onnx.name = "x", onnx.dims = [2, 8]}, %b: tensor<16xf32> {onnx.name = "b", onnx.dims = [16]})
    -> (tensor<*xi32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  // CHECK: %[[W:.*]] = nn.get_weight @w : tensor<16x8xf32>
  %w = onnx.UseWeight @w : tensor<16x8xf32>
  // CHECK: nn.get_weight @q : tensor<16x8xi8>
  %q = onnx.UseWeight @q : tensor<16x8xi8>
  // CHECK: %[[T:.*]] = nn.transpose %[[W]] perm [1, 0] : tensor<16x8xf32> -> tensor<8x16xf32>
  // CHECK: %[[M:.*]] = nn.matmul %arg0, %[[T]] : tensor<2x8xf32>, tensor<8x16xf32> -> tensor<2x16xf32>
  // CHECK: nn.binary "add" %[[M]], %arg1
  %0 = onnx.Gemm(%x, %w, %b) {transB = 1 : i64} : (tensor<2x8xf32>, tensor<16x8xf32>, tensor<16xf32>) -> tensor<*xf32>
  // CHECK: nn.dynamic_quantize %{{.*}} : tensor<2x16xf32> -> tensor<2x16xui8>, tensor<f32>, tensor<ui8>
  %1:3 = onnx.DynamicQuantizeLinear(%0) : (tensor<*xf32>) -> (tensor<*xui8>, tensor<f32>, tensor<ui8>)
  // CHECK: nn.matmul_integer %{{.*}}, %{{.*}} lhs_zero_point %{{.*}} : tensor<ui8> : tensor<2x16xui8>, tensor<16x8xi8> -> tensor<2x8xi32>
  %2 = onnx.MatMulInteger(%1#0, %q, %1#2) : (tensor<*xui8>, tensor<16x8xi8>, tensor<ui8>) -> tensor<*xi32>
  return %2 : tensor<*xi32>
}
