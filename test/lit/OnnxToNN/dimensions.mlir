// A dimension may be an expression; a slice counts from the end also by a run-time number.
// RUN: ahm-opt %s -onnx-to-nn="max-dim=n=9 max-context=8" -split-input-file | FileCheck %s

// CHECK: affine_map<()[s0] -> (1, s0 * 2 + 1, 4)>
// CHECK-LABEL: func.func @main
// CHECK-SAME: nn.values = [{max = 9 : i64, min = 1 : i64, name = "n"}]
func.func @sum(%x: tensor<1x?x4xf32> {onnx.name = "x", onnx.dims = [1, "n", 4]}, %w: tensor<1x?x4xf32> {onnx.name = "w", onnx.dims = [1, "n + 1", 4]})
    -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  %0 = onnx.Concat(%x, %w) {axis = 1 : i64} : (tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

// floor(n/2 - 1/3) is (3n - 2) floordiv 6.
// CHECK: affine_map<()[s0] -> (1, (s0 * 3 - 2) floordiv 6)>
// CHECK-LABEL: func.func @main
func.func @floored(%x: tensor<1x?xf32> {onnx.name = "x", onnx.dims = [1, "n"]}, %w: tensor<1x?xf32> {onnx.name = "w", onnx.dims = [1, "floor(n/2 - 1/3)"]})
    -> (tensor<*xf32> {onnx.name = "y"}, tensor<*xf32> {onnx.name = "z"}) attributes {onnx.opset = 17 : i64} {
  %0 = onnx.Neg(%w) : (tensor<1x?xf32>) -> tensor<*xf32>
  %1 = onnx.Neg(%x) : (tensor<1x?xf32>) -> tensor<*xf32>
  return %0, %1 : tensor<*xf32>, tensor<*xf32>
}

// -----

// The last n of 1 + n rows begin at row 1.
// CHECK: #[[START:.*]] = affine_map<()[s0] -> (1, 0)>
// CHECK-LABEL: func.func @main
// CHECK: nn.slice %{{.*}} starts #[[START]]
func.func @negative(%x: tensor<1x5xf32> {onnx.name = "x", onnx.dims = [1, 5]}, %w: tensor<?x5xf32> {onnx.name = "w", onnx.dims = ["n", 5]})
    -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  %zero = onnx.Constant dense<0> : tensor<1xi64> : tensor<1xi64>
  %end = onnx.Constant dense<9223372036854775807> : tensor<1xi64> : tensor<1xi64>
  %n = onnx.Shape(%w) {start = 0 : i64, end = 1 : i64} : (tensor<?x5xf32>) -> tensor<*xi64>
  %minus = onnx.Neg(%n) : (tensor<*xi64>) -> tensor<*xi64>
  %all = onnx.Concat(%x, %w) {axis = 0 : i64} : (tensor<1x5xf32>, tensor<?x5xf32>) -> tensor<*xf32>
  %0 = onnx.Slice(%all, %minus, %end, %zero) : (tensor<*xf32>, tensor<*xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<*xf32>
  return %0 : tensor<*xf32>
}

// -----

// In a decoder (ids and a past) an inner If on "not use_cache_branch" takes its own branch, not the outer one.
// CHECK-LABEL: func.func @prefill
// CHECK: nn.unary "abs"
// CHECK-NOT: nn.unary "exp"
// CHECK-LABEL: func.func @decode
// CHECK: nn.unary "neg"
onnx.Weight @table : tensor<100x4xf32> in "" at 0 size 1600
func.func @inner(%ids: tensor<1x2xi64> {onnx.name = "ids", onnx.dims = [1, 2]}, %use: tensor<1xi1> {onnx.name = "use_cache_branch", onnx.dims = [1]})
    -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  %table = onnx.UseWeight @table : tensor<100x4xf32>
  %x = onnx.Gather(%table, %ids) : (tensor<100x4xf32>, tensor<1x2xi64>) -> tensor<*xf32>
  %first = onnx.Not(%use) : (tensor<1xi1>) -> tensor<1xi1>
  %y = onnx.If(%use) : (tensor<1xi1>) -> tensor<*xf32> {
    %0 = onnx.Neg(%x) : (tensor<*xf32>) -> tensor<*xf32>
    onnx.Yield %0 : tensor<*xf32>
  } else {
    %1 = onnx.If(%first) : (tensor<1xi1>) -> tensor<*xf32> {
      %2 = onnx.Abs(%x) : (tensor<*xf32>) -> tensor<*xf32>
      onnx.Yield %2 : tensor<*xf32>
    } else {
      %2 = onnx.Exp(%x) : (tensor<*xf32>) -> tensor<*xf32>
      onnx.Yield %2 : tensor<*xf32>
    }
    onnx.Yield %1 : tensor<*xf32>
  }
  return %y : tensor<*xf32>
}

// -----

// What a prefill shows of the dimensions (the mask is as long as past and tokens) holds for a decode call, whose one token would be repeated over any.
// CHECK-LABEL: func.func @prefill
// CHECK-SAME: nn.values = [{{{.*}}name = "tokens"}, {{{.*}}name = "past"}]
// CHECK-LABEL: func.func @decode
// CHECK-SAME: nn.values = [{{{.*}}name = "past"}]
func.func @learned(%ids: tensor<1x?xi64> {onnx.name = "ids", onnx.dims = [1, "tokens"]}, %mask: tensor<1x?xf32> {onnx.name = "mask", onnx.dims = [1, "total"]},
    %past: tensor<1x1x?x4xf32> {onnx.name = "past", onnx.dims = [1, 1, "past", 4]}, %table: tensor<9x4xf32> {onnx.name = "t", onnx.dims = [9, 4]})
    -> (tensor<*xf32> {onnx.name = "y"}, tensor<*xf32> {onnx.name = "present"}) attributes {onnx.opset = 17 : i64} {
  %rows = onnx.Gather(%table, %ids) : (tensor<9x4xf32>, tensor<1x?xi64>) -> tensor<*xf32>
  %axes = onnx.Constant dense<[0]> : tensor<1xi64> : tensor<1xi64>
  %heads = onnx.Unsqueeze(%rows, %axes) : (tensor<*xf32>, tensor<1xi64>) -> tensor<*xf32>
  %present = onnx.Concat(%past, %heads) {axis = 2 : i64} : (tensor<1x1x?x4xf32>, tensor<*xf32>) -> tensor<*xf32>
  %shape = onnx.Shape(%past) {start = 2 : i64, end = 3 : i64} : (tensor<1x1x?x4xf32>) -> tensor<*xi64>
  %end = onnx.Constant dense<9223372036854775807> : tensor<1xi64> : tensor<1xi64>
  %one = onnx.Constant dense<1> : tensor<1xi64> : tensor<1xi64>
  %new = onnx.Slice(%mask, %shape, %end, %one) : (tensor<1x?xf32>, tensor<*xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<*xf32>
  %last = onnx.Constant dense<[2]> : tensor<1xi64> : tensor<1xi64>
  %column = onnx.Unsqueeze(%new, %last) : (tensor<*xf32>, tensor<1xi64>) -> tensor<*xf32>
  %y = onnx.Add(%rows, %column) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  return %y, %present : tensor<*xf32>, tensor<*xf32>
}
