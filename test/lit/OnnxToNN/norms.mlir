// Norms and softmax over another axis than the last.
// RUN: ahm-opt %s -onnx-to-nn | FileCheck %s

// CHECK-LABEL: func.func @main
func.func @graph(%x: tensor<2x8xf32> {onnx.name = "x", onnx.dims = [2, 8]}, %g: tensor<8xf32> {onnx.name = "g", onnx.dims = [8]})
    -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  // CHECK: nn.layer_norm %{{.*}} gamma
  %0 = onnx.LayerNormalization(%x, %g) {axis = -1 : i64} : (tensor<2x8xf32>, tensor<8xf32>) -> tensor<*xf32>
  // CHECK: nn.transpose %{{.*}} perm [1, 0]
  // CHECK: nn.softmax %{{.*}} : tensor<8x2xf32>
  // CHECK: nn.transpose %{{.*}} perm [1, 0]
  %1 = onnx.Softmax(%0) {axis = 0 : i64} : (tensor<*xf32>) -> tensor<*xf32>
  return %1 : tensor<*xf32>
}
