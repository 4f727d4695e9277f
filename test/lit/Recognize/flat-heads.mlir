// Attention over [heads, tokens, size], as torch.bmm has it: joined heads come apart again, element-wise steps and the softmax between the products too.
// RUN: ahm-opt %s -split-input-file -nn-recognize | FileCheck %s

// A bias a head of three dimensions, a floor under the masked scores, the softmax over joined heads.
// CHECK-LABEL: func.func @main
// CHECK: %[[BIAS:.*]] = nn.reshape %arg3 : tensor<2x1x6xf32> -> tensor<1x2x1x6xf32>
// CHECK: nn.attention %arg0, @scratch0, @scratch1 mask %[[BIAS]] {{.*}} scale 5.000000e-01 causal true
// CHECK-NOT: nn.matmul
// CHECK-NOT: nn.softmax
func.func @main(%q: tensor<1x2x6x8xf32> {onnx.name = "q"}, %k: tensor<1x2x6x8xf32> {onnx.name = "k"}, %v: tensor<1x2x6x8xf32> {onnx.name = "v"},
    %bias: tensor<2x1x6xf32> {onnx.name = "b"}) -> (tensor<1x2x6x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %q3 = nn.reshape %q : tensor<1x2x6x8xf32> -> tensor<2x6x8xf32>
  %k3 = nn.reshape %k : tensor<1x2x6x8xf32> -> tensor<2x6x8xf32>
  %v3 = nn.reshape %v : tensor<1x2x6x8xf32> -> tensor<2x6x8xf32>
  %t = nn.transpose %k3 perm [0, 2, 1] : tensor<2x6x8xf32> -> tensor<2x8x6xf32>
  %p = nn.matmul %q3, %t : tensor<2x6x8xf32>, tensor<2x8x6xf32> -> tensor<2x6x6xf32>
  %half = nn.constant dense<5.0e-01> : tensor<f32> : tensor<f32>
  %s = nn.binary "mul" %p, %half : tensor<2x6x6xf32>, tensor<f32> -> tensor<2x6x6xf32>
  %biased = nn.binary "add" %s, %bias : tensor<2x6x6xf32>, tensor<2x1x6xf32> -> tensor<2x6x6xf32>
  %b4 = nn.reshape %biased : tensor<2x6x6xf32> -> tensor<1x2x6x6xf32>
  %j = nn.iota affine_map<() -> (0)> step 1 : tensor<6xi32>
  %i = nn.reshape %j : tensor<6xi32> -> tensor<6x1xi32>
  %late = nn.binary "greater" %j, %i : tensor<6xi32>, tensor<6x1xi32> -> tensor<6x6xi1>
  %least = nn.constant dense<-3.0e+38> : tensor<f32> : tensor<f32>
  %m = nn.select %late, %least, %b4 : tensor<6x6xi1>, tensor<f32>, tensor<1x2x6x6xf32> -> tensor<1x2x6x6xf32>
  %m3 = nn.reshape %m : tensor<1x2x6x6xf32> -> tensor<2x6x6xf32>
  %w = nn.softmax %m3 : tensor<2x6x6xf32> -> tensor<2x6x6xf32>
  %y3 = nn.matmul %w, %v3 : tensor<2x6x6xf32>, tensor<2x6x8xf32> -> tensor<2x6x8xf32>
  %y = nn.reshape %y3 : tensor<2x6x8xf32> -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}

// -----

// A floor over masked scores says nothing where every row has a visible key; over a mask of which nothing is known it does, and the softmax stays.
// CHECK-LABEL: func.func @floor
// CHECK: nn.attention {{.*}} causal true
// CHECK-LABEL: func.func @unknown
// CHECK: nn.softmax
func.func @floor(%q: tensor<1x2x6x8xf32> {onnx.name = "q"}, %k: tensor<1x2x6x8xf32> {onnx.name = "k"}, %v: tensor<1x2x6x8xf32> {onnx.name = "v"})
    -> (tensor<1x2x6x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x2x6x8xf32> -> tensor<1x2x8x6xf32>
  %p = nn.matmul %q, %t : tensor<1x2x6x8xf32>, tensor<1x2x8x6xf32> -> tensor<1x2x6x6xf32>
  %j = nn.iota affine_map<() -> (0)> step 1 : tensor<6xi32>
  %i = nn.reshape %j : tensor<6xi32> -> tensor<6x1xi32>
  %late = nn.binary "greater" %j, %i : tensor<6xi32>, tensor<6x1xi32> -> tensor<6x6xi1>
  %least = nn.constant dense<-3.0e+38> : tensor<f32> : tensor<f32>
  %none = nn.constant dense<0.0> : tensor<f32> : tensor<f32>
  %mask = nn.select %late, %least, %none : tensor<6x6xi1>, tensor<f32>, tensor<f32> -> tensor<6x6xf32>
  %s = nn.binary "add" %p, %mask : tensor<1x2x6x6xf32>, tensor<6x6xf32> -> tensor<1x2x6x6xf32>
  %m = nn.binary "max" %s, %least : tensor<1x2x6x6xf32>, tensor<f32> -> tensor<1x2x6x6xf32>
  %w = nn.softmax %m : tensor<1x2x6x6xf32> -> tensor<1x2x6x6xf32>
  %y = nn.matmul %w, %v : tensor<1x2x6x6xf32>, tensor<1x2x6x8xf32> -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}
func.func @unknown(%q: tensor<1x2x6x8xf32> {onnx.name = "q"}, %k: tensor<1x2x6x8xf32> {onnx.name = "k"}, %v: tensor<1x2x6x8xf32> {onnx.name = "v"},
    %mask: tensor<6x6xf32> {onnx.name = "m"}) -> (tensor<1x2x6x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x2x6x8xf32> -> tensor<1x2x8x6xf32>
  %p = nn.matmul %q, %t : tensor<1x2x6x8xf32>, tensor<1x2x8x6xf32> -> tensor<1x2x6x6xf32>
  %least = nn.constant dense<-3.0e+38> : tensor<f32> : tensor<f32>
  %s = nn.binary "add" %p, %mask : tensor<1x2x6x6xf32>, tensor<6x6xf32> -> tensor<1x2x6x6xf32>
  %m = nn.binary "max" %s, %least : tensor<1x2x6x6xf32>, tensor<f32> -> tensor<1x2x6x6xf32>
  %w = nn.softmax %m : tensor<1x2x6x6xf32> -> tensor<1x2x6x6xf32>
  %y = nn.matmul %w, %v : tensor<1x2x6x6xf32>, tensor<1x2x6x8xf32> -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}
