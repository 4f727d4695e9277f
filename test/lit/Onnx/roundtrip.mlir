// Every form of the dialect prints and parses again.
// RUN: ahm-opt %s | ahm-opt | FileCheck %s

// CHECK: onnx.Weight @w : tensor<4x8xf32> in "model.onnx" at 64 size 128
onnx.Weight @w : tensor<4x8xf32> in "model.onnx" at 64 size 128
// CHECK: onnx.Weight @"onnx::MatMul_1" : tensor<3xui4> in "" at 0 size 2
onnx.Weight @"onnx::MatMul_1" : tensor<3xui4> in "" at 0 size 2

// CHECK-LABEL: func.func @main
// CHECK-SAME: onnx.dims = ["batch", 4]
func.func @main(%x: tensor<?x4xf32> {onnx.name = "x", onnx.dims = ["batch", 4]}, %c: tensor<1xi1> {onnx.name = "c", onnx.dims = [1]})
    -> (tensor<?x8xf32> {onnx.name = "y"}) attributes {onnx.opset = 14 : i64} {
  // CHECK: onnx.UseWeight @w : tensor<4x8xf32>
  %w = onnx.UseWeight @w : tensor<4x8xf32>
  // CHECK: onnx.MatMul(%{{.*}}, %{{.*}}) : (tensor<?x4xf32>, tensor<4x8xf32>) -> tensor<?x8xf32>
  %0 = onnx.MatMul(%x, %w) : (tensor<?x4xf32>, tensor<4x8xf32>) -> tensor<?x8xf32>
  // CHECK: onnx.None : none
  %none = onnx.None : none
  // CHECK: onnx.Constant dense<1.000000e+00> : tensor<f32> : tensor<f32>
  %one = onnx.Constant dense<1.0> : tensor<f32> : tensor<f32>
  // CHECK: onnx.Clip(%{{.*}}, %{{.*}}, %{{.*}}) : (tensor<?x8xf32>, none, tensor<f32>) -> tensor<*xf32>
  %1 = onnx.Clip(%0, %none, %one) : (tensor<?x8xf32>, none, tensor<f32>) -> tensor<*xf32>
  // CHECK: onnx.Transpose(%{{.*}}) {perm = array<i64: 1, 0>} : (tensor<*xf32>) -> tensor<*xf32>
  %2 = onnx.Transpose(%1) {perm = array<i64: 1, 0>} : (tensor<*xf32>) -> tensor<*xf32>
  // CHECK: onnx.ms.FastGelu
  %3 = onnx.ms.FastGelu(%2) : (tensor<*xf32>) -> tensor<*xf32>
  // CHECK: onnx.DynamicQuantizeLinear(%{{.*}}) : (tensor<*xf32>) -> (tensor<*xui8>, tensor<f32>, tensor<ui8>)
  %q:3 = onnx.DynamicQuantizeLinear(%3) : (tensor<*xf32>) -> (tensor<*xui8>, tensor<f32>, tensor<ui8>)
  // CHECK: onnx.If(%{{.*}}) : (tensor<1xi1>) -> tensor<?x8xf32> {
  // CHECK: onnx.Yield %{{.*}} : tensor<?x8xf32>
  // CHECK: } else {
  // CHECK: onnx.Yield %{{.*}} : tensor<*xf32>
  %y = onnx.If(%c) : (tensor<1xi1>) -> tensor<?x8xf32> {
    onnx.Yield %0 : tensor<?x8xf32>
  } else {
    %4 = onnx.Neg(%0) : (tensor<?x8xf32>) -> tensor<*xf32>
    onnx.Yield %4 : tensor<*xf32>
  }
  return %y : tensor<?x8xf32>
}
