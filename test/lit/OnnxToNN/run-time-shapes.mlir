// Shapes, axes and bounds that only the run tells: the declared shape of the result says what the operator makes, and vector operations
// find the places.
// RUN: ahm-opt %s -onnx-to-nn -split-input-file | FileCheck %s

// The elements stay in their place; the shape's value is not needed.
// CHECK-LABEL: func.func @main
// CHECK: nn.reshape %arg0 : tensor<2x6xf32> -> tensor<3x4xf32>
func.func @reshape(%x: tensor<2x6xf32> {onnx.name = "x", onnx.dims = [2, 6]}, %shape: tensor<2xi64> {onnx.name = "shape", onnx.dims = [2]})
    -> (tensor<3x4xf32> {onnx.name = "y", onnx.dims = [3, 4]}) attributes {onnx.opset = 17 : i64} {
  %0 = onnx.Reshape(%x, %shape) : (tensor<2x6xf32>, tensor<2xi64>) -> tensor<3x4xf32>
  return %0 : tensor<3x4xf32>
}

// -----

// The length of the range is what the graph's output declares.
// CHECK-LABEL: func.func @main
// CHECK: nn.iota #{{.*}} step 1 : tensor<5xi32>
// CHECK: nn.cast
// CHECK: nn.binary "mul"
// CHECK: nn.binary "add"
// CHECK: nn.unary "neg" %{{.*}} : tensor<5xf32> -> tensor<5xf32>
func.func @range(%a: tensor<f32> {onnx.name = "a", onnx.dims = []}, %b: tensor<f32> {onnx.name = "b", onnx.dims = []}, %c: tensor<f32> {onnx.name = "c", onnx.dims = []})
    -> (tensor<*xf32> {onnx.name = "y", onnx.dims = [5]}) attributes {onnx.opset = 17 : i64} {
  %0 = onnx.Range(%a, %b, %c) : (tensor<f32>, tensor<f32>, tensor<f32>) -> tensor<*xf32>
  %1 = onnx.Neg(%0) : (tensor<*xf32>) -> tensor<*xf32>
  return %1 : tensor<*xf32>
}

// -----

// Two sets of axes give the declared shape: both are computed, the axes pick one.
// CHECK-LABEL: func.func @main
// CHECK-COUNT-2: nn.reduce "sum" %arg0
// CHECK: nn.concat axis 0
// CHECK: nn.gather
func.func @axes(%x: tensor<2x2x3xf32> {onnx.name = "x", onnx.dims = [2, 2, 3]}, %axes: tensor<1xi64> {onnx.name = "axes", onnx.dims = [1]})
    -> (tensor<2x3xf32> {onnx.name = "y", onnx.dims = [2, 3]}) attributes {onnx.opset = 17 : i64} {
  %0 = onnx.ReduceSum(%x, %axes) {keepdims = 0 : i64} : (tensor<2x2x3xf32>, tensor<1xi64>) -> tensor<2x3xf32>
  return %0 : tensor<2x3xf32>
}

// -----

// Both branches run, the condition chooses.
// CHECK-LABEL: func.func @main
// CHECK: nn.unary "exp"
// CHECK: nn.unary "abs"
// CHECK: nn.select
func.func @branches(%c: tensor<i1> {onnx.name = "c", onnx.dims = []}, %x: tensor<2x3xf32> {onnx.name = "x", onnx.dims = [2, 3]})
    -> (tensor<*xf32> {onnx.name = "z"}) attributes {onnx.opset = 17 : i64} {
  %0 = onnx.If(%c) : (tensor<i1>) -> tensor<*xf32> {
    %1 = onnx.Exp(%x) : (tensor<2x3xf32>) -> tensor<*xf32>
    onnx.Yield %1 : tensor<*xf32>
  } else {
    %1 = onnx.Abs(%x) : (tensor<2x3xf32>) -> tensor<*xf32>
    onnx.Yield %1 : tensor<*xf32>
  }
  return %0 : tensor<*xf32>
}

// -----

// An input that nothing reads is still fed.
// CHECK-LABEL: func.func @main(%arg0: tensor<2x3xf32>
// CHECK-SAME: nn.whole_signature
func.func @unread(%x: tensor<2x3xf32> {onnx.name = "x", onnx.dims = [2, 3]}) -> (tensor<2xi64> {onnx.name = "y", onnx.dims = [2]}) attributes {onnx.opset = 17 : i64} {
  %0 = onnx.Shape(%x) : (tensor<2x3xf32>) -> tensor<2xi64>
  return %0 : tensor<2xi64>
}

// -----

// Two reshapes share the constant whose 0 copies a dimension of each one's own input.
// CHECK-LABEL: func.func @main
// CHECK-DAG: nn.reshape %{{.*}} : tensor<2x12xf32> -> tensor<2x3x4xf32>
// CHECK-DAG: nn.reshape %{{.*}} : tensor<5x12xf32> -> tensor<5x3x4xf32>
func.func @shared(%x: tensor<2x12xf32> {onnx.name = "x", onnx.dims = [2, 12]}, %y: tensor<5x12xf32> {onnx.name = "y", onnx.dims = [5, 12]})
    -> (tensor<2x3x4xf32> {onnx.name = "a", onnx.dims = [2, 3, 4]}, tensor<5x3x4xf32> {onnx.name = "b", onnx.dims = [5, 3, 4]}) attributes {onnx.opset = 17 : i64} {
  %shape = onnx.Constant dense<[0, 3, -1]> : tensor<3xi64> : tensor<3xi64>
  %0 = onnx.Reshape(%x, %shape) : (tensor<2x12xf32>, tensor<3xi64>) -> tensor<2x3x4xf32>
  %1 = onnx.Reshape(%y, %shape) : (tensor<5x12xf32>, tensor<3xi64>) -> tensor<5x3x4xf32>
  return %0, %1 : tensor<2x3x4xf32>, tensor<5x3x4xf32>
}
