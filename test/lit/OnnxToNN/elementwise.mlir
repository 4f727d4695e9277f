// Element-wise operators, reductions, softmax and casts; small constants fold.
// RUN: ahm-opt %s -onnx-to-nn -split-input-file | FileCheck %s

// CHECK-LABEL: func.func @main
// CHECK-SAME: tensor<2x4xf32> {{{.*}}onnx.dtype = "float64", onnx.name = "x"}
func.func @graph(%x: tensor<2x4xf64> {onnx.name = "x", onnx.dims = [2, 4]}, %b: tensor<4xf32> {onnx.name = "b", onnx.dims = [4]})
    -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  // sqrt(4) * 2 is folded to 4.
  %four = onnx.Constant dense<4.0> : tensor<f32> : tensor<f32>
  %two = onnx.Constant dense<2.0> : tensor<f32> : tensor<f32>
  %root = onnx.Sqrt(%four) : (tensor<f32>) -> tensor<f32>
  %scale = onnx.Mul(%root, %two) : (tensor<f32>, tensor<f32>) -> tensor<f32>
  // CHECK: nn.unary "tanh"
  %0 = onnx.Tanh(%x) : (tensor<2x4xf64>) -> tensor<*xf32>
  // CHECK: %[[C:.*]] = nn.constant dense<4.000000e+00>
  // CHECK: nn.binary "mul" %{{.*}}, %[[C]] : tensor<2x4xf32>, tensor<f32> -> tensor<2x4xf32>
  %1 = onnx.Mul(%0, %scale) : (tensor<*xf32>, tensor<f32>) -> tensor<*xf32>
  // CHECK: nn.binary "add" %{{.*}}, %arg1 : tensor<2x4xf32>, tensor<4xf32> -> tensor<2x4xf32>
  %2 = onnx.Add(%1, %b) : (tensor<*xf32>, tensor<4xf32>) -> tensor<*xf32>
  // CHECK: nn.binary "less" {{.*}} -> tensor<2x4xi1>
  %3 = onnx.Less(%2, %1) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xi1>
  // CHECK: nn.select
  %4 = onnx.Where(%3, %1, %2) : (tensor<*xi1>, tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  // Softmax over another axis than the last turns around.
  // CHECK: nn.transpose %{{.*}} perm [1, 0]
  // CHECK: nn.softmax %{{.*}} : tensor<4x2xf32>
  // CHECK: nn.transpose %{{.*}} perm [1, 0]
  %5 = onnx.Softmax(%4) {axis = 0 : i64} : (tensor<*xf32>) -> tensor<*xf32>
  // Identity and Dropout vanish.
  // CHECK-NEXT: nn.reduce "mean" %{{.*}} axes [1] keepdims true : tensor<2x4xf32> -> tensor<2x1xf32>
  %6 = onnx.Identity(%5) : (tensor<*xf32>) -> tensor<*xf32>
  %7 = onnx.Dropout(%6) : (tensor<*xf32>) -> tensor<*xf32>
  %8 = onnx.ReduceMean(%7) {axes = array<i64: -1>} : (tensor<*xf32>) -> tensor<*xf32>
  return %8 : tensor<*xf32>
}
