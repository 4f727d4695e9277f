// What attention takes beside a causal mask: a window, a soft cap, sinks, a mask of which nothing is known, values of another size.
// RUN: ahm-opt %s -split-input-file -nn-recognize | FileCheck %s

// A window of 3 under a causal mask, soft cap and a sink a head: the added column of the softmax is dropped behind it.
// CHECK-LABEL: func.func @main
// CHECK: nn.attention %{{.*}}, @scratch0, @scratch1 sinks %{{.*}} : tensor<2xf32> length {{.*}} position {{.*}} scale 5.000000e-01 causal true {softcap = 2.000000e+01 : f32, window = 3 : i64}
// CHECK-NOT: nn.softmax
#zero = affine_map<() -> (0)>
func.func @main(%q: tensor<1x2x6x8xf32> {onnx.name = "q"}, %k: tensor<1x2x6x8xf32> {onnx.name = "k"}, %v: tensor<1x2x6x8xf32> {onnx.name = "v"},
    %sinks: tensor<2xf32> {onnx.name = "s"}) -> (tensor<1x2x6x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x2x6x8xf32> -> tensor<1x2x8x6xf32>
  %p = nn.matmul %q, %t : tensor<1x2x6x8xf32>, tensor<1x2x8x6xf32> -> tensor<1x2x6x6xf32>
  %half = nn.constant dense<5.0e-01> : tensor<f32> : tensor<f32>
  %s = nn.binary "mul" %p, %half : tensor<1x2x6x6xf32>, tensor<f32> -> tensor<1x2x6x6xf32>
  %cap = nn.constant dense<2.0e+01> : tensor<f32> : tensor<f32>
  %d = nn.binary "div" %s, %cap : tensor<1x2x6x6xf32>, tensor<f32> -> tensor<1x2x6x6xf32>
  %h = nn.unary "tanh" %d : tensor<1x2x6x6xf32> -> tensor<1x2x6x6xf32>
  %c = nn.binary "mul" %h, %cap : tensor<1x2x6x6xf32>, tensor<f32> -> tensor<1x2x6x6xf32>
  %j = nn.iota #zero step 1 : tensor<6xi32>
  %i = nn.reshape %j : tensor<6xi32> -> tensor<6x1xi32>
  %three = nn.constant dense<3> : tensor<i32> : tensor<i32>
  %begin = nn.binary "sub" %i, %three : tensor<6x1xi32>, tensor<i32> -> tensor<6x1xi32>
  %late = nn.binary "greater" %j, %i : tensor<6xi32>, tensor<6x1xi32> -> tensor<6x6xi1>
  %old = nn.binary "less_or_equal" %j, %begin : tensor<6xi32>, tensor<6x1xi32> -> tensor<6x6xi1>
  %hidden = nn.binary "or" %late, %old : tensor<6x6xi1>, tensor<6x6xi1> -> tensor<6x6xi1>
  %none = nn.constant dense<0.0> : tensor<f32> : tensor<f32>
  %least = nn.constant dense<-3.0e+38> : tensor<f32> : tensor<f32>
  %mask = nn.select %hidden, %least, %none : tensor<6x6xi1>, tensor<f32>, tensor<f32> -> tensor<6x6xf32>
  %m = nn.binary "add" %c, %mask : tensor<1x2x6x6xf32>, tensor<6x6xf32> -> tensor<1x2x6x6xf32>
  %one = nn.reshape %sinks : tensor<2xf32> -> tensor<1x2x1x1xf32>
  %column = nn.broadcast %one : tensor<1x2x1x1xf32> -> tensor<1x2x6x1xf32>
  %all = nn.concat axis 3 %m, %column : (tensor<1x2x6x6xf32>, tensor<1x2x6x1xf32>) -> tensor<1x2x6x7xf32>
  %w = nn.softmax %all : tensor<1x2x6x7xf32> -> tensor<1x2x6x7xf32>
  %kept = nn.slice %w starts affine_map<() -> (0, 0, 0, 0)> steps [1, 1, 1, 1] : tensor<1x2x6x7xf32> -> tensor<1x2x6x6xf32>
  %y = nn.matmul %kept, %v : tensor<1x2x6x6xf32>, tensor<1x2x6x8xf32> -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}

