// Shape arithmetic leaves nothing but result types, iotas and, where a tensor reads it, nn.runtime.
// RUN: ahm-opt %s -onnx-to-nn=max-context=32 -split-input-file | FileCheck %s

// CHECK-DAG: #[[X:.*]] = affine_map<()[s0] -> (1, s0, 8)>
// CHECK-DAG: #[[H:.*]] = affine_map<()[s0] -> (1, 2, s0, 4)>
// CHECK-DAG: #[[N:.*]] = affine_map<()[s0] -> (s0)>
// CHECK-LABEL: func.func @main
// CHECK-SAME: nn.role = "ids"
// CHECK-SAME: nn.values = [{max = 32 : i64, min = 1 : i64, name = "n"}]
onnx.Weight @table : tensor<100x8xf32> in "" at 0 size 3200
func.func @graph(%ids: tensor<?x?xi64> {onnx.name = "ids", onnx.dims = ["batch", "n"]})
    -> (tensor<*xf32> {onnx.name = "heads"}, tensor<*xi64> {onnx.name = "line"}, tensor<*xi64> {onnx.name = "number"}) attributes {onnx.opset = 17 : i64} {
  %table = onnx.UseWeight @table : tensor<100x8xf32>
  // CHECK: %[[G:.*]] = nn.gather %{{.*}}[%arg0] axis 0 {{.*}} -> tensor<1x?x8xf32, #[[X]]>
  %x = onnx.Gather(%table, %ids) : (tensor<100x8xf32>, tensor<?x?xi64>) -> tensor<*xf32>
  %shape = onnx.Shape(%x) : (tensor<*xf32>) -> tensor<*xi64>
  %one = onnx.Constant dense<1> : tensor<i64> : tensor<i64>
  %zero = onnx.Constant dense<0> : tensor<i64> : tensor<i64>
  %axis = onnx.Constant dense<0> : tensor<1xi64> : tensor<1xi64>
  %n = onnx.Gather(%shape, %one) : (tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
  %list = onnx.Unsqueeze(%n, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %b = onnx.Constant dense<1> : tensor<1xi64> : tensor<1xi64>
  %rest = onnx.Constant dense<[-1, 4]> : tensor<2xi64> : tensor<2xi64>
  %target = onnx.Concat(%b, %list, %rest) {axis = 0 : i64} : (tensor<1xi64>, tensor<*xi64>, tensor<2xi64>) -> tensor<*xi64>
  // The inferred dimension is 8 / 4 = 2.
  // CHECK-NEXT: nn.reshape %[[G]] : {{.*}} -> tensor<1x?x2x4xf32
  %r = onnx.Reshape(%x, %target) : (tensor<*xf32>, tensor<*xi64>) -> tensor<*xf32>
  // CHECK-NEXT: nn.transpose %{{.*}} perm [0, 2, 1, 3] : {{.*}} -> tensor<1x2x?x4xf32, #[[H]]>
  %t = onnx.Transpose(%r) {perm = array<i64: 0, 2, 1, 3>} : (tensor<*xf32>) -> tensor<*xf32>
  // CHECK-NEXT: nn.iota #{{.*}} step 1 : tensor<?xi32, #[[N]]>
  %line = onnx.Range(%zero, %n, %one) : (tensor<i64>, tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
  %more = onnx.Add(%n, %one) : (tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
  // CHECK-NEXT: nn.runtime #{{.*}} : tensor<i32>
  return %t, %line, %more : tensor<*xf32>, tensor<*xi64>, tensor<*xi64>
}

// -----

// The end of a slice is INT64_MAX; a split is slices; Expand is a broadcast.
// CHECK-LABEL: func.func @main
func.func @graph(%x: tensor<1x6xf32> {onnx.name = "x", onnx.dims = [1, 6]}) -> (tensor<*xf32> {onnx.name = "y"}, tensor<*xf32> {onnx.name = "z"})
    attributes {onnx.opset = 17 : i64} {
  %two = onnx.Constant dense<2> : tensor<1xi64> : tensor<1xi64>
  %end = onnx.Constant dense<9223372036854775807> : tensor<1xi64> : tensor<1xi64>
  %axis = onnx.Constant dense<1> : tensor<1xi64> : tensor<1xi64>
  // CHECK: nn.slice {{.*}} steps [1, 1] : tensor<1x6xf32> -> tensor<1x4xf32>
  %0 = onnx.Slice(%x, %two, %end, %axis) : (tensor<1x6xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<*xf32>
  // CHECK-COUNT-2: nn.slice {{.*}} : tensor<1x4xf32> -> tensor<1x2xf32>
  %1:2 = onnx.Split(%0) {axis = 1 : i64} : (tensor<*xf32>) -> (tensor<*xf32>, tensor<*xf32>)
  %shape = onnx.Constant dense<[3, 2]> : tensor<2xi64> : tensor<2xi64>
  // CHECK: nn.broadcast %{{.*}} : tensor<1x2xf32> -> tensor<3x2xf32>
  %2 = onnx.Expand(%1#1, %shape) : (tensor<*xf32>, tensor<2xi64>) -> tensor<*xf32>
  return %1#0, %2 : tensor<*xf32>, tensor<*xf32>
}
