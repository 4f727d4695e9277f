// Latent caches: values that are the first elements of the keys' rows, caches in two parts that become one, and heads' own products.
// RUN: ahm-opt %s -split-input-file -nn-recognize | FileCheck %s

// CHECK: nn.cache @kv0 heads 1 head_dim 12 capacity 64
// CHECK-NOT: nn.cache @
// CHECK-LABEL: func.func @decode
// CHECK: nn.cache_append @kv0
// CHECK: nn.attention %{{.*}}, @kv0, @kv0 length {{.*}} : tensor<1x2x1x12xf32> -> tensor<1x2x1x8xf32>
// CHECK-NOT: nn.slice
#past = affine_map<()[s0] -> (1, 1, s0, 12)>
#all = affine_map<()[s0] -> (1, 1, s0 + 1, 12)>
#front = affine_map<()[s0] -> (1, 1, s0 + 1, 8)>
#kt = affine_map<()[s0] -> (1, 1, 12, s0 + 1)>
#score = affine_map<()[s0] -> (1, 2, 1, s0 + 1)>
func.func @decode(%q: tensor<1x2x1x12xf32> {onnx.name = "q"}, %new: tensor<1x1x1x12xf32> {onnx.name = "n"},
    %past: tensor<1x1x?x12xf32, #past> {onnx.name = "past"}) -> (tensor<1x2x1x8xf32> {onnx.name = "y"}, tensor<1x1x?x12xf32, #all> {onnx.name = "present"})
    attributes {nn.values = [{name = "p", min = 0 : i64, max = 63 : i64}]} {
  %k = nn.concat axis 2 %past, %new : (tensor<1x1x?x12xf32, #past>, tensor<1x1x1x12xf32>) -> tensor<1x1x?x12xf32, #all>
  %v = nn.slice %k starts affine_map<()[s0] -> (0, 0, 0, 0)> steps [1, 1, 1, 1] : tensor<1x1x?x12xf32, #all> -> tensor<1x1x?x8xf32, #front>
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x1x?x12xf32, #all> -> tensor<1x1x12x?xf32, #kt>
  %s = nn.matmul %q, %t : tensor<1x2x1x12xf32>, tensor<1x1x12x?xf32, #kt> -> tensor<1x2x1x?xf32, #score>
  %w = nn.softmax %s : tensor<1x2x1x?xf32, #score> -> tensor<1x2x1x?xf32, #score>
  %y = nn.matmul %w, %v : tensor<1x2x1x?xf32, #score>, tensor<1x1x?x8xf32, #front> -> tensor<1x2x1x8xf32>
  return %y, %k : tensor<1x2x1x8xf32>, tensor<1x1x?x12xf32, #all>
}

// -----

// Scores are a sum of two products; the part that is the value comes first.
// CHECK-NOT: nn.cache @kv
// CHECK: nn.cache @latent0 heads 1 head_dim 12 capacity 64 {past_input = "past.latent+past.rope", present_output = "present.latent+present.rope"}
// CHECK-LABEL: func.func @decode
// CHECK-DAG: %[[Q:.*]] = nn.concat axis 3 %{{.*}}, %{{.*}} : (tensor<1x2x1x8xf32>, tensor<1x2x1x4xf32>) -> tensor<1x2x1x12xf32>
// CHECK-DAG: %[[ROWS:.*]] = nn.concat axis 3 %{{.*}}, %{{.*}} : (tensor<1x1x1x8xf32>, tensor<1x1x1x4xf32>) -> tensor<1x1x1x12xf32>
// CHECK-DAG: nn.cache_append @latent0, %[[ROWS]]
// CHECK: nn.attention %[[Q]], @latent0, @latent0 length {{.*}} scale 5.000000e-01
#rp = affine_map<()[s0] -> (1, 1, s0, 4)>
#ra = affine_map<()[s0] -> (1, 1, s0 + 1, 4)>
#lp = affine_map<()[s0] -> (1, 1, s0, 8)>
#la = affine_map<()[s0] -> (1, 1, s0 + 1, 8)>
#rt = affine_map<()[s0] -> (1, 1, 4, s0 + 1)>
#lt = affine_map<()[s0] -> (1, 1, 8, s0 + 1)>
#k = affine_map<()[s0] -> (1, 1, s0 + 1, 12)>
#kt = affine_map<()[s0] -> (1, 1, 12, s0 + 1)>
#score = affine_map<()[s0] -> (1, 2, 1, s0 + 1)>
func.func @decode(%ql: tensor<1x2x1x8xf32> {onnx.name = "ql"}, %qr: tensor<1x2x1x4xf32> {onnx.name = "qr"},
    %nl: tensor<1x1x1x8xf32> {onnx.name = "nl"}, %nr: tensor<1x1x1x4xf32> {onnx.name = "nr"},
    %pr: tensor<1x1x?x4xf32, #rp> {onnx.name = "past.rope"}, %pl: tensor<1x1x?x8xf32, #lp> {onnx.name = "past.latent"})
    -> (tensor<1x2x1x8xf32> {onnx.name = "y"}, tensor<1x1x?x4xf32, #ra> {onnx.name = "present.rope"}, tensor<1x1x?x8xf32, #la> {onnx.name = "present.latent"})
    attributes {nn.values = [{name = "p", min = 0 : i64, max = 63 : i64}]} {
  %r = nn.concat axis 2 %pr, %nr : (tensor<1x1x?x4xf32, #rp>, tensor<1x1x1x4xf32>) -> tensor<1x1x?x4xf32, #ra>
  %l = nn.concat axis 2 %pl, %nl : (tensor<1x1x?x8xf32, #lp>, tensor<1x1x1x8xf32>) -> tensor<1x1x?x8xf32, #la>
  %lt = nn.transpose %l perm [0, 1, 3, 2] : tensor<1x1x?x8xf32, #la> -> tensor<1x1x8x?xf32, #lt>
  %rt = nn.transpose %r perm [0, 1, 3, 2] : tensor<1x1x?x4xf32, #ra> -> tensor<1x1x4x?xf32, #rt>
  %sl = nn.matmul %ql, %lt : tensor<1x2x1x8xf32>, tensor<1x1x8x?xf32, #lt> -> tensor<1x2x1x?xf32, #score>
  %sr = nn.matmul %qr, %rt : tensor<1x2x1x4xf32>, tensor<1x1x4x?xf32, #rt> -> tensor<1x2x1x?xf32, #score>
  %half = nn.constant dense<5.0e-01> : tensor<f32> : tensor<f32>
  %both = nn.binary "add" %sr, %sl : tensor<1x2x1x?xf32, #score>, tensor<1x2x1x?xf32, #score> -> tensor<1x2x1x?xf32, #score>
  %s = nn.binary "mul" %both, %half : tensor<1x2x1x?xf32, #score>, tensor<f32> -> tensor<1x2x1x?xf32, #score>
  %w = nn.softmax %s : tensor<1x2x1x?xf32, #score> -> tensor<1x2x1x?xf32, #score>
  %y = nn.matmul %w, %l : tensor<1x2x1x?xf32, #score>, tensor<1x1x?x8xf32, #la> -> tensor<1x2x1x8xf32>
  return %y, %r, %l : tensor<1x2x1x8xf32>, tensor<1x1x?x4xf32, #ra>, tensor<1x1x?x8xf32, #la>
}

// -----

// Keys are the parts beside each other, the value last: rows begin with the value, and the queries are turned around.
// CHECK-NOT: nn.cache @kv
// CHECK: nn.cache @latent0 heads 1 head_dim 12 capacity 64 {past_input = "past.latent+past.rope", present_output = "present.latent+present.rope"}
// CHECK-LABEL: func.func @decode
// CHECK-DAG: nn.cache_append @latent0, %{{.*}} : tensor<1x1x1x12xf32>
// CHECK: nn.attention %{{.*}}, @latent0, @latent0 length
// CHECK-NOT: nn.matmul
#rp = affine_map<()[s0] -> (1, 1, s0, 4)>
#ra = affine_map<()[s0] -> (1, 1, s0 + 1, 4)>
#lp = affine_map<()[s0] -> (1, 1, s0, 8)>
#la = affine_map<()[s0] -> (1, 1, s0 + 1, 8)>
#rt = affine_map<()[s0] -> (1, 1, 4, s0 + 1)>
#lt = affine_map<()[s0] -> (1, 1, 8, s0 + 1)>
#k = affine_map<()[s0] -> (1, 1, s0 + 1, 12)>
#kt = affine_map<()[s0] -> (1, 1, 12, s0 + 1)>
#score = affine_map<()[s0] -> (1, 2, 1, s0 + 1)>
func.func @decode(%ql: tensor<1x2x1x8xf32> {onnx.name = "ql"}, %qr: tensor<1x2x1x4xf32> {onnx.name = "qr"},
    %nl: tensor<1x1x1x8xf32> {onnx.name = "nl"}, %nr: tensor<1x1x1x4xf32> {onnx.name = "nr"},
    %pr: tensor<1x1x?x4xf32, #rp> {onnx.name = "past.rope"}, %pl: tensor<1x1x?x8xf32, #lp> {onnx.name = "past.latent"})
    -> (tensor<1x2x1x8xf32> {onnx.name = "y"}, tensor<1x1x?x4xf32, #ra> {onnx.name = "present.rope"}, tensor<1x1x?x8xf32, #la> {onnx.name = "present.latent"})
    attributes {nn.values = [{name = "p", min = 0 : i64, max = 63 : i64}]} {
  %r = nn.concat axis 2 %pr, %nr : (tensor<1x1x?x4xf32, #rp>, tensor<1x1x1x4xf32>) -> tensor<1x1x?x4xf32, #ra>
  %l = nn.concat axis 2 %pl, %nl : (tensor<1x1x?x8xf32, #lp>, tensor<1x1x1x8xf32>) -> tensor<1x1x?x8xf32, #la>
  %q = nn.concat axis 3 %qr, %ql : (tensor<1x2x1x4xf32>, tensor<1x2x1x8xf32>) -> tensor<1x2x1x12xf32>
  %k = nn.concat axis 3 %r, %l : (tensor<1x1x?x4xf32, #ra>, tensor<1x1x?x8xf32, #la>) -> tensor<1x1x?x12xf32, #k>
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x1x?x12xf32, #k> -> tensor<1x1x12x?xf32, #kt>
  %s = nn.matmul %q, %t : tensor<1x2x1x12xf32>, tensor<1x1x12x?xf32, #kt> -> tensor<1x2x1x?xf32, #score>
  %w = nn.softmax %s : tensor<1x2x1x?xf32, #score> -> tensor<1x2x1x?xf32, #score>
  %y = nn.matmul %w, %l : tensor<1x2x1x?xf32, #score>, tensor<1x1x?x8xf32, #la> -> tensor<1x2x1x8xf32>
  return %y, %r, %l : tensor<1x2x1x8xf32>, tensor<1x1x?x4xf32, #ra>, tensor<1x1x?x8xf32, #la>
}

// -----

// Every head has its own weight: experts of which each row takes all, so that the weights stand in tiles.
nn.weight @up : tensor<2x8x16xf32> from tensor<2x8x16xf32> in "w" at 0 size 1024 recipe []
// CHECK-LABEL: func.func @main
// CHECK-DAG: %[[IDS:.*]] = nn.constant dense<{{\[\[0, 1\]\]}}> : tensor<1x2xi32>
// CHECK-DAG: %[[X:.*]] = nn.transpose %{{.*}} perm [1, 0, 2] : tensor<2x3x8xf32> -> tensor<3x2x8xf32>
// CHECK-DAG: %[[ALL:.*]] = nn.broadcast %[[IDS]] : tensor<1x2xi32> -> tensor<3x2xi32>
// CHECK: nn.expert_linear %[[X]][%[[ALL]]], @up : tensor<3x2x8xf32>, tensor<3x2xi32> -> tensor<3x2x16xf32>
func.func @main(%x: tensor<1x2x3x8xf32> {onnx.name = "x"}) -> (tensor<1x2x3x16xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %w = nn.get_weight @up : tensor<2x8x16xf32>
  %y = nn.matmul %x, %w : tensor<1x2x3x8xf32>, tensor<2x8x16xf32> -> tensor<1x2x3x16xf32>
  return %y : tensor<1x2x3x16xf32>
}
