// Rows of integers that are made floats take them from the product that has the same floats as its weight, whatever order its recipe has them in: the
// table is stored once. Without such a product, or with other floats, the integers are gathered.
// RUN: ahm-opt %s -nn-quantize | FileCheck %s

// CHECK: nn.weight @table.table : tensor<128x64xf32> from tensor<128x64xui8> {{.*}}recipe {{\[}}["cast", "f32"], ["add", -1.280000e+02 : f32], ["mul", 5.000000e-01 : f32]] {format = "mxint16"}
// CHECK-LABEL: func.func @main
// CHECK: %[[X:.*]] = nn.embedding @table.table[%arg0]
// CHECK: nn.binary "add" %[[X]], %[[X]]
// CHECK-NOT: nn.gather %{{.*}}[%arg0] axis 0 : tensor<128x64xui8>, tensor<1x4xi32> -> tensor<1x4x64xui8>
// CHECK: nn.gather {{.*}} : tensor<256x64xui8>
// CHECK: nn.binary "mul"
module {
  nn.weight @table : tensor<128x64xui8> from tensor<128x64xui8> in "w.bin" at 0 size 8192 recipe []
  nn.weight @other : tensor<256x64xui8> from tensor<256x64xui8> in "w.bin" at 8192 size 16384 recipe []
  nn.weight @head : tensor<64x128xf32> from tensor<128x64xui8> in "w.bin" at 0 size 8192 recipe [["transpose", 1, 0], ["cast", "f32"], ["add", -1.280000e+02 : f32], ["mul", 5.000000e-01 : f32]]
  nn.weight @ints : tensor<64x64xi8> from tensor<64x64xi8> in "w.bin" at 32768 size 4096 recipe []
  func.func @main(%ids: tensor<1x4xi32>) -> (tensor<1x4x128xf32>, tensor<1x4x64xf32>, tensor<1x4x64xf32>) {
    %zero = nn.constant dense<1.280000e+02> : tensor<f32> : tensor<f32>
    %scale = nn.constant dense<5.000000e-01> : tensor<f32> : tensor<f32>
    %t = nn.get_weight @table : tensor<128x64xui8>
    %q = nn.gather %t[%ids] axis 0 : tensor<128x64xui8>, tensor<1x4xi32> -> tensor<1x4x64xui8>
    %f = nn.cast %q : tensor<1x4x64xui8> -> tensor<1x4x64xf32>
    %c = nn.binary "sub" %f, %zero : tensor<1x4x64xf32>, tensor<f32> -> tensor<1x4x64xf32>
    %x = nn.binary "mul" %scale, %c : tensor<f32>, tensor<1x4x64xf32> -> tensor<1x4x64xf32>
    %two = nn.binary "add" %x, %x : tensor<1x4x64xf32>, tensor<1x4x64xf32> -> tensor<1x4x64xf32>
    %o = nn.get_weight @other : tensor<256x64xui8>
    %p = nn.gather %o[%ids] axis 0 : tensor<256x64xui8>, tensor<1x4xi32> -> tensor<1x4x64xui8>
    %g = nn.cast %p : tensor<1x4x64xui8> -> tensor<1x4x64xf32>
    %z = nn.binary "mul" %g, %scale : tensor<1x4x64xf32>, tensor<f32> -> tensor<1x4x64xf32>
    %dq, %ds, %dz = nn.dynamic_quantize %two : tensor<1x4x64xf32> -> tensor<1x4x64xui8>, tensor<f32>, tensor<ui8>
    %i = nn.int8_linear %dq scale %ds zero_point %dz, @ints weight_scale 1.0e-2 weight_zero_point 0 : tensor<1x4x64xui8>, tensor<f32>, tensor<ui8> -> tensor<1x4x64xf32>
    %y = nn.linear %two, @head : tensor<1x4x64xf32> -> tensor<1x4x128xf32>
    return %y, %z, %i : tensor<1x4x128xf32>, tensor<1x4x64xf32>, tensor<1x4x64xf32>
  }
}
