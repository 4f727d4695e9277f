// Nodes that no exporter should write are errors, never crashes or silent wrong answers.
// RUN: ahm-opt %s -onnx-to-nn="max-dim=n=900" -split-input-file -verify-diagnostics

func.func @missing(%x: tensor<4xf32> {onnx.name = "x", onnx.dims = [4]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  %none = onnx.None : none
  // expected-error@+1 {{Add: input 1 is missing}}
  %0 = onnx.Add(%x, %none) : (tensor<4xf32>, none) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @perm(%x: tensor<1x4xf32> {onnx.name = "x", onnx.dims = [1, 4]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Transpose: perm must name each of the 2 dimensions once}}
  %0 = onnx.Transpose(%x) {perm = array<i64: 1, 7>} : (tensor<1x4xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @split(%x: tensor<1x4xf32> {onnx.name = "x", onnx.dims = [1, 4]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 11 : i64} {
  // expected-error@+1 {{Split: 3 sizes for 2 outputs}}
  %0:2 = onnx.Split(%x) {axis = 1 : i64, split = array<i64: 1, 1, 2>} : (tensor<1x4xf32>) -> (tensor<*xf32>, tensor<*xf32>)
  return %0#1 : tensor<*xf32>
}

// -----

func.func @axis(%x: tensor<2x3x4xf32> {onnx.name = "x", onnx.dims = [2, 3, 4]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Softmax: the axis is outside rank 3}}
  %0 = onnx.Softmax(%x) {axis = 9 : i64} : (tensor<2x3x4xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @long(%x: tensor<?x5xf32> {onnx.name = "x", onnx.dims = ["n", 5]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  %zero = onnx.Constant dense<0> : tensor<1xi64> : tensor<1xi64>
  %end = onnx.Constant dense<512> : tensor<1xi64> : tensor<1xi64>
  // expected-error@+1 {{Slice: position 512 may lie outside a dimension of s0 elements; remedy: slice inside the smallest size}}
  %0 = onnx.Slice(%x, %zero, %end) : (tensor<?x5xf32>, tensor<1xi64>, tensor<1xi64>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

// Samples are what reaches a convolution: other floats of rank 2 get no bound of their own.
// expected-error@+1 {{the largest value of dimension 'features' is not known from the model}}
func.func @features(%x: tensor<1x?xf32> {onnx.name = "x", onnx.dims = [1, "features"]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  %0 = onnx.Neg(%x) : (tensor<1x?xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}
