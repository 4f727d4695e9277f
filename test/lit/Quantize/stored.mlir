// weights=auto keeps what the model stores in MXFP4 blocks along the contraction; other scales, axes and zero points are no such blocks.
// RUN: ahm-opt %s -nn-quantize | FileCheck %s
// RUN: ahm-opt %s -nn-quantize="weights=mxint16" | FileCheck %s --check-prefix=WIDE

// CHECK: nn.weight @fp4 {{.*}}format = "mxfp4"
// CHECK: nn.weight @fp8 {{.*}}format = "mxint8"
// CHECK: nn.weight @across {{.*}}format = "mxint8"
// CHECK: nn.weight @float {{.*}}format = "mxint8"
// CHECK: nn.weight @scaled {{.*}}format = "mxint8"
// WIDE: nn.weight @fp4 {{.*}}format = "mxint16"
module {
  nn.weight @fp4 : tensor<64x32xf32> from tensor<32x64xf4E2M1FN> in "w.bin" at 0 size 1024 recipe [["block_dequant", {axis = 1 : i64, block = 32 : i64, zero = 0.0 : f64, scales = {type = tensor<32x2xf8E8M0FNU>, file = "w.bin", offset = 1024 : i64, length = 64 : i64}}], ["transpose", 1, 0]]
  nn.weight @fp8 : tensor<32x64xf32> from tensor<32x64xf8E4M3FN> in "w.bin" at 0 size 2048 recipe [["block_dequant", {axis = 0 : i64, block = 32 : i64, zero = 0.0 : f64, scales = {type = tensor<1x64xf8E8M0FNU>, file = "w.bin", offset = 4096 : i64, length = 64 : i64}}], ["cast", "f32"]]
  nn.weight @across : tensor<64x32xf32> from tensor<64x32xf4E2M1FN> in "w.bin" at 0 size 1024 recipe [["block_dequant", {axis = 1 : i64, block = 32 : i64, zero = 0.0 : f64, scales = {type = tensor<64x1xf8E8M0FNU>, file = "w.bin", offset = 1024 : i64, length = 64 : i64}}]]
  nn.weight @float : tensor<32x64xf32> from tensor<32x64xf4E2M1FN> in "w.bin" at 0 size 1024 recipe [["block_dequant", {axis = 0 : i64, block = 32 : i64, zero = 0.0 : f64, scales = {type = tensor<1x64xf32>, file = "w.bin", offset = 1024 : i64, length = 256 : i64}}]]
  nn.weight @scaled : tensor<64x32xf32> from tensor<32x64xf4E2M1FN> in "w.bin" at 0 size 1024 recipe [["block_dequant", {axis = 1 : i64, block = 32 : i64, zero = 0.0 : f64, scales = {type = tensor<32x2xf8E8M0FNU>, file = "w.bin", offset = 1024 : i64, length = 64 : i64}}], ["transpose", 1, 0], ["mul", 3.0 : f32]]
  func.func @main(%x: tensor<4x64xf32>) -> tensor<4x32xf32> {
    %a = nn.linear %x, @fp4 : tensor<4x64xf32> -> tensor<4x32xf32>
    %b = nn.linear %a, @fp8 : tensor<4x32xf32> -> tensor<4x64xf32>
    %c = nn.linear %b, @across : tensor<4x64xf32> -> tensor<4x32xf32>
    %d = nn.linear %c, @float : tensor<4x32xf32> -> tensor<4x64xf32>
    %e = nn.linear %d, @scaled : tensor<4x64xf32> -> tensor<4x32xf32>
    return %e : tensor<4x32xf32>
  }
}
