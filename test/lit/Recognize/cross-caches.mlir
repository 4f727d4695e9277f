// An encoder's keys and values that go into the decoder with every call: the prefill stores them, decode finds them on the card.
// RUN: ahm-opt %s -nn-recognize | FileCheck %s
// RUN: ahm-opt %s -nn-recognize=kv-state=0 | FileCheck %s --check-prefix=PLAIN
// No output of the encoder is this input: it stays one.
// RUN: sed 's/present_key_cross_0/something/' %s | ahm-opt -nn-recognize | FileCheck %s --check-prefix=OTHER

// CHECK: nn.cache @[[K:.*]] heads 1 head_dim 4 capacity 8 {cross}
// CHECK-LABEL: func.func @decoder.prefill
// CHECK-SAME: onnx.name = "past_key_cross_0"
// CHECK: nn.cache_append @[[K]], %{{.*}}
// CHECK: nn.attention %{{.*}}, @[[K]], @[[V:.*]] length
// CHECK-LABEL: func.func @decoder.decode
// CHECK-NOT: cross_0
// CHECK-NOT: nn.cache_append
// CHECK: nn.attention %{{.*}}, @[[K]], @[[V]] length
// PLAIN-LABEL: func.func @decoder.decode
// PLAIN-SAME: onnx.name = "past_key_cross_0"
// PLAIN: nn.cache_append
// OTHER-LABEL: func.func @decoder.decode
// OTHER-SAME: onnx.name = "past_key_cross_0"
// OTHER-NOT: onnx.name = "past_value_cross_0"
#q = affine_map<()[s0] -> (1, 1, s0, 4)>
#r = affine_map<()[s0] -> (1, s0, 4)>
#s = affine_map<()[s0] -> (1, 1, s0, 8)>
func.func @encoder.main(%x: tensor<1x1x8x4xf32> {onnx.name = "x"})
    -> (tensor<1x1x8x4xf32> {onnx.name = "present_key_cross_0"}, tensor<1x1x8x4xf32> {onnx.name = "present_value_cross_0"}) attributes {nn.values = []} {
  %k = nn.unary "tanh" %x : tensor<1x1x8x4xf32> -> tensor<1x1x8x4xf32>
  %v = nn.unary "sin" %x : tensor<1x1x8x4xf32> -> tensor<1x1x8x4xf32>
  return %k, %v : tensor<1x1x8x4xf32>, tensor<1x1x8x4xf32>
}
func.func @decoder.prefill(%r: tensor<1x?x4xf32, #r> {onnx.name = "q"}, %k: tensor<1x1x8x4xf32> {onnx.name = "past_key_cross_0"},
    %v: tensor<1x1x8x4xf32> {onnx.name = "past_value_cross_0"}) -> (tensor<1x1x?x4xf32, #q> {onnx.name = "y"})
    attributes {nn.values = [{name = "t", min = 1 : i64, max = 16 : i64}]} {
  %q = nn.reshape %r : tensor<1x?x4xf32, #r> -> tensor<1x1x?x4xf32, #q>
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x1x8x4xf32> -> tensor<1x1x4x8xf32>
  %s = nn.matmul %q, %t : tensor<1x1x?x4xf32, #q>, tensor<1x1x4x8xf32> -> tensor<1x1x?x8xf32, #s>
  %p = nn.softmax %s : tensor<1x1x?x8xf32, #s> -> tensor<1x1x?x8xf32, #s>
  %y = nn.matmul %p, %v : tensor<1x1x?x8xf32, #s>, tensor<1x1x8x4xf32> -> tensor<1x1x?x4xf32, #q>
  return %y : tensor<1x1x?x4xf32, #q>
}
func.func @decoder.decode(%q: tensor<1x1x1x4xf32> {onnx.name = "q"}, %k: tensor<1x1x8x4xf32> {onnx.name = "past_key_cross_0"},
    %v: tensor<1x1x8x4xf32> {onnx.name = "past_value_cross_0"}) -> (tensor<1x1x1x4xf32> {onnx.name = "y"}) attributes {nn.values = []} {
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x1x8x4xf32> -> tensor<1x1x4x8xf32>
  %s = nn.matmul %q, %t : tensor<1x1x1x4xf32>, tensor<1x1x4x8xf32> -> tensor<1x1x1x8xf32>
  %p = nn.softmax %s : tensor<1x1x1x8xf32> -> tensor<1x1x1x8xf32>
  %y = nn.matmul %p, %v : tensor<1x1x1x8xf32>, tensor<1x1x8x4xf32> -> tensor<1x1x1x4xf32>
  return %y : tensor<1x1x1x4xf32>
}
