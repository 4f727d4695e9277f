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

func.func @conv_2d(%x: tensor<1x2x8x8xf32> {onnx.name = "x", onnx.dims = [1, 2, 8, 8]}, %y: tensor<4x2x3x3xf32> {onnx.name = "y", onnx.dims = [4, 2, 3, 3]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Conv: only one spatial dimension is supported}}
  %0 = onnx.Conv(%x, %y) : (tensor<1x2x8x8xf32>, tensor<4x2x3x3xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @conv_group(%x: tensor<1x2x8xf32> {onnx.name = "x", onnx.dims = [1, 2, 8]}, %y: tensor<4x1x3xf32> {onnx.name = "y", onnx.dims = [4, 1, 3]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Conv: group 2 is not supported; remedy: group 1}}
  %0 = onnx.Conv(%x, %y) {group = 2 : i64} : (tensor<1x2x8xf32>, tensor<4x1x3xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @conv_auto_pad(%x: tensor<1x2x8xf32> {onnx.name = "x", onnx.dims = [1, 2, 8]}, %y: tensor<4x2x3xf32> {onnx.name = "y", onnx.dims = [4, 2, 3]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Conv: auto_pad SAME_UPPER is not supported; remedy: explicit pads}}
  %0 = onnx.Conv(%x, %y) {auto_pad = "SAME_UPPER"} : (tensor<1x2x8xf32>, tensor<4x2x3xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @instance_norm(%x: tensor<1x2x8x8xf32> {onnx.name = "x", onnx.dims = [1, 2, 8, 8]}, %y: tensor<2xf32> {onnx.name = "y", onnx.dims = [2]}, %z: tensor<2xf32> {onnx.name = "z", onnx.dims = [2]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{InstanceNormalization: only [N, C, L] is supported}}
  %0 = onnx.InstanceNormalization(%x, %y, %z) : (tensor<1x2x8x8xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<*xf32>
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
  // expected-error@+1 {{Cast: type 8 is not supported; remedy: float32, int32, int64, int8, uint8 or bool}}
  %0 = onnx.Cast(%x) {to = 8 : i64} : (tensor<4xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @trilu(%x: tensor<4xf32> {onnx.name = "x", onnx.dims = [4]}) -> (tensor<*xf32> {onnx.name = "out"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Trilu: needs a matrix}}
  %0 = onnx.Trilu(%x) : (tensor<4xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}
