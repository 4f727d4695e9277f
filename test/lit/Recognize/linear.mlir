// A product with a weight, folded dequantisation and transpose included, is a linear layer; two run-time tensors are not.
// RUN: ahm-opt %s -nn-recognize="kv-state=false append-argmax=false" | FileCheck %s

// CHECK: nn.weight @table.folded {{.*}} recipe {{\[}}["transpose", 1, 0], ["cast", "f32"], ["add", -1.290000e+02 : f32], ["mul", 5.000000e-01 : f32]]
// CHECK-LABEL: func.func @first
// CHECK: nn.linear %{{.*}}, @table.folded bias %{{.*}}
// CHECK-LABEL: func.func @second
// CHECK: nn.linear %{{.*}}, @table.folded :
// CHECK-LABEL: func.func @near_miss
// CHECK: nn.matmul
// CHECK-NOT: nn.linear
module {
  nn.weight @table : tensor<8x4xui8> from tensor<8x4xui8> in "" at 0 size 32 recipe []
  nn.weight @bias : tensor<8xf32> from tensor<8xf32> in "" at 32 size 32 recipe []
  func.func @first(%x: tensor<1x2x4xf32>) -> tensor<1x2x8xf32> {
    %w = nn.get_weight @table : tensor<8x4xui8>
    %b = nn.get_weight @bias : tensor<8xf32>
    %zero = nn.constant dense<1.290000e+02> : tensor<f32> : tensor<f32>
    %scale = nn.constant dense<5.000000e-01> : tensor<f32> : tensor<f32>
    %t = nn.transpose %w perm [1, 0] : tensor<8x4xui8> -> tensor<4x8xui8>
    %c = nn.cast %t : tensor<4x8xui8> -> tensor<4x8xf32>
    %s = nn.binary "sub" %c, %zero : tensor<4x8xf32>, tensor<f32> -> tensor<4x8xf32>
    %m = nn.binary "mul" %scale, %s : tensor<f32>, tensor<4x8xf32> -> tensor<4x8xf32>
    %y = nn.matmul %x, %m : tensor<1x2x4xf32>, tensor<4x8xf32> -> tensor<1x2x8xf32>
    %z = nn.binary "add" %b, %y : tensor<8xf32>, tensor<1x2x8xf32> -> tensor<1x2x8xf32>
    return %z : tensor<1x2x8xf32>
  }
  func.func @second(%x: tensor<1x2x4xf32>) -> tensor<1x2x8xf32> {
    %w = nn.get_weight @table : tensor<8x4xui8>
    %zero = nn.constant dense<1.290000e+02> : tensor<f32> : tensor<f32>
    %scale = nn.constant dense<5.000000e-01> : tensor<f32> : tensor<f32>
    %t = nn.transpose %w perm [1, 0] : tensor<8x4xui8> -> tensor<4x8xui8>
    %c = nn.cast %t : tensor<4x8xui8> -> tensor<4x8xf32>
    %s = nn.binary "sub" %c, %zero : tensor<4x8xf32>, tensor<f32> -> tensor<4x8xf32>
    %m = nn.binary "mul" %s, %scale : tensor<4x8xf32>, tensor<f32> -> tensor<4x8xf32>
    %y = nn.matmul %x, %m : tensor<1x2x4xf32>, tensor<4x8xf32> -> tensor<1x2x8xf32>
    return %y : tensor<1x2x8xf32>
  }
  func.func @near_miss(%x: tensor<1x2x4xf32>, %w: tensor<4x8xf32>) -> tensor<1x2x8xf32> {
    %y = nn.matmul %x, %w : tensor<1x2x4xf32>, tensor<4x8xf32> -> tensor<1x2x8xf32>
    return %y : tensor<1x2x8xf32>
  }
}
