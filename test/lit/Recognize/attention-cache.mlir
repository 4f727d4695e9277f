// RUN: ahm-opt %s -nn-recognize | FileCheck %s
// Two cached tokens' worth of structure: grouped queries, a causal mask over a padding mask, caches that replace past/present.

#ids = affine_map<()[s0, s1] -> (1, s0 + s1)>
#past = affine_map<()[s0, s1] -> (1, 2, s1, 8)>
#new = affine_map<()[s0, s1] -> (1, 2, s0, 8)>
#all = affine_map<()[s0, s1] -> (1, 2, s0 + s1, 8)>
#one = affine_map<()[s0, s1] -> (1, 2, 1, s0 + s1, 8)>
#two = affine_map<()[s0, s1] -> (1, 2, 2, s0 + s1, 8)>
#rep = affine_map<()[s0, s1] -> (1, 4, s0 + s1, 8)>
#kt = affine_map<()[s0, s1] -> (1, 4, 8, s0 + s1)>
#q = affine_map<()[s0, s1] -> (1, 4, s0, 8)>
#s = affine_map<()[s0, s1] -> (1, 4, s0, s0 + s1)>
#keys = affine_map<()[s0, s1] -> (s0 + s1)>
#row = affine_map<()[s0, s1] -> (1, s0 + s1)>
#queries = affine_map<()[s0, s1] -> (s0)>
#column = affine_map<()[s0, s1] -> (s0, 1)>
#square = affine_map<()[s0, s1] -> (s0, s0 + s1)>
#mask = affine_map<()[s0, s1] -> (1, 1, s0, s0 + s1)>
#pad = affine_map<()[s0, s1] -> (1, 1, 1, s0 + s1)>
#zero = affine_map<()[s0, s1] -> (0)>
#start = affine_map<()[s0, s1] -> (s1)>

