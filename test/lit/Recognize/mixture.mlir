// Experts that all compute every token, summed by routing weights of a top-k, become products by the chosen experts.
// RUN: ahm-opt %s -split-input-file -nn-recognize | FileCheck %s

// Routing weights scattered to the chosen experts; an index of a top-k is never negative.
// CHECK-LABEL: func.func @main
// CHECK: %[[W:.*]], %[[IDS:.*]] = nn.topk
// CHECK-NOT: nn.scatter
// CHECK: nn.expert_linear %{{.*}}[%[[IDS]]], @up : tensor<?x8xf32, #{{.*}}>, tensor<?x2xi32, #{{.*}}> -> tensor<?x2x16xf32
// CHECK: nn.gather %{{.*}}[%[[IDS]]] axis 0 : tensor<4x16xf32>
// CHECK: nn.expert_linear %{{.*}}[%[[IDS]]], @down : tensor<?x2x16xf32, #{{.*}}>, tensor<?x2xi32, #{{.*}}> -> tensor<?x2x8xf32
// CHECK: nn.reduce "sum" %{{.*}} axes [1] keepdims false : tensor<?x2x8xf32
// CHECK-NOT: nn.matmul
#x = affine_map<()[s0] -> (s0, 8)>
#x1 = affine_map<()[s0] -> (1, s0, 8)>
#e = affine_map<()[s0] -> (s0, 4)>
#et = affine_map<()[s0] -> (4, s0)>
#e1 = affine_map<()[s0] -> (4, s0, 1)>
#k = affine_map<()[s0] -> (s0, 2)>
#k1 = affine_map<()[s0] -> (s0, 2, 1)>
#hot = affine_map<()[s0] -> (s0, 2, 4)>
#h = affine_map<()[s0] -> (4, s0, 16)>
#y = affine_map<()[s0] -> (4, s0, 8)>
#t = affine_map<()[s0] -> (s0)>
#t1 = affine_map<()[s0] -> (s0, 1)>
#te = affine_map<()[s0] -> (s0 * 4, 1)>
#tk = affine_map<()[s0] -> (s0 * 2)>
#tk1 = affine_map<()[s0] -> (s0 * 2, 1)>
nn.weight @up : tensor<4x8x16xf32> from tensor<4x8x16xf32> in "w" at 0 size 2048 recipe []
nn.weight @bias : tensor<4x16xf32> from tensor<4x16xf32> in "w" at 2048 size 256 recipe []
nn.weight @down : tensor<4x16x8xf32> from tensor<4x16x8xf32> in "w" at 4096 size 2048 recipe []
func.func @main(%x: tensor<?x8xf32, #x> {onnx.name = "x"}, %scores: tensor<?x4xf32, #e> {onnx.name = "s"}) -> (tensor<?x8xf32, #x> {onnx.name = "y"})
    attributes {nn.values = [{name = "t", min = 1 : i64, max = 16 : i64}]} {
  %values, %ids = nn.topk %scores largest true : tensor<?x4xf32, #e> -> tensor<?x2xf32, #k>, tensor<?x2xi32, #k>
  %zero = nn.constant dense<0.0> : tensor<f32> : tensor<f32>
  %none = nn.broadcast %zero : tensor<f32> -> tensor<?x1xf32, #te>
  %first = nn.constant dense<0> : tensor<i32> : tensor<i32>
  %below = nn.binary "less" %ids, %first : tensor<?x2xi32, #k>, tensor<i32> -> tensor<?x2xi1, #k>
  %four = nn.constant dense<4> : tensor<i32> : tensor<i32>
  %wrapped = nn.binary "add" %ids, %four : tensor<?x2xi32, #k>, tensor<i32> -> tensor<?x2xi32, #k>
  %own = nn.select %below, %wrapped, %ids : tensor<?x2xi1, #k>, tensor<?x2xi32, #k>, tensor<?x2xi32, #k> -> tensor<?x2xi32, #k>
  %row = nn.iota affine_map<()[s0] -> (0)> step 1 : tensor<?xi32, #t>
  %column = nn.reshape %row : tensor<?xi32, #t> -> tensor<?x1xi32, #t1>
  %start = nn.binary "mul" %column, %four : tensor<?x1xi32, #t1>, tensor<i32> -> tensor<?x1xi32, #t1>
  %at = nn.binary "add" %own, %start : tensor<?x2xi32, #k>, tensor<?x1xi32, #t1> -> tensor<?x2xi32, #k>
  %list = nn.reshape %at : tensor<?x2xi32, #k> -> tensor<?xi32, #tk>
  %each = nn.reshape %values : tensor<?x2xf32, #k> -> tensor<?x1xf32, #tk1>
  %put = nn.scatter "set" %none[%list] = %each : tensor<?x1xf32, #te>, tensor<?xi32, #tk>, tensor<?x1xf32, #tk1> -> tensor<?x1xf32, #te>
  %routing = nn.reshape %put : tensor<?x1xf32, #te> -> tensor<?x4xf32, #e>
  %w1 = nn.get_weight @up : tensor<4x8x16xf32>
  %b1 = nn.get_weight @bias : tensor<4x16xf32>
  %w2 = nn.get_weight @down : tensor<4x16x8xf32>
  %one = nn.reshape %x : tensor<?x8xf32, #x> -> tensor<1x?x8xf32, #x1>
  %p = nn.matmul %one, %w1 : tensor<1x?x8xf32, #x1>, tensor<4x8x16xf32> -> tensor<4x?x16xf32, #h>
  %b = nn.reshape %b1 : tensor<4x16xf32> -> tensor<4x1x16xf32>
  %q = nn.binary "add" %p, %b : tensor<4x?x16xf32, #h>, tensor<4x1x16xf32> -> tensor<4x?x16xf32, #h>
  %g = nn.unary "silu" %q : tensor<4x?x16xf32, #h> -> tensor<4x?x16xf32, #h>
  %z = nn.matmul %g, %w2 : tensor<4x?x16xf32, #h>, tensor<4x16x8xf32> -> tensor<4x?x8xf32, #y>
  %t = nn.transpose %routing perm [1, 0] : tensor<?x4xf32, #e> -> tensor<4x?xf32, #et>
  %c = nn.reshape %t : tensor<4x?xf32, #et> -> tensor<4x?x1xf32, #e1>
  %m = nn.binary "mul" %z, %c : tensor<4x?x8xf32, #y>, tensor<4x?x1xf32, #e1> -> tensor<4x?x8xf32, #y>
  %r = nn.reduce "sum" %m axes [0] keepdims false : tensor<4x?x8xf32, #y> -> tensor<?x8xf32, #x>
  return %r : tensor<?x8xf32, #x>
}

// -----

// Routing weights of one-hot rows, divided by their sum over all experts: by the sum over the chosen ones.
// CHECK-LABEL: func.func @main
// CHECK: %[[W:.*]], %[[IDS:.*]] = nn.topk
// CHECK-NOT: nn.scatter
// CHECK: nn.expert_linear %{{.*}}[%[[IDS]]], @up : tensor<?x8xf32, #{{.*}}>, tensor<?x2xi32, #{{.*}}> -> tensor<?x2x16xf32
// CHECK: nn.gather %{{.*}}[%[[IDS]]] axis 0 : tensor<4x16xf32>
// CHECK: nn.expert_linear %{{.*}}[%[[IDS]]], @down : tensor<?x2x16xf32, #{{.*}}>, tensor<?x2xi32, #{{.*}}> -> tensor<?x2x8xf32
// CHECK: nn.reduce "sum" %{{.*}} axes [1] keepdims false : tensor<?x2x8xf32
// CHECK-NOT: nn.matmul
#x = affine_map<()[s0] -> (s0, 8)>
#x1 = affine_map<()[s0] -> (1, s0, 8)>
#e = affine_map<()[s0] -> (s0, 4)>
#et = affine_map<()[s0] -> (4, s0)>
#e1 = affine_map<()[s0] -> (4, s0, 1)>
#k = affine_map<()[s0] -> (s0, 2)>
#k1 = affine_map<()[s0] -> (s0, 2, 1)>
#hot = affine_map<()[s0] -> (s0, 2, 4)>
#h = affine_map<()[s0] -> (4, s0, 16)>
#y = affine_map<()[s0] -> (4, s0, 8)>
#t = affine_map<()[s0] -> (s0)>
#t1 = affine_map<()[s0] -> (s0, 1)>
#te = affine_map<()[s0] -> (s0 * 4, 1)>
#tk = affine_map<()[s0] -> (s0 * 2)>
#tk1 = affine_map<()[s0] -> (s0 * 2, 1)>
nn.weight @up : tensor<4x8x16xf32> from tensor<4x8x16xf32> in "w" at 0 size 2048 recipe []
nn.weight @bias : tensor<4x16xf32> from tensor<4x16xf32> in "w" at 2048 size 256 recipe []
nn.weight @down : tensor<4x16x8xf32> from tensor<4x16x8xf32> in "w" at 4096 size 2048 recipe []
func.func @main(%x: tensor<?x8xf32, #x> {onnx.name = "x"}, %scores: tensor<?x4xf32, #e> {onnx.name = "s"}) -> (tensor<?x8xf32, #x> {onnx.name = "y"})
    attributes {nn.values = [{name = "t", min = 1 : i64, max = 16 : i64}]} {
  %values, %ids = nn.topk %scores largest true : tensor<?x4xf32, #e> -> tensor<?x2xf32, #k>, tensor<?x2xi32, #k>
  %index = nn.iota affine_map<()[s0] -> (0)> step 1 : tensor<4xi32>
  %all = nn.reshape %index : tensor<4xi32> -> tensor<1x1x4xi32>
  %mine = nn.reshape %ids : tensor<?x2xi32, #k> -> tensor<?x2x1xi32, #k1>
  %same = nn.binary "equal" %mine, %all : tensor<?x2x1xi32, #k1>, tensor<1x1x4xi32> -> tensor<?x2x4xi1, #hot>
  %hot = nn.cast %same : tensor<?x2x4xi1, #hot> -> tensor<?x2x4xf32, #hot>
  %v = nn.reshape %values : tensor<?x2xf32, #k> -> tensor<?x2x1xf32, #k1>
  %vh = nn.binary "mul" %hot, %v : tensor<?x2x4xf32, #hot>, tensor<?x2x1xf32, #k1> -> tensor<?x2x4xf32, #hot>
  %raw = nn.reduce "sum" %vh axes [1] keepdims false : tensor<?x2x4xf32, #hot> -> tensor<?x4xf32, #e>
  %total = nn.reduce "sum" %raw axes [1] keepdims true : tensor<?x4xf32, #e> -> tensor<?x1xf32, #t1>
  %routing = nn.binary "div" %raw, %total : tensor<?x4xf32, #e>, tensor<?x1xf32, #t1> -> tensor<?x4xf32, #e>
  %w1 = nn.get_weight @up : tensor<4x8x16xf32>
  %b1 = nn.get_weight @bias : tensor<4x16xf32>
  %w2 = nn.get_weight @down : tensor<4x16x8xf32>
  %one = nn.reshape %x : tensor<?x8xf32, #x> -> tensor<1x?x8xf32, #x1>
  %p = nn.matmul %one, %w1 : tensor<1x?x8xf32, #x1>, tensor<4x8x16xf32> -> tensor<4x?x16xf32, #h>
  %b = nn.reshape %b1 : tensor<4x16xf32> -> tensor<4x1x16xf32>
  %q = nn.binary "add" %p, %b : tensor<4x?x16xf32, #h>, tensor<4x1x16xf32> -> tensor<4x?x16xf32, #h>
  %g = nn.unary "silu" %q : tensor<4x?x16xf32, #h> -> tensor<4x?x16xf32, #h>
  %z = nn.matmul %g, %w2 : tensor<4x?x16xf32, #h>, tensor<4x16x8xf32> -> tensor<4x?x8xf32, #y>
  %t = nn.transpose %routing perm [1, 0] : tensor<?x4xf32, #e> -> tensor<4x?xf32, #et>
  %c = nn.reshape %t : tensor<4x?xf32, #et> -> tensor<4x?x1xf32, #e1>
  %m = nn.binary "mul" %z, %c : tensor<4x?x8xf32, #y>, tensor<4x?x1xf32, #e1> -> tensor<4x?x8xf32, #y>
  %r = nn.reduce "sum" %m axes [0] keepdims false : tensor<4x?x8xf32, #y> -> tensor<?x8xf32, #x>
  return %r : tensor<?x8xf32, #x>
}

// -----

// Without a choice every expert counts: each stands in tiles and is taken by every token.
// CHECK-LABEL: func.func @main
// CHECK: nn.expert_linear %{{.*}}, @up : tensor<?x8xf32, #{{.*}}>, tensor<?x4xi32, #{{.*}}> -> tensor<?x4x16xf32
#x = affine_map<()[s0] -> (s0, 8)>
#x1 = affine_map<()[s0] -> (1, s0, 8)>
#e = affine_map<()[s0] -> (s0, 4)>
#et = affine_map<()[s0] -> (4, s0)>
#e1 = affine_map<()[s0] -> (4, s0, 1)>
#k = affine_map<()[s0] -> (s0, 2)>
#k1 = affine_map<()[s0] -> (s0, 2, 1)>
#hot = affine_map<()[s0] -> (s0, 2, 4)>
#h = affine_map<()[s0] -> (4, s0, 16)>
#y = affine_map<()[s0] -> (4, s0, 8)>
#t = affine_map<()[s0] -> (s0)>
#t1 = affine_map<()[s0] -> (s0, 1)>
#te = affine_map<()[s0] -> (s0 * 4, 1)>
#tk = affine_map<()[s0] -> (s0 * 2)>
#tk1 = affine_map<()[s0] -> (s0 * 2, 1)>
nn.weight @up : tensor<4x8x16xf32> from tensor<4x8x16xf32> in "w" at 0 size 2048 recipe []
nn.weight @bias : tensor<4x16xf32> from tensor<4x16xf32> in "w" at 2048 size 256 recipe []
nn.weight @down : tensor<4x16x8xf32> from tensor<4x16x8xf32> in "w" at 4096 size 2048 recipe []
func.func @main(%x: tensor<?x8xf32, #x> {onnx.name = "x"}, %scores: tensor<?x4xf32, #e> {onnx.name = "s"}) -> (tensor<?x8xf32, #x> {onnx.name = "y"})
    attributes {nn.values = [{name = "t", min = 1 : i64, max = 16 : i64}]} {
  %values, %ids = nn.topk %scores largest true : tensor<?x4xf32, #e> -> tensor<?x2xf32, #k>, tensor<?x2xi32, #k>
  %routing = nn.softmax %scores : tensor<?x4xf32, #e> -> tensor<?x4xf32, #e>
  %w1 = nn.get_weight @up : tensor<4x8x16xf32>
  %b1 = nn.get_weight @bias : tensor<4x16xf32>
  %w2 = nn.get_weight @down : tensor<4x16x8xf32>
  %one = nn.reshape %x : tensor<?x8xf32, #x> -> tensor<1x?x8xf32, #x1>
  %p = nn.matmul %one, %w1 : tensor<1x?x8xf32, #x1>, tensor<4x8x16xf32> -> tensor<4x?x16xf32, #h>
  %b = nn.reshape %b1 : tensor<4x16xf32> -> tensor<4x1x16xf32>
  %q = nn.binary "add" %p, %b : tensor<4x?x16xf32, #h>, tensor<4x1x16xf32> -> tensor<4x?x16xf32, #h>
  %g = nn.unary "silu" %q : tensor<4x?x16xf32, #h> -> tensor<4x?x16xf32, #h>
  %z = nn.matmul %g, %w2 : tensor<4x?x16xf32, #h>, tensor<4x16x8xf32> -> tensor<4x?x8xf32, #y>
  %t = nn.transpose %routing perm [1, 0] : tensor<?x4xf32, #e> -> tensor<4x?xf32, #et>
  %c = nn.reshape %t : tensor<4x?xf32, #et> -> tensor<4x?x1xf32, #e1>
  %m = nn.binary "mul" %z, %c : tensor<4x?x8xf32, #y>, tensor<4x?x1xf32, #e1> -> tensor<4x?x8xf32, #y>
  %r = nn.reduce "sum" %m axes [0] keepdims false : tensor<4x?x8xf32, #y> -> tensor<?x8xf32, #x>
  return %r : tensor<?x8xf32, #x>
}
