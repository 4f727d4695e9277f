// Rotary embedding written on halves, with tables of R/2 columns: half split and interleaved, tokens behind and ahead of the heads, all of a row
// and its beginning.
// RUN: ahm-opt %s -split-input-file -nn-recognize | FileCheck %s

// Halves behind each other; the operands of products and sums stand in any order.
// CHECK-LABEL: func.func @main
// CHECK: %[[R:.*]] = nn.rotary %arg0, %arg1, %arg2 interleaved false : tensor<1x2x6x8xf32>
// CHECK-NEXT: return %[[R]]
func.func @main(%x: tensor<1x2x6x8xf32> {onnx.name = "x"}, %c: tensor<6x4xf32> {onnx.name = "c"}, %s: tensor<6x4xf32> {onnx.name = "s"}) -> (tensor<1x2x6x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %a = nn.slice %x starts affine_map<() -> (0, 0, 0, 0)> steps [1, 1, 1, 1] : tensor<1x2x6x8xf32> -> tensor<1x2x6x4xf32>
  %b = nn.slice %x starts affine_map<() -> (0, 0, 0, 4)> steps [1, 1, 1, 1] : tensor<1x2x6x8xf32> -> tensor<1x2x6x4xf32>
  %ac = nn.binary "mul" %c, %a : tensor<6x4xf32>, tensor<1x2x6x4xf32> -> tensor<1x2x6x4xf32>
  %bs = nn.binary "mul" %s, %b : tensor<6x4xf32>, tensor<1x2x6x4xf32> -> tensor<1x2x6x4xf32>
  %low = nn.binary "sub" %ac, %bs : tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32> -> tensor<1x2x6x4xf32>
  %as = nn.binary "mul" %a, %s : tensor<1x2x6x4xf32>, tensor<6x4xf32> -> tensor<1x2x6x4xf32>
  %bc = nn.binary "mul" %b, %c : tensor<1x2x6x4xf32>, tensor<6x4xf32> -> tensor<1x2x6x4xf32>
  %high = nn.binary "add" %as, %bc : tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32> -> tensor<1x2x6x4xf32>
  %y = nn.concat axis 3 %low, %high : (tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>) -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}

// -----

// Pairs of a reshape, picked by an index; tokens ahead of the heads: turned between two transposes.
// CHECK-LABEL: func.func @main
// CHECK: %[[T:.*]] = nn.transpose %arg0 perm [0, 2, 1, 3] : tensor<1x6x2x8xf32> -> tensor<1x2x6x8xf32>
// CHECK: %[[R:.*]] = nn.rotary %[[T]], %{{.*}}, %{{.*}} interleaved true : tensor<1x2x6x8xf32>, tensor<6x4xf32>, tensor<6x4xf32>
// CHECK: nn.transpose %[[R]] perm [0, 2, 1, 3]
func.func @main(%x: tensor<1x6x2x8xf32> {onnx.name = "x"}, %c: tensor<1x6x1x4xf32> {onnx.name = "c"}, %s: tensor<1x6x1x4xf32> {onnx.name = "s"}) -> (tensor<1x6x2x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %pairs = nn.reshape %x : tensor<1x6x2x8xf32> -> tensor<1x6x2x4x2xf32>
  %zero = nn.constant dense<0> : tensor<i32> : tensor<i32>
  %one = nn.constant dense<1> : tensor<i32> : tensor<i32>
  %a = nn.gather %pairs[%zero] axis 4 : tensor<1x6x2x4x2xf32>, tensor<i32> -> tensor<1x6x2x4xf32>
  %b = nn.gather %pairs[%one] axis 4 : tensor<1x6x2x4x2xf32>, tensor<i32> -> tensor<1x6x2x4xf32>
  %ac = nn.binary "mul" %a, %c : tensor<1x6x2x4xf32>, tensor<1x6x1x4xf32> -> tensor<1x6x2x4xf32>
  %bs = nn.binary "mul" %b, %s : tensor<1x6x2x4xf32>, tensor<1x6x1x4xf32> -> tensor<1x6x2x4xf32>
  %low = nn.binary "sub" %ac, %bs : tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32> -> tensor<1x6x2x4xf32>
  %bc = nn.binary "mul" %b, %c : tensor<1x6x2x4xf32>, tensor<1x6x1x4xf32> -> tensor<1x6x2x4xf32>
  %as = nn.binary "mul" %a, %s : tensor<1x6x2x4xf32>, tensor<1x6x1x4xf32> -> tensor<1x6x2x4xf32>
  %high = nn.binary "add" %bc, %as : tensor<1x6x2x4xf32>, tensor<1x6x2x4xf32> -> tensor<1x6x2x4xf32>
  %low1 = nn.reshape %low : tensor<1x6x2x4xf32> -> tensor<1x6x2x4x1xf32>
  %high1 = nn.reshape %high : tensor<1x6x2x4xf32> -> tensor<1x6x2x4x1xf32>
  %both = nn.concat axis 4 %low1, %high1 : (tensor<1x6x2x4x1xf32>, tensor<1x6x2x4x1xf32>) -> tensor<1x6x2x4x2xf32>
  %y = nn.reshape %both : tensor<1x6x2x4x2xf32> -> tensor<1x6x2x8xf32>
  return %y : tensor<1x6x2x8xf32>
}