// -----

// An unknown condition becomes a number to add; the values' heads are of 4 elements.
// CHECK: nn.cache @scratch0 heads 2 head_dim 8
// CHECK: nn.cache @scratch1 heads 2 head_dim 4
// CHECK-LABEL: func.func @main
// CHECK: %[[MASK:.*]] = nn.select {{.*}} -> tensor<6x6xf32>
// CHECK: nn.attention %{{.*}}, @scratch0, @scratch1 mask %[[MASK]] : tensor<6x6xf32> length {{.*}} causal false : tensor<1x2x6x8xf32> -> tensor<1x2x6x4xf32>
func.func @main(%q: tensor<1x2x6x8xf32> {onnx.name = "q"}, %k: tensor<1x2x6x8xf32> {onnx.name = "k"}, %v: tensor<1x2x6x4xf32> {onnx.name = "v"},
    %seen: tensor<6x6xi1> {onnx.name = "m"}) -> (tensor<1x2x6x4xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x2x6x8xf32> -> tensor<1x2x8x6xf32>
  %p = nn.matmul %q, %t : tensor<1x2x6x8xf32>, tensor<1x2x8x6xf32> -> tensor<1x2x6x6xf32>
  %least = nn.constant dense<-3.0e+38> : tensor<f32> : tensor<f32>
  %m = nn.select %seen, %p, %least : tensor<6x6xi1>, tensor<1x2x6x6xf32>, tensor<f32> -> tensor<1x2x6x6xf32>
  %w = nn.softmax %m : tensor<1x2x6x6xf32> -> tensor<1x2x6x6xf32>
  %y = nn.matmul %w, %v : tensor<1x2x6x6xf32>, tensor<1x2x6x4xf32> -> tensor<1x2x6x4xf32>
  return %y : tensor<1x2x6x4xf32>
}

// -----

// The soft cap after the mask would bring hidden keys back: that is another function, and stays as it is.
// CHECK-LABEL: func.func @main
// CHECK: nn.softmax
// CHECK-NOT: nn.attention
func.func @main(%q: tensor<1x2x6x8xf32> {onnx.name = "q"}, %k: tensor<1x2x6x8xf32> {onnx.name = "k"}, %v: tensor<1x2x6x8xf32> {onnx.name = "v"},
    %bias: tensor<6x6xf32> {onnx.name = "m"}) -> (tensor<1x2x6x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x2x6x8xf32> -> tensor<1x2x8x6xf32>
  %p = nn.matmul %q, %t : tensor<1x2x6x8xf32>, tensor<1x2x8x6xf32> -> tensor<1x2x6x6xf32>
  %b = nn.binary "add" %p, %bias : tensor<1x2x6x6xf32>, tensor<6x6xf32> -> tensor<1x2x6x6xf32>
  %cap = nn.constant dense<2.0e+01> : tensor<f32> : tensor<f32>
  %d = nn.binary "div" %b, %cap : tensor<1x2x6x6xf32>, tensor<f32> -> tensor<1x2x6x6xf32>
  %h = nn.unary "tanh" %d : tensor<1x2x6x6xf32> -> tensor<1x2x6x6xf32>
  %c = nn.binary "mul" %h, %cap : tensor<1x2x6x6xf32>, tensor<f32> -> tensor<1x2x6x6xf32>
  %w = nn.softmax %c : tensor<1x2x6x6xf32> -> tensor<1x2x6x6xf32>
  %y = nn.matmul %w, %v : tensor<1x2x6x6xf32>, tensor<1x2x6x8xf32> -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}

// -----

