// A speech front end: raw audio has at least the samples that the convolution takes and at most 20 s, frames are an expression of samples.
// RUN: ahm-opt %s -onnx-to-nn | FileCheck %s

// CHECK: affine_map<()[s0] -> (1, 2, (s0 - 127) floordiv 64 + 1)>
// CHECK-LABEL: func.func @main
// CHECK-SAME: nn.role = "audio"
// CHECK-SAME: nn.values = [{max = 320000 : i64, min = 127 : i64, name = "samples"}]
onnx.Weight @w : tensor<2x1x127xf32> in "" at 0 size 1016
func.func @encoder(%x: tensor<?x?xf32> {onnx.name = "audio", onnx.dims = ["batch", "samples"]},
                   %s: tensor<2xf32> {onnx.name = "s", onnx.dims = [2]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  %w = onnx.UseWeight @w : tensor<2x1x127xf32>
  %axis = onnx.Constant dense<1> : tensor<1xi64> : tensor<1xi64>
  %0 = onnx.Unsqueeze(%x, %axis) : (tensor<?x?xf32>, tensor<1xi64>) -> tensor<*xf32>
  // CHECK: nn.conv %{{.*}}, %{{.*}} stride 64 dilation 1 pads 0 0
  %1 = onnx.Conv(%0, %w) {strides = array<i64: 64>} : (tensor<*xf32>, tensor<2x1x127xf32>) -> tensor<*xf32>
  // CHECK: nn.group_norm %{{.*}} groups 2
  // CHECK: nn.reshape %arg1 : tensor<2xf32> -> tensor<2x1xf32>
  // CHECK: nn.binary "mul"
  // CHECK: nn.binary "add"
  %2 = onnx.InstanceNormalization(%1, %s, %s) : (tensor<*xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<*xf32>
  return %2 : tensor<*xf32>
}
