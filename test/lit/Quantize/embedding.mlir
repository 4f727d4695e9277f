// Gathers of rows of a large table of floats become embeddings in the weights' format: the tied table in the product's own. Tables of
// integers, small ones, those read along another axis and rotary frequencies stay as they are.
// RUN: ahm-opt %s -nn-quantize="weights=mxint4" | FileCheck %s

// CHECK: nn.weight @tied {{.*}}format = "mxint4"
// CHECK: nn.weight @both :{{.*}}format = "f32"
// CHECK: nn.weight @both_mxint4 {{.*}}format = "mxint4"
// CHECK: nn.weight @codes {{.*}}format = "u8"
// CHECK: nn.weight @angles {{.*}}format = "f32"
// CHECK: nn.weight @small {{.*}}format = "f32"
// CHECK-LABEL: func.func @main
// CHECK-NOT: nn.get_weight @tied
// CHECK: nn.embedding @tied[%{{.*}}] : tensor<1x4xi32> -> tensor<1x4x64xf32>
// CHECK: nn.embedding @both_mxint4[
// CHECK: nn.reduce "sum"
// CHECK: nn.gather {{.*}} axis 0 : tensor<128x64xui8>
// CHECK: nn.gather {{.*}} axis 0 : tensor<512x16xf32>
// CHECK: nn.gather {{.*}} axis 0 : tensor<8x64xf32>
// CHECK: nn.gather {{.*}} axis 1 : tensor<128x64xf32>
module {
  nn.weight @tied : tensor<128x64xf32> from tensor<128x64xf32> in "" at 0 size 32768 recipe []
  nn.weight @both : tensor<128x64xf32> from tensor<128x64xf32> in "" at 0 size 32768 recipe []
  nn.weight @codes : tensor<128x64xui8> from tensor<128x64xui8> in "" at 0 size 8192 recipe []
  nn.weight @angles : tensor<512x16xf32> from tensor<512x16xf32> in "" at 0 size 32768 recipe []
  nn.weight @small : tensor<8x64xf32> from tensor<8x64xf32> in "" at 0 size 2048 recipe []
  func.func @main(%ids: tensor<1x4xi32>, %q: tensor<1x2x4x32xf32>)
      -> (tensor<1x4x64xf32>, tensor<1x4x64xf32>, tensor<1xf32>, tensor<1x4x64xui8>, tensor<1x2x4x32xf32>, tensor<1x4x64xf32>, tensor<128x1x4xf32>) {
    %t = nn.get_weight @tied : tensor<128x64xf32>
    %x = nn.gather %t[%ids] axis 0 : tensor<128x64xf32>, tensor<1x4xi32> -> tensor<1x4x64xf32>
    %b = nn.get_weight @both : tensor<128x64xf32>
    %y = nn.gather %b[%ids] axis 0 : tensor<128x64xf32>, tensor<1x4xi32> -> tensor<1x4x64xf32>
    %f = nn.reshape %b : tensor<128x64xf32> -> tensor<1x8192xf32>
    %s = nn.reduce "sum" %f axes [1] keepdims false : tensor<1x8192xf32> -> tensor<1xf32>
    %c = nn.get_weight @codes : tensor<128x64xui8>
    %u = nn.gather %c[%ids] axis 0 : tensor<128x64xui8>, tensor<1x4xi32> -> tensor<1x4x64xui8>
    %a = nn.get_weight @angles : tensor<512x16xf32>
    %g = nn.gather %a[%ids] axis 0 : tensor<512x16xf32>, tensor<1x4xi32> -> tensor<1x4x16xf32>
    %r = nn.rotary %q, %g, %g interleaved false : tensor<1x2x4x32xf32>, tensor<1x4x16xf32>, tensor<1x4x16xf32> -> tensor<1x2x4x32xf32>
    %k = nn.get_weight @small : tensor<8x64xf32>
    %z = nn.gather %k[%ids] axis 0 : tensor<8x64xf32>, tensor<1x4xi32> -> tensor<1x4x64xf32>
    %w = nn.gather %b[%ids] axis 1 : tensor<128x64xf32>, tensor<1x4xi32> -> tensor<128x1x4xf32>
    return %x, %y, %s, %u, %r, %z, %w : tensor<1x4x64xf32>, tensor<1x4x64xf32>, tensor<1xf32>, tensor<1x4x64xui8>, tensor<1x2x4x32xf32>, tensor<1x4x64xf32>, tensor<128x1x4xf32>
  }
}
