// Attributes and ranks that the operators do not take, each with its message.
// RUN: ahm-opt %s -onnx-to-nn -split-input-file -verify-diagnostics

func.func @concat_axis(%x: tensor<2x3xf32> {onnx.name = "x", onnx.dims = [2, 3]}, %y: tensor<2x3xf32> {onnx.name = "y", onnx.dims = [2, 3]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Concat: axis is outside rank 2}}
  %0 = onnx.Concat(%x, %y) {axis = 2 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @concat_dimension(%x: tensor<2x3xf32> {onnx.name = "x", onnx.dims = [2, 3]}, %y: tensor<2x4xf32> {onnx.name = "y", onnx.dims = [2, 4]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Concat: dimension 1 differs between inputs}}
  %0 = onnx.Concat(%x, %y) {axis = 0 : i64} : (tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @conv_auto_pad(%x: tensor<1x2x8xf32> {onnx.name = "x", onnx.dims = [1, 2, 8]}, %y: tensor<4x2x3xf32> {onnx.name = "y", onnx.dims = [4, 2, 3]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Conv: auto_pad SAME is not supported; remedy: explicit pads}}
  %0 = onnx.Conv(%x, %y) {auto_pad = "SAME"} : (tensor<1x2x8xf32>, tensor<4x2x3xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @layer_norm(%x: tensor<?x?x4xf32> {onnx.name = "x", onnx.dims = ["m", "n", 4]}, %y: tensor<4xf32> {onnx.name = "y", onnx.dims = [4]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{LayerNormalization: normalises over two run-time dimensions together}}
  %0 = onnx.LayerNormalization(%x, %y) {axis = 0 : i64} : (tensor<?x?x4xf32>, tensor<4xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @cast(%x: tensor<4xf32> {onnx.name = "x", onnx.dims = [4]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Cast: type 8 is not supported; remedy: a float of 16 to 64 bits, an integer or bool}}
  %0 = onnx.Cast(%x) {to = 8 : i64} : (tensor<4xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @trilu(%x: tensor<4xf32> {onnx.name = "x", onnx.dims = [4]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Trilu: needs a matrix}}
  %0 = onnx.Trilu(%x) : (tensor<4xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @types(%x: tensor<2xi64> {onnx.name = "x", onnx.dims = [2]}, %y: tensor<2xf32> {onnx.name = "y", onnx.dims = [2]}) -> (tensor<*xi64> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Add: the inputs have different element types; remedy: Cast one of them}}
  %0 = onnx.Add(%x, %y) : (tensor<2xi64>, tensor<2xf32>) -> tensor<*xi64>
  return %0 : tensor<*xi64>
}

// -----

func.func @pad(%x: tensor<2xf32> {onnx.name = "x", onnx.dims = [2]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 10 : i64} {
  // expected-error@+1 {{Pad: mode 'mirror' is not supported; remedy: constant, edge, reflect or wrap}}
  %0 = onnx.Pad(%x) {pads = array<i64: 1, 1>, mode = "mirror"} : (tensor<2xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @einsum(%x: tensor<2x3xf32> {onnx.name = "x", onnx.dims = [2, 3]}, %y: tensor<2x4xf32> {onnx.name = "y", onnx.dims = [2, 4]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Einsum: dimensions of label 'j' differ between inputs}}
  %0 = onnx.Einsum(%x, %y) {equation = "ij,ij->i"} : (tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @dropout(%x: tensor<2x3xf32> {onnx.name = "x", onnx.dims = [2, 3]}, %t: tensor<i1> {onnx.name = "t", onnx.dims = []}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  %ratio = onnx.Constant dense<0.5> : tensor<f32> : tensor<f32>
  // expected-error@+1 {{Dropout: training is not supported; remedy: export the model for inference (operator Dropout, domain ai.onnx, opset 17)}}
  %0 = onnx.Dropout(%x, %ratio, %t) : (tensor<2x3xf32>, tensor<f32>, tensor<i1>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @float(%x: tensor<2x3xi64> {onnx.name = "x", onnx.dims = [2, 3]}) -> (tensor<*xi64> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Softmax: input 0 must be a float; remedy: Cast it (operator Softmax, domain ai.onnx, opset 17)}}
  %0 = onnx.Softmax(%x) : (tensor<2x3xi64>) -> tensor<*xi64>
  return %0 : tensor<*xi64>
}

// -----

func.func @index(%x: tensor<2x3xf32> {onnx.name = "x", onnx.dims = [2, 3]}, %i: tensor<2x3xf32> {onnx.name = "i", onnx.dims = [2, 3]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{GatherElements: input 1 must be integers; remedy: Cast it}}
  %0 = onnx.GatherElements(%x, %i) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}