// The sum of a padding mask of ones is the number of tokens, so this is causal from the past on (com.microsoft's seqlens_k).
// CHECK-LABEL: func.func @decode
// CHECK: nn.attention {{.*}} position {{.*}} causal true {window = 5 : i64}
#row = affine_map<()[s0] -> (1, s0 + 1)>
#all = affine_map<()[s0] -> (1, 2, s0 + 1, 8)>
#kt = affine_map<()[s0] -> (1, 2, 8, s0 + 1)>
#score = affine_map<()[s0] -> (1, 2, 1, s0 + 1)>
#keys = affine_map<()[s0] -> (s0 + 1)>
#seen = affine_map<()[s0] -> (1, 1, 1, s0 + 1)>
#start = affine_map<()[s0] -> (0)>
func.func @decode(%m: tensor<1x?xi32, #row> {nn.role = "mask", onnx.name = "attention_mask"}, %q: tensor<1x2x1x8xf32> {onnx.name = "q"},
    %k: tensor<1x2x?x8xf32, #all> {nn.role = "audio", onnx.name = "k"}, %v: tensor<1x2x?x8xf32, #all> {nn.role = "audio", onnx.name = "v"})
    -> (tensor<1x2x1x8xf32> {onnx.name = "y"}) attributes {nn.values = [{name = "p", min = 0 : i64, max = 63 : i64}]} {
  %sum = nn.reduce "sum" %m axes [1] keepdims true : tensor<1x?xi32, #row> -> tensor<1x1xi32>
  %one = nn.constant dense<1> : tensor<i32> : tensor<i32>
  %last = nn.binary "sub" %sum, %one : tensor<1x1xi32>, tensor<i32> -> tensor<1x1xi32>
  %at = nn.reshape %last : tensor<1x1xi32> -> tensor<1x1x1x1xi32>
  %five = nn.constant dense<5> : tensor<i32> : tensor<i32>
  %begin = nn.binary "sub" %at, %five : tensor<1x1x1x1xi32>, tensor<i32> -> tensor<1x1x1x1xi32>
  %j = nn.iota #start step 1 : tensor<?xi32, #keys>
  %causal = nn.binary "less_or_equal" %j, %at : tensor<?xi32, #keys>, tensor<1x1x1x1xi32> -> tensor<1x1x1x?xi1, #seen>
  %recent = nn.binary "greater" %j, %begin : tensor<?xi32, #keys>, tensor<1x1x1x1xi32> -> tensor<1x1x1x?xi1, #seen>
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x2x?x8xf32, #all> -> tensor<1x2x8x?xf32, #kt>
  %p = nn.matmul %q, %t : tensor<1x2x1x8xf32>, tensor<1x2x8x?xf32, #kt> -> tensor<1x2x1x?xf32, #score>
  %least = nn.constant dense<-3.0e+38> : tensor<f32> : tensor<f32>
  %a = nn.select %causal, %p, %least : tensor<1x1x1x?xi1, #seen>, tensor<1x2x1x?xf32, #score>, tensor<f32> -> tensor<1x2x1x?xf32, #score>
  %b = nn.select %recent, %a, %least : tensor<1x1x1x?xi1, #seen>, tensor<1x2x1x?xf32, #score>, tensor<f32> -> tensor<1x2x1x?xf32, #score>
  %w = nn.softmax %b : tensor<1x2x1x?xf32, #score> -> tensor<1x2x1x?xf32, #score>
  %y = nn.matmul %w, %v : tensor<1x2x1x?xf32, #score>, tensor<1x2x?x8xf32, #all> -> tensor<1x2x1x8xf32>
  return %y : tensor<1x2x1x8xf32>
}

// -----

// A mask that hides where both of two conditions fail: one implies the other as the past is never negative, so it is causal. In front of it
// stand the keys of the past, all seen.
// CHECK-LABEL: func.func @prefill
// CHECK: nn.attention {{.*}} position #{{.*}} scale 1.000000e+00 causal true
// CHECK-LABEL: func.func @beside
// CHECK: nn.attention {{.*}} position #{{.*}} scale 1.000000e+00 causal true
#q = affine_map<()[s0, s1] -> (1, 2, s0, 8)>
#kv = affine_map<()[s0, s1] -> (1, 2, s0 + s1, 8)>
#kt = affine_map<()[s0, s1] -> (1, 2, 8, s0 + s1)>
#s = affine_map<()[s0, s1] -> (1, 2, s0, s0 + s1)>
#new = affine_map<()[s0, s1] -> (s0)>
#keys = affine_map<()[s0, s1] -> (s0 + s1)>
#column = affine_map<()[s0, s1] -> (s0, 1)>
#square = affine_map<()[s0, s1] -> (s0, s0 + s1)>
#seen = affine_map<()[s0, s1] -> (s0, s1)>
#own = affine_map<()[s0, s1] -> (s0, s0)>
func.func @prefill(%q: tensor<1x2x?x8xf32, #q> {onnx.name = "q", nn.role = "audio"}, %k: tensor<1x2x?x8xf32, #kv> {onnx.name = "k", nn.role = "audio"},
    %v: tensor<1x2x?x8xf32, #kv> {onnx.name = "v", nn.role = "audio"}) -> (tensor<1x2x?x8xf32, #q> {onnx.name = "y"})
    attributes {nn.values = [{name = "t", min = 1 : i64, max = 64 : i64}, {name = "p", min = 0 : i64, max = 64 : i64}]} {
  %j = nn.iota affine_map<()[s0, s1] -> (0)> step 1 : tensor<?xi32, #keys>
  %i1 = nn.iota affine_map<()[s0, s1] -> (1)> step 1 : tensor<?xi32, #new>
  %r1 = nn.reshape %i1 : tensor<?xi32, #new> -> tensor<?x1xi32, #column>
  %late = nn.binary "greater_or_equal" %j, %r1 : tensor<?xi32, #keys>, tensor<?x1xi32, #column> -> tensor<?x?xi1, #square>
  %none = nn.constant dense<0.0> : tensor<f32> : tensor<f32>
  %least = nn.constant dense<-3.0e+38> : tensor<f32> : tensor<f32>
  %a = nn.select %late, %least, %none : tensor<?x?xi1, #square>, tensor<f32>, tensor<f32> -> tensor<?x?xf32, #square>
  %ip = nn.iota affine_map<()[s0, s1] -> (s1)> step 1 : tensor<?xi32, #new>
  %rp = nn.reshape %ip : tensor<?xi32, #new> -> tensor<?x1xi32, #column>
  %after = nn.binary "greater" %j, %rp : tensor<?xi32, #keys>, tensor<?x1xi32, #column> -> tensor<?x?xi1, #square>
  %one = nn.cast %after : tensor<?x?xi1, #square> -> tensor<?x?xf32, #square>
  %mask = nn.binary "mul" %a, %one : tensor<?x?xf32, #square>, tensor<?x?xf32, #square> -> tensor<?x?xf32, #square>
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x2x?x8xf32, #kv> -> tensor<1x2x8x?xf32, #kt>
  %p = nn.matmul %q, %t : tensor<1x2x?x8xf32, #q>, tensor<1x2x8x?xf32, #kt> -> tensor<1x2x?x?xf32, #s>
  %m = nn.binary "add" %p, %mask : tensor<1x2x?x?xf32, #s>, tensor<?x?xf32, #square> -> tensor<1x2x?x?xf32, #s>
  %w = nn.softmax %m : tensor<1x2x?x?xf32, #s> -> tensor<1x2x?x?xf32, #s>
  %y = nn.matmul %w, %v : tensor<1x2x?x?xf32, #s>, tensor<1x2x?x8xf32, #kv> -> tensor<1x2x?x8xf32, #q>
  return %y : tensor<1x2x?x8xf32, #q>
}
func.func @beside(%q: tensor<1x2x?x8xf32, #q> {onnx.name = "q", nn.role = "audio"}, %k: tensor<1x2x?x8xf32, #kv> {onnx.name = "k", nn.role = "audio"},
    %v: tensor<1x2x?x8xf32, #kv> {onnx.name = "v", nn.role = "audio"}) -> (tensor<1x2x?x8xf32, #q> {onnx.name = "y"})
    attributes {nn.values = [{name = "t", min = 1 : i64, max = 64 : i64}, {name = "p", min = 0 : i64, max = 64 : i64}]} {
  %j = nn.iota affine_map<()[s0, s1] -> (0)> step 1 : tensor<?xi32, #new>
  %r = nn.reshape %j : tensor<?xi32, #new> -> tensor<?x1xi32, #column>
  %late = nn.binary "greater" %j, %r : tensor<?xi32, #new>, tensor<?x1xi32, #column> -> tensor<?x?xi1, #own>
  %none = nn.constant dense<0.0> : tensor<f32> : tensor<f32>
  %least = nn.constant dense<-3.0e+38> : tensor<f32> : tensor<f32>
  %a = nn.select %late, %least, %none : tensor<?x?xi1, #own>, tensor<f32>, tensor<f32> -> tensor<?x?xf32, #own>
  %past = nn.broadcast %none : tensor<f32> -> tensor<?x?xf32, #seen>
  %mask = nn.concat axis 1 %past, %a : (tensor<?x?xf32, #seen>, tensor<?x?xf32, #own>) -> tensor<?x?xf32, #square>
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x2x?x8xf32, #kv> -> tensor<1x2x8x?xf32, #kt>
  %p = nn.matmul %q, %t : tensor<1x2x?x8xf32, #q>, tensor<1x2x8x?xf32, #kt> -> tensor<1x2x?x?xf32, #s>
  %m = nn.binary "add" %p, %mask : tensor<1x2x?x?xf32, #s>, tensor<?x?xf32, #square> -> tensor<1x2x?x?xf32, #s>
  %w = nn.softmax %m : tensor<1x2x?x?xf32, #s> -> tensor<1x2x?x?xf32, #s>
  %y = nn.matmul %w, %v : tensor<1x2x?x?xf32, #s>, tensor<1x2x?x8xf32, #kv> -> tensor<1x2x?x8xf32, #q>
  return %y : tensor<1x2x?x8xf32, #q>
}

// -----

// Two sequences beside each other, each with its own padding: attention is of one at a time.
// CHECK-LABEL: func.func @main
// CHECK-DAG: %[[M0:.*]] = nn.slice %{{.*}} starts #{{.*}} : tensor<2x1x1x5xf32> -> tensor<1x1x1x5xf32>
// CHECK: %[[A0:.*]] = nn.attention %{{.*}}, @scratch0, @scratch1 mask %{{.*}} : tensor<1x1x1x5xf32>
// CHECK: %[[A1:.*]] = nn.attention %{{.*}}, @scratch2, @scratch3 mask %{{.*}} : tensor<1x1x1x5xf32>
// CHECK: nn.concat axis 0 %[[A0]], %[[A1]] : (tensor<1x3x5x8xf32>, tensor<1x3x5x8xf32>) -> tensor<2x3x5x8xf32>
func.func @main(%q: tensor<2x3x5x8xf32> {onnx.name = "q"}, %k: tensor<2x3x5x8xf32> {onnx.name = "k"}, %v: tensor<2x3x5x8xf32> {onnx.name = "v"},
    %pad: tensor<2x1x1x5xf32> {onnx.name = "m"}) -> (tensor<2x3x5x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<2x3x5x8xf32> -> tensor<2x3x8x5xf32>
  %p = nn.matmul %q, %t : tensor<2x3x5x8xf32>, tensor<2x3x8x5xf32> -> tensor<2x3x5x5xf32>
  %m = nn.binary "add" %p, %pad : tensor<2x3x5x5xf32>, tensor<2x1x1x5xf32> -> tensor<2x3x5x5xf32>
  %w = nn.softmax %m : tensor<2x3x5x5xf32> -> tensor<2x3x5x5xf32>
  %y = nn.matmul %w, %v : tensor<2x3x5x5xf32>, tensor<2x3x5x8xf32> -> tensor<2x3x5x8xf32>
  return %y : tensor<2x3x5x8xf32>
}

// -----

// The causal side and the window stand in masks of their own, added one after the other.
// CHECK-LABEL: func.func @main
// CHECK: nn.attention %{{.*}}, @scratch0, @scratch1 length {{.*}} causal true {window = 3 : i64}
func.func @main(%q: tensor<1x2x6x8xf32> {onnx.name = "q"}, %k: tensor<1x2x6x8xf32> {onnx.name = "k"}, %v: tensor<1x2x6x8xf32> {onnx.name = "v"})
    -> (tensor<1x2x6x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x2x6x8xf32> -> tensor<1x2x8x6xf32>
  %p = nn.matmul %q, %t : tensor<1x2x6x8xf32>, tensor<1x2x8x6xf32> -> tensor<1x2x6x6xf32>
  %j = nn.iota affine_map<() -> (0)> step 1 : tensor<6xi32>
  %i = nn.reshape %j : tensor<6xi32> -> tensor<6x1xi32>
  %three = nn.constant dense<3> : tensor<i32> : tensor<i32>
  %begin = nn.binary "sub" %i, %three : tensor<6x1xi32>, tensor<i32> -> tensor<6x1xi32>
  %none = nn.constant dense<0.0> : tensor<f32> : tensor<f32>
  %least = nn.constant dense<-3.0e+38> : tensor<f32> : tensor<f32>
  %recent = nn.binary "greater" %j, %begin : tensor<6xi32>, tensor<6x1xi32> -> tensor<6x6xi1>
  %window = nn.select %recent, %none, %least : tensor<6x6xi1>, tensor<f32>, tensor<f32> -> tensor<6x6xf32>
  %own = nn.binary "less_or_equal" %j, %i : tensor<6xi32>, tensor<6x1xi32> -> tensor<6x6xi1>
  %causal = nn.select %own, %none, %least : tensor<6x6xi1>, tensor<f32>, tensor<f32> -> tensor<6x6xf32>
  %a = nn.binary "add" %p, %window : tensor<1x2x6x6xf32>, tensor<6x6xf32> -> tensor<1x2x6x6xf32>
  %b = nn.binary "add" %a, %causal : tensor<1x2x6x6xf32>, tensor<6x6xf32> -> tensor<1x2x6x6xf32>
  %w = nn.softmax %b : tensor<1x2x6x6xf32> -> tensor<1x2x6x6xf32>
  %y = nn.matmul %w, %v : tensor<1x2x6x6xf32>, tensor<1x2x6x8xf32> -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}

// -----

// masked_fill: scores give way to a large negative number where a key is later than the query. With a bias a head, of which nothing is known.
// CHECK-LABEL: func.func @main
// CHECK: nn.attention %{{.*}}, @scratch0, @scratch1 mask %arg3 : tensor<1x2x1x6xf32> length {{.*}} causal true
// CHECK-NOT: nn.softmax
func.func @main(%q: tensor<1x2x6x8xf32> {onnx.name = "q"}, %k: tensor<1x2x6x8xf32> {onnx.name = "k"}, %v: tensor<1x2x6x8xf32> {onnx.name = "v"},
    %bias: tensor<1x2x1x6xf32> {onnx.name = "b"}) -> (tensor<1x2x6x8xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x2x6x8xf32> -> tensor<1x2x8x6xf32>
  %p = nn.matmul %q, %t : tensor<1x2x6x8xf32>, tensor<1x2x8x6xf32> -> tensor<1x2x6x6xf32>
  %biased = nn.binary "add" %p, %bias : tensor<1x2x6x6xf32>, tensor<1x2x1x6xf32> -> tensor<1x2x6x6xf32>
  %j = nn.iota affine_map<() -> (0)> step 1 : tensor<6xi32>
  %i = nn.reshape %j : tensor<6xi32> -> tensor<6x1xi32>
  %late = nn.binary "greater" %j, %i : tensor<6xi32>, tensor<6x1xi32> -> tensor<6x6xi1>
  %least = nn.constant dense<0xFF800000> : tensor<f32> : tensor<f32>
  %m = nn.select %late, %least, %biased : tensor<6x6xi1>, tensor<f32>, tensor<1x2x6x6xf32> -> tensor<1x2x6x6xf32>
  %w = nn.softmax %m : tensor<1x2x6x6xf32> -> tensor<1x2x6x6xf32>
  %y = nn.matmul %w, %v : tensor<1x2x6x6xf32>, tensor<1x2x6x8xf32> -> tensor<1x2x6x8xf32>
  return %y : tensor<1x2x6x8xf32>
}
