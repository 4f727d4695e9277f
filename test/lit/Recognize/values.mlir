// Run-time values that nothing uses any more are dropped, and the others renumbered in types and positions.
// RUN: ahm-opt %s -nn-recognize | FileCheck %s

#x = affine_map<()[s0, s1, s2] -> (1, s1, 8)>
#last = affine_map<()[s0, s1, s2] -> (s1 - 1)>

// CHECK: #[[$X:.*]] = affine_map<()[s0] -> (1, s0, 8)>
// CHECK: #[[$LAST:.*]] = affine_map<()[s0] -> (s0 - 1)>
// CHECK-LABEL: func.func @main
// CHECK-SAME: tensor<1x?x8xf32, #[[$X]]>
// CHECK-SAME: nn.values = [{max = 16 : i64, min = 1 : i64, name = "tokens"}]
func.func @main(%x: tensor<1x?x8xf32, #x> {onnx.name = "x"}) -> (tensor<1x?x8xf32, #x> {onnx.name = "y"}, tensor<1xi32> {onnx.name = "i"})
    attributes {nn.values = [{name = "past", min = 0 : i64, max = 9 : i64}, {name = "tokens", min = 1 : i64, max = 16 : i64}, {name = "rest", min = 1 : i64, max = 2 : i64}]} {
  // CHECK: nn.unary "tanh" {{.*}} -> tensor<1x?x8xf32, #[[$X]]>
  %0 = nn.unary "tanh" %x : tensor<1x?x8xf32, #x> -> tensor<1x?x8xf32, #x>
  // CHECK: nn.runtime #[[$LAST]]
  %1 = nn.runtime #last : tensor<1xi32>
  return %0, %1 : tensor<1x?x8xf32, #x>, tensor<1xi32>
}
