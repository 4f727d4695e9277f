// Several cards need an all-reduce behind each product that closes a residual branch; a bias, a gate and one card do not.
// RUN: ahm-opt %s -nn-shard=cards=2 | FileCheck %s
// RUN: ahm-opt %s -nn-shard | FileCheck %s --check-prefix=ONE
// RUN: not ahm-opt %s -nn-shard=cards=0 2>&1 | FileCheck %s --check-prefix=NONE
// ONE-NOT: nn.all_reduce
// NONE: a program needs at least one card, not 0
// CHECK: nn.cards = 2
nn.weight @w : tensor<8x8xf32> from tensor<8x8xf32> in "" at 0 size 256 recipe []
nn.weight @b : tensor<8xf32> from tensor<8xf32> in "" at 0 size 32 recipe []
// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<1x4x8xf32>) -> tensor<1x4x8xf32> {
  %bias = nn.get_weight @b : tensor<8xf32>
  // CHECK: %[[Q:.*]] = nn.linear
  // CHECK-NEXT: nn.binary "add" %[[Q]]
  %0 = nn.linear %x, @w : tensor<1x4x8xf32> -> tensor<1x4x8xf32>
  %1 = nn.binary "add" %0, %bias : tensor<1x4x8xf32>, tensor<8xf32> -> tensor<1x4x8xf32>
  %2 = nn.unary "tanh" %1 : tensor<1x4x8xf32> -> tensor<1x4x8xf32>
  // CHECK: %[[O:.*]] = nn.linear
  // CHECK-NEXT: %[[S:.*]] = nn.all_reduce %[[O]]
  // CHECK-NEXT: %[[R:.*]] = nn.binary "add" %arg0, %[[S]]
  %3 = nn.linear %2, @w : tensor<1x4x8xf32> -> tensor<1x4x8xf32>
  %4 = nn.binary "add" %x, %3 : tensor<1x4x8xf32>, tensor<1x4x8xf32> -> tensor<1x4x8xf32>
  // CHECK: %[[D:.*]] = nn.linear %[[R]]
  // CHECK-NEXT: %[[B:.*]] = nn.binary "add" %[[D]]
  // CHECK-NEXT: %[[T:.*]] = nn.all_reduce %[[B]]
  // CHECK-NEXT: nn.binary "add" %[[T]], %[[R]]
  %5 = nn.linear %4, @w : tensor<1x4x8xf32> -> tensor<1x4x8xf32>
  %6 = nn.binary "add" %5, %bias : tensor<1x4x8xf32>, tensor<8xf32> -> tensor<1x4x8xf32>
  %7 = nn.binary "add" %6, %4 : tensor<1x4x8xf32>, tensor<1x4x8xf32> -> tensor<1x4x8xf32>
  return %7 : tensor<1x4x8xf32>
}
