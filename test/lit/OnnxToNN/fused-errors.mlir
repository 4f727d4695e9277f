// What fused operators cannot express is an error that says what and what to do.
// RUN: ahm-opt %s -split-input-file -onnx-to-nn -verify-diagnostics

func.func @graph(%x: tensor<1x4x32xf32> {onnx.name = "x", onnx.dims = [1, 4, 32]}, %n: tensor<1xi32> {onnx.name = "n", onnx.dims = [1]},
    %s: tensor<1xf32> {onnx.name = "s", onnx.dims = [1]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 21 : i64} {
  %none = onnx.None : none
  // expected-error @+1 {{a quantised past (k_scale, v_scale) is not supported; remedy}}
  %y = onnx.ms.GroupQueryAttention(%x, %x, %x, %none, %none, %n, %n, %none, %none, %none, %none, %none, %s, %s) {num_heads = 4 : i64, kv_num_heads = 4 : i64}
      : (tensor<1x4x32xf32>, tensor<1x4x32xf32>, tensor<1x4x32xf32>, none, none, tensor<1xi32>, tensor<1xi32>, none, none, none, none, none,
         tensor<1xf32>, tensor<1xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

func.func @graph(%x: tensor<1x4x32xf32> {onnx.name = "x", onnx.dims = [1, 4, 32]}, %m: tensor<4x5xf32> {onnx.name = "m", onnx.dims = [4, 5]})
    -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 23 : i64} {
  // expected-error @+1 {{the mask has another number of keys than there are}}
  %y = onnx.Attention(%x, %x, %x, %m) {q_num_heads = 4 : i64, kv_num_heads = 4 : i64}
      : (tensor<1x4x32xf32>, tensor<1x4x32xf32>, tensor<1x4x32xf32>, tensor<4x5xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

func.func @graph(%x: tensor<1x4x30xf32> {onnx.name = "x", onnx.dims = [1, 4, 30]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 23 : i64} {
  // expected-error @+1 {{the number of heads must divide the last dimension}}
  %y = onnx.Attention(%x, %x, %x) {q_num_heads = 4 : i64, kv_num_heads = 4 : i64} : (tensor<1x4x30xf32>, tensor<1x4x30xf32>, tensor<1x4x30xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

func.func @graph(%x: tensor<1x4x32xf32> {onnx.name = "x", onnx.dims = [1, 4, 32]}, %w: tensor<8x1x16xui8> {onnx.name = "w", onnx.dims = [8, 1, 16]},
    %s: tensor<8xf32> {onnx.name = "s", onnx.dims = [8]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 21 : i64} {
  // expected-error @+1 {{its weights and scales must be constants}}
  %y = onnx.ms.MatMulNBits(%x, %w, %s) {K = 32 : i64, N = 8 : i64, bits = 4 : i64, block_size = 32 : i64}
      : (tensor<1x4x32xf32>, tensor<8x1x16xui8>, tensor<8xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

onnx.Weight @w : tensor<8x1x8xui8> in "w.bin" at 0 size 64
func.func @graph(%x: tensor<1x4x32xf32> {onnx.name = "x", onnx.dims = [1, 4, 32]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 21 : i64} {
  %w = onnx.UseWeight @w : tensor<8x1x8xui8>
  %s = onnx.Constant dense<1.0> : tensor<8xf32> : tensor<8xf32>
  // expected-error @+1 {{2 bits are not supported; remedy: quantise to 4 or 8 bits}}
  %y = onnx.ms.MatMulNBits(%x, %w, %s) {K = 32 : i64, N = 8 : i64, bits = 2 : i64, block_size = 32 : i64}
      : (tensor<1x4x32xf32>, tensor<8x1x8xui8>, tensor<8xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

func.func @graph(%x: tensor<1x2x4x8xf32> {onnx.name = "x", onnx.dims = [1, 2, 4, 8]}, %t: tensor<9x3xf32> {onnx.name = "t", onnx.dims = [9, 3]},
    %p: tensor<1x4xi64> {onnx.name = "p", onnx.dims = [1, 4]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 23 : i64} {
  // expected-error @+1 {{the cos table has 3 columns, but 8 elements of 8 turn}}
  %y = onnx.RotaryEmbedding(%x, %t, %t, %p) : (tensor<1x2x4x8xf32>, tensor<9x3xf32>, tensor<9x3xf32>, tensor<1x4xi64>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}
