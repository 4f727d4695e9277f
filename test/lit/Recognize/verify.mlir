// What recognition leaves is an error that names the node and a remedy.
// RUN: not ahm-opt %s -nn-recognize="kv-state=false append-argmax=false" -verify-nn 2>&1 | FileCheck %s

// CHECK: node "/layer/Conv": Conv was not recognised
// CHECK-SAME: weight and bias must be initializers
module {
  func.func @main(%x: tensor<1x2x8xf32>, %w: tensor<4x2x3xf32>) -> tensor<1x4x6xf32> {
    %y = nn.conv %x, %w stride 1 dilation 1 pads 0 0 : tensor<1x2x8xf32>, tensor<4x2x3xf32> -> tensor<1x4x6xf32> loc("/layer/Conv")
    return %y : tensor<1x4x6xf32>
  }
}
