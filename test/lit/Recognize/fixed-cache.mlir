// Rows written into a past of fixed size are state like those of a growing one: appended at the position, attended to up to their end.
// RUN: ahm-opt %s -split-input-file -nn-recognize | FileCheck %s

// CHECK-DAG: #[[AT:.*]] = affine_map<()[s0] -> (s0)>
// CHECK-DAG: #[[END:.*]] = affine_map<()[s0] -> (s0 + 2)>
// CHECK: nn.cache @kv0 heads 2 head_dim 4 capacity 16 {past_input = "kc", present_output = "nk"}
// CHECK: nn.cache @kv1 heads 2 head_dim 4 capacity 16 {past_input = "vc", present_output = "nv"}
// CHECK-LABEL: func.func @decode
// CHECK-SAME: -> (tensor<1x2x2x4xf32>
// CHECK-COUNT-2: nn.cache_append @kv{{[01]}}, %{{.*}} at #[[AT]] : tensor<1x2x2x4xf32>
// CHECK: nn.attention %{{.*}}, @kv0, @kv1 length #[[END]] position #[[AT]] scale 1.000000e+00 causal true
// CHECK-NOT: nn.concat
#front = affine_map<()[s0] -> (1, s0, 8)>
#back = affine_map<()[s0] -> (1, -s0 + 14, 8)>
#behind = affine_map<()[s0] -> (0, s0 + 2, 0)>
func.func @decode(%q: tensor<1x2x2x4xf32> {onnx.name = "q"}, %k: tensor<1x2x8xf32> {onnx.name = "k"}, %v: tensor<1x2x8xf32> {onnx.name = "v"},
    %kc: tensor<1x16x8xf32> {onnx.name = "kc"}, %vc: tensor<1x16x8xf32> {onnx.name = "vc"})
    -> (tensor<1x2x2x4xf32> {onnx.name = "y"}, tensor<1x16x8xf32> {onnx.name = "nk"}, tensor<1x16x8xf32> {onnx.name = "nv"})
    attributes {nn.values = [{name = "at", min = 0 : i64, max = 14 : i64}]} {
  %kf = nn.slice %kc starts affine_map<()[s0] -> (0, 0, 0)> steps [1, 1, 1] : tensor<1x16x8xf32> -> tensor<1x?x8xf32, #front>
  %kb = nn.slice %kc starts #behind steps [1, 1, 1] : tensor<1x16x8xf32> -> tensor<1x?x8xf32, #back>
  %nk = nn.concat axis 1 %kf, %k, %kb : (tensor<1x?x8xf32, #front>, tensor<1x2x8xf32>, tensor<1x?x8xf32, #back>) -> tensor<1x16x8xf32>
  %vf = nn.slice %vc starts affine_map<()[s0] -> (0, 0, 0)> steps [1, 1, 1] : tensor<1x16x8xf32> -> tensor<1x?x8xf32, #front>
  %vb = nn.slice %vc starts #behind steps [1, 1, 1] : tensor<1x16x8xf32> -> tensor<1x?x8xf32, #back>
  %nv = nn.concat axis 1 %vf, %v, %vb : (tensor<1x?x8xf32, #front>, tensor<1x2x8xf32>, tensor<1x?x8xf32, #back>) -> tensor<1x16x8xf32>
  %k4 = nn.reshape %nk : tensor<1x16x8xf32> -> tensor<1x16x2x4xf32>
  %kh = nn.transpose %k4 perm [0, 2, 1, 3] : tensor<1x16x2x4xf32> -> tensor<1x2x16x4xf32>
  %v4 = nn.reshape %nv : tensor<1x16x8xf32> -> tensor<1x16x2x4xf32>
  %vh = nn.transpose %v4 perm [0, 2, 1, 3] : tensor<1x16x2x4xf32> -> tensor<1x2x16x4xf32>
  %t = nn.transpose %kh perm [0, 1, 3, 2] : tensor<1x2x16x4xf32> -> tensor<1x2x4x16xf32>
  %s = nn.matmul %q, %t : tensor<1x2x2x4xf32>, tensor<1x2x4x16xf32> -> tensor<1x2x2x16xf32>
  %j = nn.iota affine_map<()[s0] -> (0)> step 1 : tensor<16xi32>
  %i = nn.iota affine_map<()[s0] -> (s0)> step 1 : tensor<2xi32>
  %rows = nn.reshape %i : tensor<2xi32> -> tensor<2x1xi32>
  %causal = nn.binary "less_or_equal" %j, %rows : tensor<16xi32>, tensor<2x1xi32> -> tensor<2x16xi1>
  %end = nn.runtime affine_map<()[s0] -> (s0 + 2)> : tensor<i32>
  %one = nn.reshape %end : tensor<i32> -> tensor<1x1x1x1xi32>
  %valid = nn.binary "less" %j, %one : tensor<16xi32>, tensor<1x1x1x1xi32> -> tensor<1x1x1x16xi1>
  %least = nn.constant dense<-3.0e+38> : tensor<f32> : tensor<f32>
  %a = nn.select %causal, %s, %least : tensor<2x16xi1>, tensor<1x2x2x16xf32>, tensor<f32> -> tensor<1x2x2x16xf32>
  %b = nn.select %valid, %a, %least : tensor<1x1x1x16xi1>, tensor<1x2x2x16xf32>, tensor<f32> -> tensor<1x2x2x16xf32>
  %w = nn.softmax %b : tensor<1x2x2x16xf32> -> tensor<1x2x2x16xf32>
  %y = nn.matmul %w, %vh : tensor<1x2x2x16xf32>, tensor<1x2x16x4xf32> -> tensor<1x2x2x4xf32>
  return %y, %nk, %nv : tensor<1x2x2x4xf32>, tensor<1x16x8xf32>, tensor<1x16x8xf32>
}

// -----

// A mask of one row serves all queries: hiding the keys from the third on is no causal mask, and is kept as a mask.
// CHECK-LABEL: func.func @main
// CHECK: nn.attention {{.*}} mask %{{.*}} causal false
func.func @main(%q: tensor<1x2x6x8xf32> {onnx.name = "q"}, %k: tensor<1x2x6x8xf32> {onnx.name = "k"}, %v: tensor<1x2x6x8xf32> {onnx.name = "v"})
    -> (tensor<1x2x6x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x2x6x8xf32> -> tensor<1x2x8x6xf32>
  %p = nn.matmul %q, %t : tensor<1x2x6x8xf32>, tensor<1x2x8x6xf32> -> tensor<1x2x6x6xf32>
  %mask = nn.constant dense<[[[[0.0, 0.0, 0.0, -3.0e+38, -3.0e+38, -3.0e+38]]]]> : tensor<1x1x1x6xf32> : tensor<1x1x1x6xf32>
  %m = nn.binary "add" %p, %mask : tensor<1x2x6x6xf32>, tensor<1x1x1x6xf32> -> tensor<1x2x6x6xf32>
  %w = nn.softmax %m : tensor<1x2x6x6xf32> -> tensor<1x2x6x6xf32>
  %y = nn.matmul %w, %v : tensor<1x2x6x6xf32>, tensor<1x2x6x8xf32> -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}
