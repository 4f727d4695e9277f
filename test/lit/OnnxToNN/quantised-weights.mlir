// Quantised constants become float weights whose recipes say how the elements follow from the stored bytes; both entry points share them.
// RUN: ahm-opt %s -split-input-file -onnx-to-nn | FileCheck %s

// K = 40 in blocks of 16: the padded last block is cut. Packed zero points and a bias.
// CHECK: nn.weight @w.dequantised : tensor<40x8xf32> from tensor<8x3x8xui8> in "w.bin" at 64 size 192 recipe
// CHECK-SAME: ["unpack", 4, 8, 48]
// CHECK-SAME: ["block_dequant", {axis = 1 : i64, block = 16 : i64, scales = {file = "w.bin", length = 96 : i64, offset = 256 : i64, type = tensor<24xf32>}
// CHECK-SAME: zero = 8.000000e+00 : f64, zero_bits = 4 : i64
// CHECK-SAME: ["slice", 1, 0, 40], ["transpose", 1, 0]
// CHECK-LABEL: func.func @main
// CHECK: %[[W:.*]] = nn.get_weight @w.dequantised
// CHECK: nn.matmul %{{.*}}, %[[W]]
// CHECK: nn.binary "add"
onnx.Weight @w : tensor<8x3x8xui8> in "w.bin" at 64 size 192
onnx.Weight @s : tensor<24xf32> in "w.bin" at 256 size 96
func.func @graph(%x: tensor<1x4x40xf32> {onnx.name = "x", onnx.dims = [1, 4, 40]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 21 : i64} {
  %w = onnx.UseWeight @w : tensor<8x3x8xui8>
  %s = onnx.UseWeight @s : tensor<24xf32>
  %z = onnx.Constant dense<7> : tensor<16xui8> : tensor<16xui8>
  %b = onnx.Constant dense<1.0> : tensor<8xf32> : tensor<8xf32>
  %none = onnx.None : none
  %y = onnx.ms.MatMulNBits(%x, %w, %s, %z, %none, %b) {K = 40 : i64, N = 8 : i64, bits = 4 : i64, block_size = 16 : i64}
      : (tensor<1x4x40xf32>, tensor<8x3x8xui8>, tensor<24xf32>, tensor<16xui8>, none, tensor<8xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

// A table in blocks, which shares its bytes with a product's weight by another shape, and a weight with a scale a column.
// CHECK: nn.weight @table.dequantised : tensor<64x32xf32> from tensor<64x16xui8> {{.*}}["unpack", 4, 64, 32]
// CHECK: nn.weight @w.dequantised : tensor<32x96xf32> from tensor<32x96xi8> {{.*}}"block_dequant", {axis = 1 : i64, block = 0 : i64
// CHECK-LABEL: func.func @main
// CHECK: nn.gather %{{.*}}[%{{.*}}] axis 0
// CHECK: nn.matmul
onnx.Weight @table : tensor<64x2x8xui8> in "w.bin" at 0 size 1024
onnx.Weight @s : tensor<64x2xf32> in "w.bin" at 1024 size 512
onnx.Weight @w : tensor<32x96xi8> in "w.bin" at 1536 size 3072
onnx.Weight @c : tensor<96xf32> in "w.bin" at 4608 size 384
func.func @graph(%i: tensor<1x4xi64> {onnx.name = "i", onnx.dims = [1, 4]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 21 : i64} {
  %blocks = onnx.UseWeight @table : tensor<64x2x8xui8>
  %shape = onnx.Constant dense<[64, -1]> : tensor<2xi64> : tensor<2xi64>
  %t = onnx.Reshape(%blocks, %shape) : (tensor<64x2x8xui8>, tensor<2xi64>) -> tensor<*xui8>
  %s = onnx.UseWeight @s : tensor<64x2xf32>
  %x = onnx.ms.GatherBlockQuantized(%t, %i, %s) {bits = 4 : i64, block_size = 16 : i64, gather_axis = 0 : i64, quantize_axis = 1 : i64}
      : (tensor<*xui8>, tensor<1x4xi64>, tensor<64x2xf32>) -> tensor<*xf32>
  %w = onnx.UseWeight @w : tensor<32x96xi8>
  %c = onnx.UseWeight @c : tensor<96xf32>
  %d = onnx.DequantizeLinear(%w, %c) {axis = 1 : i64} : (tensor<32x96xi8>, tensor<96xf32>) -> tensor<*xf32>
  %y = onnx.MatMul(%x, %d) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

// Small constants are numbers; a tensor of the run is quantised and dequantised by arithmetic.
// CHECK-LABEL: func.func @main
// CHECK: nn.unary "round"
// CHECK: nn.binary "max"
// CHECK: nn.binary "min"
// CHECK: nn.cast {{.*}} -> tensor<4xui8>
// CHECK: nn.cast {{.*}} -> tensor<4xf32>
// CHECK: nn.constant dense<[5.000000e-01, 1.000000e+00]> : tensor<2xf32>
func.func @graph(%x: tensor<4xf32> {onnx.name = "x", onnx.dims = [4]}) -> (tensor<*xf32> {onnx.name = "y"}, tensor<*xf32> {onnx.name = "z"}) attributes {onnx.opset = 21 : i64} {
  %scale = onnx.Constant dense<0.5> : tensor<f32> : tensor<f32>
  %zero = onnx.Constant dense<3> : tensor<ui8> : tensor<ui8>
  %q = onnx.QuantizeLinear(%x, %scale, %zero) : (tensor<4xf32>, tensor<f32>, tensor<ui8>) -> tensor<*xui8>
  %y = onnx.DequantizeLinear(%q, %scale, %zero) : (tensor<*xui8>, tensor<f32>, tensor<ui8>) -> tensor<*xf32>
  %c = onnx.Constant dense<[4, 5]> : tensor<2xui8> : tensor<2xui8>
  %z = onnx.DequantizeLinear(%c, %scale, %zero) : (tensor<2xui8>, tensor<f32>, tensor<ui8>) -> tensor<*xf32>
  return %y, %z : tensor<*xf32>, tensor<*xf32>
}
