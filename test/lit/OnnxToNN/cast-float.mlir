// A cast to a 16-bit float rounds to it, though the card computes in float32; from the format itself, or from bytes, nothing is lost.
// RUN: ahm-opt %s -onnx-to-nn -split-input-file | FileCheck %s
// RUN: ahm-opt %s -onnx-to-nn -split-input-file 2>&1 >/dev/null | FileCheck %s --check-prefix=WARNING

// CHECK-LABEL: func.func @main
// CHECK: %[[H:.*]] = nn.unary "round_f16" %arg0 : tensor<4xf32> -> tensor<4xf32>
// CHECK: %[[B:.*]] = nn.unary "round_bf16" %arg0 : tensor<4xf32> -> tensor<4xf32>
// CHECK: %[[I:.*]] = nn.cast %arg1 : tensor<4xi32> -> tensor<4xf32>
// CHECK: nn.unary "round_f16" %[[I]]
// CHECK-NOT: round_
// CHECK: return
func.func @graph(%x: tensor<4xf32> {onnx.name = "x", onnx.dims = [4]}, %n: tensor<4xi64> {onnx.name = "n", onnx.dims = [4]},
    %m: tensor<4xi1> {onnx.name = "m", onnx.dims = [4]}, %h: tensor<4xf16> {onnx.name = "h", onnx.dims = [4]})
    -> (tensor<*xf32> {onnx.name = "a"}, tensor<*xbf16> {onnx.name = "b"}, tensor<*xf16> {onnx.name = "c"}, tensor<*xf16> {onnx.name = "d"}, tensor<*xf16> {onnx.name = "e"})
    attributes {onnx.opset = 17 : i64} {
  %0 = onnx.Cast(%x) {to = 10 : i64} : (tensor<4xf32>) -> tensor<*xf16>
  %1 = onnx.Cast(%0) {to = 1 : i64} : (tensor<*xf16>) -> tensor<*xf32>
  %2 = onnx.Cast(%x) {to = 16 : i64} : (tensor<4xf32>) -> tensor<*xbf16>
  %3 = onnx.Cast(%n) {to = 10 : i64} : (tensor<4xi64>) -> tensor<*xf16>
  %4 = onnx.Cast(%m) {to = 10 : i64} : (tensor<4xi1>) -> tensor<*xf16>
  %5 = onnx.Cast(%h) {to = 10 : i64} : (tensor<4xf16>) -> tensor<*xf16>
  return %1, %2, %3, %4, %5 : tensor<*xf32>, tensor<*xbf16>, tensor<*xf16>, tensor<*xf16>, tensor<*xf16>
}

// -----

// WARNING: warning: Cast: float64 is computed in float32
func.func @graph(%x: tensor<4xf32> {onnx.name = "x", onnx.dims = [4]}) -> (tensor<*xf64> {onnx.name = "a"}) attributes {onnx.opset = 17 : i64} {
  %0 = onnx.Cast(%x) {to = 11 : i64} : (tensor<4xf32>) -> tensor<*xf64>
  return %0 : tensor<*xf64>
}