// CHECK: #[[$PAST:.*]] = affine_map<()[s0, s1] -> (s1)>
// CHECK: #[[$LENGTH:.*]] = affine_map<()[s0, s1] -> (s0 + s1)>
// CHECK: nn.cache @kv0 heads 2 head_dim 8 capacity 128 {past_input = "past.k", present_output = "present.k"}
// CHECK: nn.cache @kv1 heads 2 head_dim 8 capacity 128 {past_input = "past.v", present_output = "present.v"}
// CHECK-LABEL: func.func @prefill
// CHECK-SAME: -> (tensor<1x4x?x8xf32
// CHECK: nn.cache_append @kv0, %{{.*}} at #[[$PAST]]
// CHECK: nn.cache_append @kv1, %{{.*}} at #[[$PAST]]
// CHECK: nn.attention %{{.*}}, @kv0, @kv1 length #[[$LENGTH]] position #[[$PAST]] scale 5.000000e-01 causal true
// CHECK-NOT: nn.softmax
func.func @prefill(%m: tensor<1x?xi32, #ids> {nn.role = "mask", onnx.name = "attention_mask"}, %q: tensor<1x4x?x8xf32, #q> {onnx.name = "q", nn.role = "audio"},
    %k: tensor<1x2x?x8xf32, #new> {onnx.name = "k", nn.role = "audio"}, %v: tensor<1x2x?x8xf32, #new> {onnx.name = "v", nn.role = "audio"},
    %pk: tensor<1x2x?x8xf32, #past> {onnx.name = "past.k"}, %pv: tensor<1x2x?x8xf32, #past> {onnx.name = "past.v"})
    -> (tensor<1x4x?x8xf32, #q> {onnx.name = "out"}, tensor<1x2x?x8xf32, #all> {onnx.name = "present.k"}, tensor<1x2x?x8xf32, #all> {onnx.name = "present.v"})
    attributes {nn.values = [{name = "t", min = 1 : i64, max = 64 : i64}, {name = "p", min = 0 : i64, max = 64 : i64}]} {
  %0 = nn.iota #zero step 1 : tensor<?xi32, #keys>
  %1 = nn.reshape %0 : tensor<?xi32, #keys> -> tensor<1x?xi32, #row>
  %2 = nn.iota #start step 1 : tensor<?xi32, #queries>
  %3 = nn.reshape %2 : tensor<?xi32, #queries> -> tensor<?x1xi32, #column>
  %4 = nn.binary "less_or_equal" %1, %3 : tensor<1x?xi32, #row>, tensor<?x1xi32, #column> -> tensor<?x?xi1, #square>
  %5 = nn.reshape %4 : tensor<?x?xi1, #square> -> tensor<1x1x?x?xi1, #mask>
  %6 = nn.reshape %m : tensor<1x?xi32, #ids> -> tensor<1x1x1x?xi32, #pad>
  %7 = nn.constant dense<0> : tensor<i32> : tensor<i32>
  %8 = nn.binary "greater" %6, %7 : tensor<1x1x1x?xi32, #pad>, tensor<i32> -> tensor<1x1x1x?xi1, #pad>
  %9 = nn.binary "and" %5, %8 : tensor<1x1x?x?xi1, #mask>, tensor<1x1x1x?xi1, #pad> -> tensor<1x1x?x?xi1, #mask>
  %10 = nn.constant dense<0.0> : tensor<f32> : tensor<f32>
  %11 = nn.constant dense<-3.0e+38> : tensor<f32> : tensor<f32>
  %12 = nn.select %9, %10, %11 : tensor<1x1x?x?xi1, #mask>, tensor<f32>, tensor<f32> -> tensor<1x1x?x?xf32, #mask>
  %13 = nn.concat axis 2 %pk, %k : (tensor<1x2x?x8xf32, #past>, tensor<1x2x?x8xf32, #new>) -> tensor<1x2x?x8xf32, #all>
  %14 = nn.concat axis 2 %pv, %v : (tensor<1x2x?x8xf32, #past>, tensor<1x2x?x8xf32, #new>) -> tensor<1x2x?x8xf32, #all>
  %15 = nn.reshape %13 : tensor<1x2x?x8xf32, #all> -> tensor<1x2x1x?x8xf32, #one>
  %16 = nn.broadcast %15 : tensor<1x2x1x?x8xf32, #one> -> tensor<1x2x2x?x8xf32, #two>
  %17 = nn.reshape %16 : tensor<1x2x2x?x8xf32, #two> -> tensor<1x4x?x8xf32, #rep>
  %18 = nn.transpose %17 perm [0, 1, 3, 2] : tensor<1x4x?x8xf32, #rep> -> tensor<1x4x8x?xf32, #kt>
  %19 = nn.matmul %q, %18 : tensor<1x4x?x8xf32, #q>, tensor<1x4x8x?xf32, #kt> -> tensor<1x4x?x?xf32, #s>
  %20 = nn.constant dense<2.0> : tensor<f32> : tensor<f32>
  %21 = nn.binary "div" %19, %20 : tensor<1x4x?x?xf32, #s>, tensor<f32> -> tensor<1x4x?x?xf32, #s>
  %22 = nn.binary "add" %21, %12 : tensor<1x4x?x?xf32, #s>, tensor<1x1x?x?xf32, #mask> -> tensor<1x4x?x?xf32, #s>
  %23 = nn.softmax %22 : tensor<1x4x?x?xf32, #s> -> tensor<1x4x?x?xf32, #s>
  %24 = nn.reshape %14 : tensor<1x2x?x8xf32, #all> -> tensor<1x2x1x?x8xf32, #one>
  %25 = nn.broadcast %24 : tensor<1x2x1x?x8xf32, #one> -> tensor<1x2x2x?x8xf32, #two>
  %26 = nn.reshape %25 : tensor<1x2x2x?x8xf32, #two> -> tensor<1x4x?x8xf32, #rep>
  %27 = nn.matmul %23, %26 : tensor<1x4x?x?xf32, #s>, tensor<1x4x?x8xf32, #rep> -> tensor<1x4x?x8xf32, #q>
  return %27, %13, %14 : tensor<1x4x?x8xf32, #q>, tensor<1x2x?x8xf32, #all>, tensor<1x2x?x8xf32, #all>
}
