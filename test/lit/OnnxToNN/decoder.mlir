// A past that grows by Concat makes prefill and decode. The mask's length is found equal to past + tokens and is no value of its own.
// RUN: ahm-opt %s -onnx-to-nn=max-context=16 | FileCheck %s

// CHECK-LABEL: func.func @prefill
// CHECK-SAME: nn.role = "ids"
// CHECK-SAME: nn.role = "mask"
// CHECK-SAME: nn.role = "positions"
// CHECK-SAME: nn.role = "logits"
// CHECK-SAME: nn.values = [{max = 16 : i64, min = 1 : i64, name = "tokens"}, {max = 15 : i64, min = 0 : i64, name = "past"}]
// CHECK-LABEL: func.func @decode
// CHECK-SAME: tensor<1x1xi32> {nn.role = "ids"
// CHECK-NOT: "unused"
// CHECK-SAME: nn.values = [{max = 15 : i64, min = 0 : i64, name = "past"}]
onnx.Weight @table : tensor<100x4xf32> in "" at 0 size 1600
onnx.Weight @positions : tensor<16x4xf32> in "" at 0 size 256
func.func @graph(%ids: tensor<?x?xi64> {onnx.name = "input_ids", onnx.dims = ["batch", "tokens"]},
                 %mask: tensor<?x?xi64> {onnx.name = "attention_mask", onnx.dims = ["batch", "total"]},
                 %at: tensor<?x?xi64> {onnx.name = "position_ids", onnx.dims = ["batch", "tokens"]},
                 %past: tensor<?x1x?x4xf32> {onnx.name = "past_key_values.0.key", onnx.dims = ["batch", 1, "past", 4]},
                 %unused: tensor<3xf32> {onnx.name = "unused", onnx.dims = [3]})
    -> (tensor<*xf32> {onnx.name = "logits"}, tensor<*xf32> {onnx.name = "present.0.key"}) attributes {onnx.opset = 17 : i64} {
  %table = onnx.UseWeight @table : tensor<100x4xf32>
  %embedded = onnx.Gather(%table, %ids) : (tensor<100x4xf32>, tensor<?x?xi64>) -> tensor<*xf32>
  %ptable = onnx.UseWeight @positions : tensor<16x4xf32>
  %placed = onnx.Gather(%ptable, %at) : (tensor<16x4xf32>, tensor<?x?xi64>) -> tensor<*xf32>
  %x = onnx.Add(%embedded, %placed) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %axis = onnx.Constant dense<1> : tensor<1xi64> : tensor<1xi64>
  %heads = onnx.Unsqueeze(%x, %axis) : (tensor<*xf32>, tensor<1xi64>) -> tensor<*xf32>
  %present = onnx.Concat(%past, %heads) {axis = 2 : i64} : (tensor<?x1x?x4xf32>, tensor<*xf32>) -> tensor<*xf32>
  %turned = onnx.Transpose(%present) {perm = array<i64: 0, 1, 3, 2>} : (tensor<*xf32>) -> tensor<*xf32>
  %scores = onnx.MatMul(%heads, %turned) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %both = onnx.Constant dense<[1, 2]> : tensor<2xi64> : tensor<2xi64>
  %wide = onnx.Unsqueeze(%mask, %both) : (tensor<?x?xi64>, tensor<2xi64>) -> tensor<*xi64>
  %float = onnx.Cast(%wide) {to = 1 : i64} : (tensor<*xi64>) -> tensor<*xf32>
  %masked = onnx.Add(%scores, %float) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %soft = onnx.Softmax(%masked) {axis = -1 : i64} : (tensor<*xf32>) -> tensor<*xf32>
  %out = onnx.MatMul(%soft, %present) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %logits = onnx.Squeeze(%out, %axis) : (tensor<*xf32>, tensor<1xi64>) -> tensor<*xf32>
  return %logits, %present : tensor<*xf32>, tensor<*xf32>
}
