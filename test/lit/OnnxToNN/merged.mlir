// An If on a boolean input makes prefill (false) and decode (true), one token each, each with the arguments that it reads.
// RUN: ahm-opt %s -onnx-to-nn | FileCheck %s

// CHECK-LABEL: func.func @prefill
// CHECK-SAME: tensor<1x1xi32> {nn.role = "ids"
// CHECK-NOT: use_cache_branch
// CHECK-NOT: "past_key_values.0.decoder.key"
// CHECK: nn.unary "exp"
// CHECK-LABEL: func.func @decode
// CHECK-SAME: "past_key_values.0.decoder.key"
// CHECK-SAME: nn.values = [{max = 128 : i64, min = 0 : i64, name = "past"}]
// CHECK: nn.concat axis 2
onnx.Weight @table : tensor<100x4xf32> in "" at 0 size 1600
func.func @graph(%ids: tensor<?x?xi64> {onnx.name = "input_ids", onnx.dims = ["batch", "tokens"]},
                 %past: tensor<?x1x?x4xf32> {onnx.name = "past_key_values.0.decoder.key", onnx.dims = ["batch", 1, "past", 4]},
                 %cache: tensor<1xi1> {onnx.name = "use_cache_branch", onnx.dims = [1]})
    -> (tensor<*xf32> {onnx.name = "logits"}, tensor<*xf32> {onnx.name = "present.0.decoder.key"}) attributes {onnx.opset = 14 : i64} {
  %table = onnx.UseWeight @table : tensor<100x4xf32>
  %x = onnx.Gather(%table, %ids) : (tensor<100x4xf32>, tensor<?x?xi64>) -> tensor<*xf32>
  %heads = onnx.Unsqueeze(%x) {axes = array<i64: 1>} : (tensor<*xf32>) -> tensor<*xf32>
  %y:2 = onnx.If(%cache) : (tensor<1xi1>) -> (tensor<*xf32>, tensor<*xf32>) {
    %0 = onnx.Concat(%past, %heads) {axis = 2 : i64} : (tensor<?x1x?x4xf32>, tensor<*xf32>) -> tensor<*xf32>
    onnx.Yield %x, %0 : tensor<*xf32>, tensor<*xf32>
  } else {
    %0 = onnx.Exp(%x) : (tensor<*xf32>) -> tensor<*xf32>
    onnx.Yield %0, %heads : tensor<*xf32>, tensor<*xf32>
  }
  return %y#0, %y#1 : tensor<*xf32>, tensor<*xf32>
}
