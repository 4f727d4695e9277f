// A list whose length the contents decide, of which only sums leave the graph: it is taken in full, and adds zero where nothing is set.
// RUN: ahm-opt %s -onnx-to-nn -split-input-file | FileCheck %s
// RUN: sed 's/reduction = "add"/reduction = "max"/' %s | not ahm-opt -onnx-to-nn -split-input-file 2>&1 | FileCheck %s --check-prefix=OTHER
// OTHER: NonZero: a size of its output depends on the contents of its inputs

// CHECK-LABEL: func.func @main
// CHECK: %[[TERMS:.*]] = nn.select %{{.*}}, %{{.*}}, %{{.*}} : tensor<6x1xi1>, tensor<6x4xf32>, tensor<f32> -> tensor<6x4xf32>
// CHECK: nn.scatter "add" %{{.*}}[%{{.*}}] = %[[TERMS]] : tensor<6x4xf32>, tensor<6xi32>, tensor<6x4xf32> -> tensor<6x4xf32>
func.func @graph(%x: tensor<6x4xf32> {onnx.name = "x", onnx.dims = [6, 4]}, %set: tensor<6xi1> {onnx.name = "set", onnx.dims = [6]},
    %sum: tensor<6x4xf32> {onnx.name = "sum", onnx.dims = [6, 4]}) -> (tensor<6x4xf32> {onnx.name = "y", onnx.dims = [6, 4]})
    attributes {onnx.opset = 17 : i64} {
  %list = onnx.NonZero(%set) : (tensor<6xi1>) -> tensor<*xi64>
  %places = onnx.Transpose(%list) {perm = array<i64: 1, 0>} : (tensor<*xi64>) -> tensor<*xi64>
  %axis = onnx.Constant dense<1> : tensor<1xi64> : tensor<1xi64>
  %rows = onnx.Squeeze(%places, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %own = onnx.Gather(%x, %rows) {axis = 0 : i64} : (tensor<6x4xf32>, tensor<*xi64>) -> tensor<*xf32>
  %twice = onnx.Add(%own, %own) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %y = onnx.ScatterND(%sum, %places, %twice) {reduction = "add"} : (tensor<6x4xf32>, tensor<*xi64>, tensor<*xf32>) -> tensor<6x4xf32>
  return %y : tensor<6x4xf32>
}
