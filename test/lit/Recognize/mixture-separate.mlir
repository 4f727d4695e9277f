// Experts that have weights of their own, alike but for these, become products by the chosen experts of a stack.
// RUN: ahm-opt %s -split-input-file -nn-recognize | FileCheck %s

// Each expert computes every token, scaled by what the choices that are it weigh; what else is summed stays.
// CHECK: nn.weight @up0.experts : tensor<3x4x8xf32> from tensor<3x4x8xf32> in "" at 0 size 0 recipe
// CHECK-SAME: "stack", {{.}}file = "w", length = 128 : i64, offset = 0 : i64, recipe = [], type = tensor<4x8xf32>}, {{.}}file = "w", length = 128 : i64, offset = 256 : i64
// CHECK: nn.weight @down0.experts : tensor<3x8x4xf32> {{.*}}"transpose", 1, 0]], type = tensor<4x8xf32>}
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<?x4xf32
// CHECK: %[[W:.*]], %[[IDS:.*]] = nn.topk
// CHECK: nn.expert_linear %[[X]][%[[IDS]]], @up0.experts : tensor<?x4xf32, #{{.*}}>, tensor<?x2xi32, #{{.*}}> -> tensor<?x2x8xf32
// CHECK: nn.gather %{{.*}}[%[[IDS]]] axis 0 : tensor<3x8xf32>
// CHECK: nn.expert_linear %{{.*}}[%[[IDS]]], @down0.experts : tensor<?x2x8xf32, #{{.*}}>, tensor<?x2xi32, #{{.*}}> -> tensor<?x2x4xf32
// CHECK: %[[SUM:.*]] = nn.reduce "sum" %{{.*}} axes [1] keepdims false : tensor<?x2x4xf32
// CHECK: %[[Y:.*]] = nn.binary "add" %[[X]], %[[SUM]]
// CHECK-NEXT: return %[[Y]]
#x = affine_map<()[s0] -> (s0, 4)>
#e = affine_map<()[s0] -> (s0, 3)>
#k = affine_map<()[s0] -> (s0, 2)>
#h = affine_map<()[s0] -> (s0, 8)>
#t1 = affine_map<()[s0] -> (s0, 1)>
nn.weight @up0 : tensor<4x8xf32> from tensor<4x8xf32> in "w" at 0 size 128 recipe []
nn.weight @down0 : tensor<8x4xf32> from tensor<4x8xf32> in "w" at 128 size 128 recipe [["transpose", 1, 0]]
nn.weight @up1 : tensor<4x8xf32> from tensor<4x8xf32> in "w" at 256 size 128 recipe []
nn.weight @down1 : tensor<8x4xf32> from tensor<4x8xf32> in "w" at 384 size 128 recipe [["transpose", 1, 0]]
nn.weight @up2 : tensor<4x8xf32> from tensor<4x8xf32> in "w" at 512 size 128 recipe []
nn.weight @down2 : tensor<8x4xf32> from tensor<4x8xf32> in "w" at 640 size 128 recipe [["transpose", 1, 0]]
func.func @main(%x: tensor<?x4xf32, #x> {onnx.name = "x"}, %scores: tensor<?x3xf32, #e> {onnx.name = "s"}) -> (tensor<?x4xf32, #x> {onnx.name = "y"})
    attributes {nn.values = [{name = "t", min = 1 : i64, max = 16 : i64}]} {
  %w, %ids = nn.topk %scores largest true : tensor<?x3xf32, #e> -> tensor<?x2xf32, #k>, tensor<?x2xi32, #k>
  %n0 = nn.constant dense<0> : tensor<i32> : tensor<i32>
  %same0 = nn.binary "equal" %ids, %n0 : tensor<?x2xi32, #k>, tensor<i32> -> tensor<?x2xi1, #k>
  %m0 = nn.cast %same0 : tensor<?x2xi1, #k> -> tensor<?x2xf32, #k>
  %p0 = nn.binary "mul" %m0, %w : tensor<?x2xf32, #k>, tensor<?x2xf32, #k> -> tensor<?x2xf32, #k>
  %c0 = nn.reduce "sum" %p0 axes [1] keepdims true : tensor<?x2xf32, #k> -> tensor<?x1xf32, #t1>
  %wu0 = nn.get_weight @up0 : tensor<4x8xf32>
  %wd0 = nn.get_weight @down0 : tensor<8x4xf32>
  %u0 = nn.matmul %x, %wu0 : tensor<?x4xf32, #x>, tensor<4x8xf32> -> tensor<?x8xf32, #h>
  %b0 = nn.constant dense<1.0> : tensor<8xf32> : tensor<8xf32>
  %v0 = nn.binary "add" %u0, %b0 : tensor<?x8xf32, #h>, tensor<8xf32> -> tensor<?x8xf32, #h>
  %g0 = nn.unary "relu" %v0 : tensor<?x8xf32, #h> -> tensor<?x8xf32, #h>
  %d0 = nn.matmul %g0, %wd0 : tensor<?x8xf32, #h>, tensor<8x4xf32> -> tensor<?x4xf32, #x>
  %y0 = nn.binary "mul" %d0, %c0 : tensor<?x4xf32, #x>, tensor<?x1xf32, #t1> -> tensor<?x4xf32, #x>
  %s0 = nn.binary "add" %x, %y0 : tensor<?x4xf32, #x>, tensor<?x4xf32, #x> -> tensor<?x4xf32, #x>
  %n1 = nn.constant dense<1> : tensor<i32> : tensor<i32>
  %same1 = nn.binary "equal" %ids, %n1 : tensor<?x2xi32, #k>, tensor<i32> -> tensor<?x2xi1, #k>
  %m1 = nn.cast %same1 : tensor<?x2xi1, #k> -> tensor<?x2xf32, #k>
  %p1 = nn.binary "mul" %m1, %w : tensor<?x2xf32, #k>, tensor<?x2xf32, #k> -> tensor<?x2xf32, #k>
  %c1 = nn.reduce "sum" %p1 axes [1] keepdims true : tensor<?x2xf32, #k> -> tensor<?x1xf32, #t1>
  %wu1 = nn.get_weight @up1 : tensor<4x8xf32>
  %wd1 = nn.get_weight @down1 : tensor<8x4xf32>
  %u1 = nn.matmul %x, %wu1 : tensor<?x4xf32, #x>, tensor<4x8xf32> -> tensor<?x8xf32, #h>
  %b1 = nn.constant dense<2.0> : tensor<8xf32> : tensor<8xf32>
  %v1 = nn.binary "add" %u1, %b1 : tensor<?x8xf32, #h>, tensor<8xf32> -> tensor<?x8xf32, #h>
  %g1 = nn.unary "relu" %v1 : tensor<?x8xf32, #h> -> tensor<?x8xf32, #h>
  %d1 = nn.matmul %g1, %wd1 : tensor<?x8xf32, #h>, tensor<8x4xf32> -> tensor<?x4xf32, #x>
  %y1 = nn.binary "mul" %d1, %c1 : tensor<?x4xf32, #x>, tensor<?x1xf32, #t1> -> tensor<?x4xf32, #x>
  %s1 = nn.binary "add" %s0, %y1 : tensor<?x4xf32, #x>, tensor<?x4xf32, #x> -> tensor<?x4xf32, #x>
  %n2 = nn.constant dense<2> : tensor<i32> : tensor<i32>
  %same2 = nn.binary "equal" %ids, %n2 : tensor<?x2xi32, #k>, tensor<i32> -> tensor<?x2xi1, #k>
  %m2 = nn.cast %same2 : tensor<?x2xi1, #k> -> tensor<?x2xf32, #k>
  %p2 = nn.binary "mul" %m2, %w : tensor<?x2xf32, #k>, tensor<?x2xf32, #k> -> tensor<?x2xf32, #k>
  %c2 = nn.reduce "sum" %p2 axes [1] keepdims true : tensor<?x2xf32, #k> -> tensor<?x1xf32, #t1>
  %wu2 = nn.get_weight @up2 : tensor<4x8xf32>
  %wd2 = nn.get_weight @down2 : tensor<8x4xf32>
  %u2 = nn.matmul %x, %wu2 : tensor<?x4xf32, #x>, tensor<4x8xf32> -> tensor<?x8xf32, #h>
  %b2 = nn.constant dense<3.0> : tensor<8xf32> : tensor<8xf32>
  %v2 = nn.binary "add" %u2, %b2 : tensor<?x8xf32, #h>, tensor<8xf32> -> tensor<?x8xf32, #h>
  %g2 = nn.unary "relu" %v2 : tensor<?x8xf32, #h> -> tensor<?x8xf32, #h>
  %d2 = nn.matmul %g2, %wd2 : tensor<?x8xf32, #h>, tensor<8x4xf32> -> tensor<?x4xf32, #x>
  %y2 = nn.binary "mul" %d2, %c2 : tensor<?x4xf32, #x>, tensor<?x1xf32, #t1> -> tensor<?x4xf32, #x>
  %s2 = nn.binary "add" %s1, %y2 : tensor<?x4xf32, #x>, tensor<?x4xf32, #x> -> tensor<?x4xf32, #x>
  return %s2 : tensor<?x4xf32, #x>
}

// -----

// A branch that is another function than the others: all of them compute.
// CHECK-LABEL: func.func @main
// CHECK-NOT: nn.expert_linear
#x = affine_map<()[s0] -> (s0, 4)>
#e = affine_map<()[s0] -> (s0, 3)>
#k = affine_map<()[s0] -> (s0, 2)>
#h = affine_map<()[s0] -> (s0, 8)>
#t1 = affine_map<()[s0] -> (s0, 1)>
nn.weight @up0 : tensor<4x8xf32> from tensor<4x8xf32> in "w" at 0 size 128 recipe []
nn.weight @down0 : tensor<8x4xf32> from tensor<4x8xf32> in "w" at 128 size 128 recipe [["transpose", 1, 0]]
nn.weight @up1 : tensor<4x8xf32> from tensor<4x8xf32> in "w" at 256 size 128 recipe []
nn.weight @down1 : tensor<8x4xf32> from tensor<4x8xf32> in "w" at 384 size 128 recipe [["transpose", 1, 0]]
nn.weight @up2 : tensor<4x8xf32> from tensor<4x8xf32> in "w" at 512 size 128 recipe []
nn.weight @down2 : tensor<8x4xf32> from tensor<4x8xf32> in "w" at 640 size 128 recipe [["transpose", 1, 0]]
func.func @main(%x: tensor<?x4xf32, #x> {onnx.name = "x"}, %scores: tensor<?x3xf32, #e> {onnx.name = "s"}) -> (tensor<?x4xf32, #x> {onnx.name = "y"})
    attributes {nn.values = [{name = "t", min = 1 : i64, max = 16 : i64}]} {
  %w, %ids = nn.topk %scores largest true : tensor<?x3xf32, #e> -> tensor<?x2xf32, #k>, tensor<?x2xi32, #k>
  %n0 = nn.constant dense<0> : tensor<i32> : tensor<i32>
  %same0 = nn.binary "equal" %ids, %n0 : tensor<?x2xi32, #k>, tensor<i32> -> tensor<?x2xi1, #k>
  %m0 = nn.cast %same0 : tensor<?x2xi1, #k> -> tensor<?x2xf32, #k>
  %p0 = nn.binary "mul" %m0, %w : tensor<?x2xf32, #k>, tensor<?x2xf32, #k> -> tensor<?x2xf32, #k>
  %c0 = nn.reduce "sum" %p0 axes [1] keepdims true : tensor<?x2xf32, #k> -> tensor<?x1xf32, #t1>
  %wu0 = nn.get_weight @up0 : tensor<4x8xf32>
  %wd0 = nn.get_weight @down0 : tensor<8x4xf32>
  %u0 = nn.matmul %x, %wu0 : tensor<?x4xf32, #x>, tensor<4x8xf32> -> tensor<?x8xf32, #h>
  %b0 = nn.constant dense<1.0> : tensor<8xf32> : tensor<8xf32>
  %v0 = nn.binary "add" %u0, %b0 : tensor<?x8xf32, #h>, tensor<8xf32> -> tensor<?x8xf32, #h>
  %g0 = nn.unary "relu" %v0 : tensor<?x8xf32, #h> -> tensor<?x8xf32, #h>
  %d0 = nn.matmul %g0, %wd0 : tensor<?x8xf32, #h>, tensor<8x4xf32> -> tensor<?x4xf32, #x>
  %y0 = nn.binary "mul" %d0, %c0 : tensor<?x4xf32, #x>, tensor<?x1xf32, #t1> -> tensor<?x4xf32, #x>
  %s0 = nn.binary "add" %x, %y0 : tensor<?x4xf32, #x>, tensor<?x4xf32, #x> -> tensor<?x4xf32, #x>
  %n1 = nn.constant dense<1> : tensor<i32> : tensor<i32>
  %same1 = nn.binary "equal" %ids, %n1 : tensor<?x2xi32, #k>, tensor<i32> -> tensor<?x2xi1, #k>
  %m1 = nn.cast %same1 : tensor<?x2xi1, #k> -> tensor<?x2xf32, #k>
  %p1 = nn.binary "mul" %m1, %w : tensor<?x2xf32, #k>, tensor<?x2xf32, #k> -> tensor<?x2xf32, #k>
  %c1 = nn.reduce "sum" %p1 axes [1] keepdims true : tensor<?x2xf32, #k> -> tensor<?x1xf32, #t1>
  %wu1 = nn.get_weight @up1 : tensor<4x8xf32>
  %wd1 = nn.get_weight @down1 : tensor<8x4xf32>
  %u1 = nn.matmul %x, %wu1 : tensor<?x4xf32, #x>, tensor<4x8xf32> -> tensor<?x8xf32, #h>
  %b1 = nn.constant dense<2.0> : tensor<8xf32> : tensor<8xf32>
  %v1 = nn.binary "add" %u1, %b1 : tensor<?x8xf32, #h>, tensor<8xf32> -> tensor<?x8xf32, #h>
  %g1 = nn.unary "tanh" %v1 : tensor<?x8xf32, #h> -> tensor<?x8xf32, #h>
  %d1 = nn.matmul %g1, %wd1 : tensor<?x8xf32, #h>, tensor<8x4xf32> -> tensor<?x4xf32, #x>
  %y1 = nn.binary "mul" %d1, %c1 : tensor<?x4xf32, #x>, tensor<?x1xf32, #t1> -> tensor<?x4xf32, #x>
  %s1 = nn.binary "add" %s0, %y1 : tensor<?x4xf32, #x>, tensor<?x4xf32, #x> -> tensor<?x4xf32, #x>
  %n2 = nn.constant dense<2> : tensor<i32> : tensor<i32>
  %same2 = nn.binary "equal" %ids, %n2 : tensor<?x2xi32, #k>, tensor<i32> -> tensor<?x2xi1, #k>
  %m2 = nn.cast %same2 : tensor<?x2xi1, #k> -> tensor<?x2xf32, #k>
  %p2 = nn.binary "mul" %m2, %w : tensor<?x2xf32, #k>, tensor<?x2xf32, #k> -> tensor<?x2xf32, #k>
  %c2 = nn.reduce "sum" %p2 axes [1] keepdims true : tensor<?x2xf32, #k> -> tensor<?x1xf32, #t1>
  %wu2 = nn.get_weight @up2 : tensor<4x8xf32>
  %wd2 = nn.get_weight @down2 : tensor<8x4xf32>
  %u2 = nn.matmul %x, %wu2 : tensor<?x4xf32, #x>, tensor<4x8xf32> -> tensor<?x8xf32, #h>
  %b2 = nn.constant dense<3.0> : tensor<8xf32> : tensor<8xf32>
  %v2 = nn.binary "add" %u2, %b2 : tensor<?x8xf32, #h>, tensor<8xf32> -> tensor<?x8xf32, #h>
  %g2 = nn.unary "relu" %v2 : tensor<?x8xf32, #h> -> tensor<?x8xf32, #h>
  %d2 = nn.matmul %g2, %wd2 : tensor<?x8xf32, #h>, tensor<8x4xf32> -> tensor<?x4xf32, #x>
  %y2 = nn.binary "mul" %d2, %c2 : tensor<?x4xf32, #x>, tensor<?x1xf32, #t1> -> tensor<?x4xf32, #x>
  %s2 = nn.binary "add" %s1, %y2 : tensor<?x4xf32, #x>, tensor<?x4xf32, #x> -> tensor<?x4xf32, #x>
  return %s2 : tensor<?x4xf32, #x>
}

// -----

// A branch counts twice, and one is missing.
// CHECK-LABEL: func.func @main
// CHECK-NOT: nn.expert_linear
#x = affine_map<()[s0] -> (s0, 4)>
#e = affine_map<()[s0] -> (s0, 3)>
#k = affine_map<()[s0] -> (s0, 2)>
#h = affine_map<()[s0] -> (s0, 8)>
#t1 = affine_map<()[s0] -> (s0, 1)>
nn.weight @up0 : tensor<4x8xf32> from tensor<4x8xf32> in "w" at 0 size 128 recipe []
nn.weight @down0 : tensor<8x4xf32> from tensor<4x8xf32> in "w" at 128 size 128 recipe [["transpose", 1, 0]]
nn.weight @up1 : tensor<4x8xf32> from tensor<4x8xf32> in "w" at 256 size 128 recipe []
nn.weight @down1 : tensor<8x4xf32> from tensor<4x8xf32> in "w" at 384 size 128 recipe [["transpose", 1, 0]]
nn.weight @up2 : tensor<4x8xf32> from tensor<4x8xf32> in "w" at 512 size 128 recipe []
nn.weight @down2 : tensor<8x4xf32> from tensor<4x8xf32> in "w" at 640 size 128 recipe [["transpose", 1, 0]]
func.func @main(%x: tensor<?x4xf32, #x> {onnx.name = "x"}, %scores: tensor<?x3xf32, #e> {onnx.name = "s"}) -> (tensor<?x4xf32, #x> {onnx.name = "y"})
    attributes {nn.values = [{name = "t", min = 1 : i64, max = 16 : i64}]} {
  %w, %ids = nn.topk %scores largest true : tensor<?x3xf32, #e> -> tensor<?x2xf32, #k>, tensor<?x2xi32, #k>
  %n0 = nn.constant dense<0> : tensor<i32> : tensor<i32>
  %same0 = nn.binary "equal" %ids, %n0 : tensor<?x2xi32, #k>, tensor<i32> -> tensor<?x2xi1, #k>
  %m0 = nn.cast %same0 : tensor<?x2xi1, #k> -> tensor<?x2xf32, #k>
  %p0 = nn.binary "mul" %m0, %w : tensor<?x2xf32, #k>, tensor<?x2xf32, #k> -> tensor<?x2xf32, #k>
  %c0 = nn.reduce "sum" %p0 axes [1] keepdims true : tensor<?x2xf32, #k> -> tensor<?x1xf32, #t1>
  %wu0 = nn.get_weight @up0 : tensor<4x8xf32>
  %wd0 = nn.get_weight @down0 : tensor<8x4xf32>
  %u0 = nn.matmul %x, %wu0 : tensor<?x4xf32, #x>, tensor<4x8xf32> -> tensor<?x8xf32, #h>
  %b0 = nn.constant dense<1.0> : tensor<8xf32> : tensor<8xf32>
  %v0 = nn.binary "add" %u0, %b0 : tensor<?x8xf32, #h>, tensor<8xf32> -> tensor<?x8xf32, #h>
  %g0 = nn.unary "relu" %v0 : tensor<?x8xf32, #h> -> tensor<?x8xf32, #h>
  %d0 = nn.matmul %g0, %wd0 : tensor<?x8xf32, #h>, tensor<8x4xf32> -> tensor<?x4xf32, #x>
  %y0 = nn.binary "mul" %d0, %c0 : tensor<?x4xf32, #x>, tensor<?x1xf32, #t1> -> tensor<?x4xf32, #x>
  %s0 = nn.binary "add" %x, %y0 : tensor<?x4xf32, #x>, tensor<?x4xf32, #x> -> tensor<?x4xf32, #x>
  %n1 = nn.constant dense<1> : tensor<i32> : tensor<i32>
  %same1 = nn.binary "equal" %ids, %n1 : tensor<?x2xi32, #k>, tensor<i32> -> tensor<?x2xi1, #k>
  %m1 = nn.cast %same1 : tensor<?x2xi1, #k> -> tensor<?x2xf32, #k>
  %p1 = nn.binary "mul" %m1, %w : tensor<?x2xf32, #k>, tensor<?x2xf32, #k> -> tensor<?x2xf32, #k>
  %c1 = nn.reduce "sum" %p1 axes [1] keepdims true : tensor<?x2xf32, #k> -> tensor<?x1xf32, #t1>
  %wu1 = nn.get_weight @up1 : tensor<4x8xf32>
  %wd1 = nn.get_weight @down1 : tensor<8x4xf32>
  %u1 = nn.matmul %x, %wu1 : tensor<?x4xf32, #x>, tensor<4x8xf32> -> tensor<?x8xf32, #h>
  %b1 = nn.constant dense<2.0> : tensor<8xf32> : tensor<8xf32>
  %v1 = nn.binary "add" %u1, %b1 : tensor<?x8xf32, #h>, tensor<8xf32> -> tensor<?x8xf32, #h>
  %g1 = nn.unary "relu" %v1 : tensor<?x8xf32, #h> -> tensor<?x8xf32, #h>
  %d1 = nn.matmul %g1, %wd1 : tensor<?x8xf32, #h>, tensor<8x4xf32> -> tensor<?x4xf32, #x>
  %y1 = nn.binary "mul" %d1, %c1 : tensor<?x4xf32, #x>, tensor<?x1xf32, #t1> -> tensor<?x4xf32, #x>
  %s1 = nn.binary "add" %s0, %y1 : tensor<?x4xf32, #x>, tensor<?x4xf32, #x> -> tensor<?x4xf32, #x>
  %n2 = nn.constant dense<1> : tensor<i32> : tensor<i32>
  %same2 = nn.binary "equal" %ids, %n2 : tensor<?x2xi32, #k>, tensor<i32> -> tensor<?x2xi1, #k>
  %m2 = nn.cast %same2 : tensor<?x2xi1, #k> -> tensor<?x2xf32, #k>
  %p2 = nn.binary "mul" %m2, %w : tensor<?x2xf32, #k>, tensor<?x2xf32, #k> -> tensor<?x2xf32, #k>
  %c2 = nn.reduce "sum" %p2 axes [1] keepdims true : tensor<?x2xf32, #k> -> tensor<?x1xf32, #t1>
  %wu2 = nn.get_weight @up2 : tensor<4x8xf32>
  %wd2 = nn.get_weight @down2 : tensor<8x4xf32>
  %u2 = nn.matmul %x, %wu2 : tensor<?x4xf32, #x>, tensor<4x8xf32> -> tensor<?x8xf32, #h>
  %b2 = nn.constant dense<3.0> : tensor<8xf32> : tensor<8xf32>
  %v2 = nn.binary "add" %u2, %b2 : tensor<?x8xf32, #h>, tensor<8xf32> -> tensor<?x8xf32, #h>
  %g2 = nn.unary "relu" %v2 : tensor<?x8xf32, #h> -> tensor<?x8xf32, #h>
  %d2 = nn.matmul %g2, %wd2 : tensor<?x8xf32, #h>, tensor<8x4xf32> -> tensor<?x4xf32, #x>
  %y2 = nn.binary "mul" %d2, %c2 : tensor<?x4xf32, #x>, tensor<?x1xf32, #t1> -> tensor<?x4xf32, #x>
  %s2 = nn.binary "add" %s1, %y2 : tensor<?x4xf32, #x>, tensor<?x4xf32, #x> -> tensor<?x4xf32, #x>
  return %s2 : tensor<?x4xf32, #x>
}
