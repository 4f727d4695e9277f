// What is refused, and what the message tells to do.
// RUN: ahm-opt %s -onnx-to-nn -split-input-file -verify-diagnostics

func.func @operator(%x: tensor<4xf32> {onnx.name = "x", onnx.dims = [4]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{operator NonZero (onnx.NonZero) is read but not compiled; remedy: export it decomposed}}
  %0 = onnx.NonZero(%x) : (tensor<4xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

// expected-error@+1 {{the largest value of dimension 'n' is not known from the model; remedy: --max-dim=n=N}}
func.func @bound(%x: tensor<?xf32> {onnx.name = "x", onnx.dims = ["n"]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  %0 = onnx.Neg(%x) : (tensor<?xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @broadcast(%x: tensor<4xf32> {onnx.name = "x", onnx.dims = [4]}, %y: tensor<3xf32> {onnx.name = "y", onnx.dims = [3]})
    -> (tensor<*xf32> {onnx.name = "z"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Add: dimensions 3 and 4 do not broadcast}}
  %0 = onnx.Add(%x, %y) : (tensor<4xf32>, tensor<3xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @gather(%x: tensor<2x3xf32> {onnx.name = "x", onnx.dims = [2, 3]}) -> (tensor<*xi64> {onnx.name = "z"}) attributes {onnx.opset = 17 : i64} {
  %shape = onnx.Shape(%x) : (tensor<2x3xf32>) -> tensor<*xi64>
  %five = onnx.Constant dense<5> : tensor<i64> : tensor<i64>
  // expected-error@+1 {{Gather: index 5 is outside 2 elements}}
  %0 = onnx.Gather(%shape, %five) : (tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
  return %0 : tensor<*xi64>
}

// -----

func.func @group(%x: tensor<1x4x9xf32> {onnx.name = "x", onnx.dims = [1, 4, 9]}, %w: tensor<4x2x3xf32> {onnx.name = "w", onnx.dims = [4, 2, 3]})
    -> (tensor<*xf32> {onnx.name = "z"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Conv: group 2 is not supported; remedy: group 1}}
  %0 = onnx.Conv(%x, %w) {group = 2 : i64} : (tensor<1x4x9xf32>, tensor<4x2x3xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}
