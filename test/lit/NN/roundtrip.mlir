// Shapes as maps of run-time values, weights, caches and blocks print and parse again.
// RUN: ahm-opt %s | ahm-opt | FileCheck %s

#x = affine_map<()[s0] -> (1, s0, 8)>
#h = affine_map<()[s0] -> (1, s0, 4)>

// CHECK: nn.weight @w : tensor<8x4xf32> from tensor<4x8xf16> in "m.bin" at 16 size 64
nn.weight @w : tensor<8x4xf32> from tensor<4x8xf16> in "m.bin" at 16 size 64 recipe [["transpose", 1, 0], ["cast", "f32"]]
// CHECK: nn.cache @k heads 2 head_dim 4 capacity 16
nn.cache @k heads 2 head_dim 4 capacity 16

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x?x8xf32, #x>) -> tensor<1x?x4xf32, #h> attributes {nn.values = [{name = "n", min = 1 : i64, max = 16 : i64}]} {
  // CHECK: nn.constant dense<1.000000e+00> : tensor<8xf32>
  %g = nn.constant dense<1.0> : tensor<8xf32> : tensor<8xf32>
  // CHECK: nn.rms_norm {{.*}} gamma
  %n = nn.rms_norm %x gamma %g : tensor<8xf32> epsilon 1.0e-5 : tensor<1x?x8xf32, #x> -> tensor<1x?x8xf32, #x>
  // CHECK: nn.get_weight @w : tensor<8x4xf32>
  %w = nn.get_weight @w : tensor<8x4xf32>
  // CHECK: nn.matmul
  %y = nn.matmul %n, %w : tensor<1x?x8xf32, #x>, tensor<8x4xf32> -> tensor<1x?x4xf32, #h>
  return %y : tensor<1x?x4xf32, #h>
}
