// Integer products that are no linear layer: exact, in parts of 256 terms; term by term over a run-time length.
// RUN: ahm-opt %s -nn-recognize="kv-state=false append-argmax=false" -verify-nn | FileCheck %s

// CHECK-LABEL: func.func @parts
// CHECK: %[[X:.*]] = nn.cast %arg0 : tensor<2x300xui8> -> tensor<2x300xi32>
// CHECK: nn.binary "sub" %[[X]]
// CHECK: nn.slice %{{.*}} : tensor<2x300xi32> -> tensor<2x256xi32>
// CHECK: nn.matmul %{{.*}} : tensor<2x256xf32>, tensor<256x4xf32> -> tensor<2x4xf32>
// CHECK: nn.matmul %{{.*}} : tensor<2x44xf32>, tensor<44x4xf32> -> tensor<2x4xf32>
// CHECK: nn.binary "add" %{{.*}} -> tensor<2x4xi32>
func.func @parts(%x: tensor<2x300xui8>, %w: tensor<300x4xi8>, %zero: tensor<ui8>) -> tensor<2x4xi32> {
  %y = nn.matmul_integer %x, %w lhs_zero_point %zero : tensor<ui8> : tensor<2x300xui8>, tensor<300x4xi8> -> tensor<2x4xi32>
  return %y : tensor<2x4xi32>
}

// CHECK-LABEL: func.func @run_time
// CHECK: nn.binary "mul"
// CHECK: nn.reduce "sum"
#x = affine_map<()[s0] -> (2, s0)>
#w = affine_map<()[s0] -> (s0, 4)>
func.func @run_time(%x: tensor<2x?xui8, #x>, %w: tensor<?x4xi8, #w>) -> tensor<2x4xi32> attributes {nn.values = [{name = "n", min = 1 : i64, max = 9 : i64}]} {
  %y = nn.matmul_integer %x, %w : tensor<2x?xui8, #x>, tensor<?x4xi8, #w> -> tensor<2x4xi32>
  return %y : tensor<2x4xi32>
}
