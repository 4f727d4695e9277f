// What is refused, and what the message tells to do.
// RUN: ahm-opt %s -onnx-to-nn -split-input-file -verify-diagnostics

func.func @operator(%x: tensor<4xf32> {onnx.name = "x", onnx.dims = [4]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{operator ConvInteger (onnx.ConvInteger) is read but not compiled; remedy: export it decomposed}}
  %0 = onnx.ConvInteger(%x, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<*xf32>
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
  // expected-error@+1 {{Add: dimensions 3 and 4 do not broadcast; remedy: export the model again, or fix the shapes of its inputs (operator Add, domain ai.onnx, opset 17)}}
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
  // expected-error@+1 {{Conv: channels, filters and groups do not fit: input channels must be the weight's times group 4}}
  %0 = onnx.Conv(%x, %w) {group = 4 : i64} : (tensor<1x4x9xf32>, tensor<4x2x3xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

// A size that only the contents decide, and that nothing in the graph says.
func.func @data(%x: tensor<4xf32> {onnx.name = "x", onnx.dims = [4]}) -> (tensor<*xi64> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{NonZero: a size of its output depends on the contents of its inputs, and nothing in the graph says it}}
  %0 = onnx.NonZero(%x) : (tensor<4xf32>) -> tensor<*xi64>
  return %0 : tensor<*xi64>
}

// -----

func.func @axes(%x: tensor<2x2x3xf32> {onnx.name = "x", onnx.dims = [2, 2, 3]}, %axes: tensor<1xi64> {onnx.name = "axes", onnx.dims = [1]})
    -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{ReduceSum: the shape of its output depends on the axes, which are not known before the run}}
  %0 = onnx.ReduceSum(%x, %axes) {keepdims = 0 : i64} : (tensor<2x2x3xf32>, tensor<1xi64>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

func.func @count(%x: tensor<2x3xf32> {onnx.name = "x", onnx.dims = [2, 3]}, %shape: tensor<2xi64> {onnx.name = "shape", onnx.dims = [2]})
    -> (tensor<2x4xf32> {onnx.name = "y", onnx.dims = [2, 4]}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{Reshape: its output is declared with 8 elements, its input has 6}}
  %0 = onnx.Reshape(%x, %shape) : (tensor<2x3xf32>, tensor<2xi64>) -> tensor<2x4xf32>
  return %0 : tensor<2x4xf32>
}

// -----

func.func @branches(%c: tensor<i1> {onnx.name = "c", onnx.dims = []}, %x: tensor<2x3xf32> {onnx.name = "x", onnx.dims = [2, 3]}, %y: tensor<4xf32> {onnx.name = "y", onnx.dims = [4]})
    -> (tensor<*xf32> {onnx.name = "z"}) attributes {onnx.opset = 17 : i64} {
  // expected-error@+1 {{If: the condition is only known when the program runs, and the branches give different shapes or types}}
  %0 = onnx.If(%c) : (tensor<i1>) -> tensor<*xf32> {
    onnx.Yield %x : tensor<2x3xf32>
  } else {
    onnx.Yield %y : tensor<4xf32>
  }
  return %0 : tensor<*xf32>
}

// -----

func.func @graph(%x: tensor<2x64xf32> {onnx.name = "x", onnx.dims = [2, 64]}, %r: tensor<2x4xf32> {onnx.name = "r", onnx.dims = [2, 4]},
    %d: tensor<4x64x32xui8> {onnx.name = "d", onnx.dims = [4, 64, 32]}, %s: tensor<4x64x2xf32> {onnx.name = "s", onnx.dims = [4, 64, 2]})
    -> (tensor<2x64xf32> {onnx.name = "y", onnx.dims = [2, 64]}) attributes {onnx.opset = 21 : i64} {
  %none = onnx.None : none
  // expected-error@+1 {{QMoE: quant_type nvfp4 is not supported; remedy: integers of 4 or 8 bits, or fp4}}
  %y = onnx.ms.QMoE(%x, %r, %d, %s, %none, %d, %s) {k = 2 : i64, quant_type = "nvfp4"} : (tensor<2x64xf32>, tensor<2x4xf32>, tensor<4x64x32xui8>, tensor<4x64x2xf32>, none, tensor<4x64x32xui8>, tensor<4x64x2xf32>) -> tensor<2x64xf32>
  return %y : tensor<2x64xf32>
}

// -----

onnx.Weight @d : tensor<4x64x32xui8> in "" at 0 size 8192
onnx.Weight @s : tensor<4x64x2xf32> in "" at 8192 size 2048
func.func @graph(%x: tensor<2x64xf32> {onnx.name = "x", onnx.dims = [2, 64]}, %r: tensor<2x4xf32> {onnx.name = "r", onnx.dims = [2, 4]})
    -> (tensor<2x64xf32> {onnx.name = "y", onnx.dims = [2, 64]}) attributes {onnx.opset = 21 : i64} {
  %none = onnx.None : none
  %d = onnx.UseWeight @d : tensor<4x64x32xui8>
  %s = onnx.UseWeight @s : tensor<4x64x2xf32>
  // expected-error@+1 {{QMoE: quant_type fp4 has scales of 8 bits (E8M0)}}
  %y = onnx.ms.QMoE(%x, %r, %d, %s, %none, %d, %s) {k = 2 : i64, quant_type = "fp4"} : (tensor<2x64xf32>, tensor<2x4xf32>, tensor<4x64x32xui8>, tensor<4x64x2xf32>, none, tensor<4x64x32xui8>, tensor<4x64x2xf32>) -> tensor<2x64xf32>
  return %y : tensor<2x64xf32>
}