// -----

// The beginning of each row turns, the rest passes, in one concat of three.
// CHECK-LABEL: func.func @main
// CHECK: %[[R:.*]] = nn.rotary %arg0, %arg1, %arg2 interleaved false : tensor<1x2x6x8xf32>, tensor<6x2xf32>
// CHECK-NEXT: return %[[R]]
func.func @main(%x: tensor<1x2x6x8xf32> {onnx.name = "x"}, %c: tensor<6x2xf32> {onnx.name = "c"}, %s: tensor<6x2xf32> {onnx.name = "s"}) -> (tensor<1x2x6x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %a = nn.slice %x starts affine_map<() -> (0, 0, 0, 0)> steps [1, 1, 1, 1] : tensor<1x2x6x8xf32> -> tensor<1x2x6x2xf32>
  %b = nn.slice %x starts affine_map<() -> (0, 0, 0, 2)> steps [1, 1, 1, 1] : tensor<1x2x6x8xf32> -> tensor<1x2x6x2xf32>
  %rest = nn.slice %x starts affine_map<() -> (0, 0, 0, 4)> steps [1, 1, 1, 1] : tensor<1x2x6x8xf32> -> tensor<1x2x6x4xf32>
  %ac = nn.binary "mul" %a, %c : tensor<1x2x6x2xf32>, tensor<6x2xf32> -> tensor<1x2x6x2xf32>
  %bs = nn.binary "mul" %b, %s : tensor<1x2x6x2xf32>, tensor<6x2xf32> -> tensor<1x2x6x2xf32>
  %low = nn.binary "sub" %ac, %bs : tensor<1x2x6x2xf32>, tensor<1x2x6x2xf32> -> tensor<1x2x6x2xf32>
  %bc = nn.binary "mul" %b, %c : tensor<1x2x6x2xf32>, tensor<6x2xf32> -> tensor<1x2x6x2xf32>
  %as = nn.binary "mul" %a, %s : tensor<1x2x6x2xf32>, tensor<6x2xf32> -> tensor<1x2x6x2xf32>
  %high = nn.binary "add" %bc, %as : tensor<1x2x6x2xf32>, tensor<1x2x6x2xf32> -> tensor<1x2x6x2xf32>
  %y = nn.concat axis 3 %low, %high, %rest : (tensor<1x2x6x2xf32>, tensor<1x2x6x2xf32>, tensor<1x2x6x4xf32>) -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}

// -----

// The other direction of turning is no rotary embedding of these tables, and stays as it is.
// CHECK-LABEL: func.func @main
// CHECK-NOT: nn.rotary
func.func @main(%x: tensor<1x2x6x8xf32> {onnx.name = "x"}, %c: tensor<6x4xf32> {onnx.name = "c"}, %s: tensor<6x4xf32> {onnx.name = "s"}) -> (tensor<1x2x6x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %a = nn.slice %x starts affine_map<() -> (0, 0, 0, 0)> steps [1, 1, 1, 1] : tensor<1x2x6x8xf32> -> tensor<1x2x6x4xf32>
  %b = nn.slice %x starts affine_map<() -> (0, 0, 0, 4)> steps [1, 1, 1, 1] : tensor<1x2x6x8xf32> -> tensor<1x2x6x4xf32>
  %ac = nn.binary "mul" %a, %c : tensor<1x2x6x4xf32>, tensor<6x4xf32> -> tensor<1x2x6x4xf32>
  %bs = nn.binary "mul" %b, %s : tensor<1x2x6x4xf32>, tensor<6x4xf32> -> tensor<1x2x6x4xf32>
  %low = nn.binary "add" %ac, %bs : tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32> -> tensor<1x2x6x4xf32>
  %bc = nn.binary "mul" %b, %c : tensor<1x2x6x4xf32>, tensor<6x4xf32> -> tensor<1x2x6x4xf32>
  %as = nn.binary "mul" %a, %s : tensor<1x2x6x4xf32>, tensor<6x4xf32> -> tensor<1x2x6x4xf32>
  %high = nn.binary "sub" %bc, %as : tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32> -> tensor<1x2x6x4xf32>
  %y = nn.concat axis 3 %low, %high : (tensor<1x2x6x4xf32>, tensor<1x2x6x4xf32>) -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}
