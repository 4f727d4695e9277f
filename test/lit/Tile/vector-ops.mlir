// Vector operations one to one; run-time numbers are written one by one into their tensor; constants become weights.
// RUN: ahm-opt %s -hmem-tile | FileCheck %s

#n = affine_map<()[s0] -> (s0)>
#x = affine_map<()[s0] -> (1, 8, s0)>
#y = affine_map<()[s0] -> (1, 4, s0 floordiv 2)>
module {
  nn.weight @conv : tensor<4x8x3xf32> from tensor<4x8x3xf32> in "" at 0 size 384 recipe []
  func.func @main(%x: tensor<1x8x?xf32, #x>) -> (tensor<1x4x?xf32, #y>, tensor<?xi32, #n>, tensor<2xi32>)
      attributes {nn.values = [{name = "samples", min = 2 : i64, max = 64 : i64}]} {
    %c = nn.constant dense<[[[1.0], [2.0], [3.0], [4.0]]]> : tensor<1x4x1xf32> : tensor<1x4x1xf32>
    %y = nn.conv1d %x, @conv kernel 3 stride 2 dilation 1 pads 1 0 : tensor<1x8x?xf32, #x> -> tensor<1x4x?xf32, #y>
    %g = nn.group_norm %y groups 1 epsilon 1.0e-5 : tensor<1x4x?xf32, #y> -> tensor<1x4x?xf32, #y>
    %u = nn.unary "gelu_erf" %g : tensor<1x4x?xf32, #y> -> tensor<1x4x?xf32, #y>
    %b = nn.binary "mul" %u, %c : tensor<1x4x?xf32, #y>, tensor<1x4x1xf32> -> tensor<1x4x?xf32, #y>
    %dead = nn.unary "neg" %b : tensor<1x4x?xf32, #y> -> tensor<1x4x?xf32, #y>
    %i = nn.iota affine_map<()[s0] -> (3)> step 1 : tensor<?xi32, #n>
    %r = nn.runtime affine_map<()[s0] -> (s0, s0 floordiv 2)> : tensor<2xi32>
    return %b, %i, %r : tensor<1x4x?xf32, #y>, tensor<?xi32, #n>, tensor<2xi32>
  }
}
// CHECK: hmem.weight @conv "tiles" : tensor<24x4xf32> from tensor<4x8x3xf32>{{.*}}recipe {{\[\[}}"reshape", 4, 24], ["transpose", 1, 0]] format "mxint16"
// CHECK: hmem.weight @constant0 "vector"{{.*}}value = dense<
// CHECK: "Conv1dMx"{{.*}}ints = array<i64: 3, 2, 1, 1, 0, 1>
// CHECK: "GroupNorm"{{.*}}ints = array<i64: 1>
// CHECK: "Unary"{{.*}}ints = array<i64: 17>
// CHECK: "Binary"{{.*}}@constant0{{.*}}ints = array<i64: 2>
// CHECK-NOT: "Unary"
// CHECK: "Iota"{{.*}}ints = array<i64: 1>
// CHECK: "Iota"{{.*}}"i32", 0 : i64, #{{[a-z0-9]+}}>]{{.*}}ints = array<i64: 0>
// CHECK-NEXT: "Iota"{{.*}}"i32", 0 : i64, #{{[a-z0-9]+}}, #{{[a-z0-9]+}}>]{{.*}}ints = array<i64: 0>
