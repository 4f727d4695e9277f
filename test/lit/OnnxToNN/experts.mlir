// Mixtures of experts as one operator: softmax over all, the k best, normalised where asked; then products by their ids.
// RUN: ahm-opt %s -split-input-file -onnx-to-nn -verify-diagnostics | FileCheck %s

// CHECK-LABEL: func.func @main
// CHECK: nn.softmax
// CHECK: %[[W:.*]], %[[IDS:.*]] = nn.topk
// CHECK: nn.reduce "sum"
// CHECK: nn.binary "div"
// CHECK: %[[FC1:.*]] = nn.expert_matmul %{{.*}}[%[[IDS]]]
// CHECK: %[[BIAS:.*]] = nn.gather %{{.*}}[%[[IDS]]]
// CHECK: %[[SUM:.*]] = nn.binary "add" %[[FC1]], %[[BIAS]]
// CHECK: nn.slice %[[SUM]] {{.*}} steps [1, 1, 2]
// CHECK: nn.binary "min"
// CHECK: nn.unary "sigmoid"
// CHECK: nn.expert_matmul %{{.*}}[%[[IDS]]]
// CHECK: nn.binary "mul"
// CHECK: nn.reduce "sum"
func.func @graph(%x: tensor<1x3x8xf32> {onnx.name = "x", onnx.dims = [1, 3, 8]}, %r: tensor<3x4xf32> {onnx.name = "r", onnx.dims = [3, 4]},
    %u: tensor<4x12x8xf32> {onnx.name = "u", onnx.dims = [4, 12, 8]}, %b: tensor<4x12xf32> {onnx.name = "b", onnx.dims = [4, 12]},
    %d: tensor<4x8x6xf32> {onnx.name = "d", onnx.dims = [4, 8, 6]})
    -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 21 : i64} {
  %y = onnx.ms.MoE(%x, %r, %u, %b, %d) {k = 2 : i64, activation_type = "swiglu", swiglu_fusion = 1 : i64, swiglu_limit = 7.0 : f32,
      activation_alpha = 1.702 : f32, activation_beta = 1.0 : f32, normalize_routing_weights = 1 : i64}
      : (tensor<1x3x8xf32>, tensor<3x4xf32>, tensor<4x12x8xf32>, tensor<4x12xf32>, tensor<4x8x6xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

func.func @graph(%x: tensor<3x8xf32> {onnx.name = "x", onnx.dims = [3, 8]}, %r: tensor<3x4xf32> {onnx.name = "r", onnx.dims = [3, 4]},
    %b: tensor<4x8xf32> {onnx.name = "b", onnx.dims = [4, 8]}, %d: tensor<4x8x8xf32> {onnx.name = "d", onnx.dims = [4, 8, 8]})
    -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 21 : i64} {
  // expected-error@+1 {{MoE: k is 5 of 4 experts}}
  %y = onnx.ms.MoE(%x, %r, %d, %b, %d) {k = 5 : i64} : (tensor<3x8xf32>, tensor<3x4xf32>, tensor<4x8x8xf32>, tensor<4x8xf32>, tensor<4x8x8xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}

// -----

func.func @graph(%x: tensor<3x8xf32> {onnx.name = "x", onnx.dims = [3, 8]}, %r: tensor<3x4xf32> {onnx.name = "r", onnx.dims = [3, 4]},
    %b: tensor<4x8xf32> {onnx.name = "b", onnx.dims = [4, 8]}, %d: tensor<4x8x8xf32> {onnx.name = "d", onnx.dims = [4, 8, 8]})
    -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 21 : i64} {
  // expected-error@+1 {{use_sparse_mixer is not supported; remedy}}
  %y = onnx.ms.MoE(%x, %r, %d, %b, %d) {k = 2 : i64, use_sparse_mixer = 1 : i64} : (tensor<3x8xf32>, tensor<3x4xf32>, tensor<4x8x8xf32>, tensor<4x8xf32>, tensor<4x8x8xf32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}
