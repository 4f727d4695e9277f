// Shapes as maps of run-time values, weights, caches and blocks print and parse again.
// RUN: ahm-opt %s | ahm-opt | FileCheck %s

#x = affine_map<()[s0] -> (1, s0, 8)>
#h = affine_map<()[s0] -> (1, s0, 4)>

// CHECK: nn.weight @w : tensor<8x4xf32> from tensor<4x8xf16> in "m.bin" at 16 size 64
nn.weight @w : tensor<8x4xf32> from tensor<4x8xf16> in "m.bin" at 16 size 64 recipe [["transpose", 1, 0], ["cast", "f32"]]
// CHECK: nn.cache @k heads 2 head_dim 4 capacity 16
nn.cache @k heads 2 head_dim 4 capacity 16
// CHECK: nn.weight @c : tensor<2xf32> from tensor<2xui8> in "" at 0 size 0 recipe {{.*}}"block_dequant", {axis = -1 : i64, {{.*}}] {value = dense<[1, 2]> : tensor<2xui8>}
nn.weight @c : tensor<2xf32> from tensor<2xui8> in "" at 0 size 0 recipe [["block_dequant", {axis = -1, scales = {value = dense<0.5> : tensor<f32>}}]] {value = dense<[1, 2]> : tensor<2xui8>}

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

// Every other operation.
// CHECK-LABEL: func.func @ops
func.func @ops(%x: tensor<2x4xf32>, %c: tensor<2x4xi1>, %i: tensor<3xi32>, %q: tensor<1x2x3x4xf32>, %t: tensor<3x2xf32>, %a: tensor<1x4x9xf32>, %k: tensor<8x4x3xf32>, %b: tensor<8xf32>, %v: tensor<4xf32>, %u: tensor<4x2xi8>, %rows: tensor<3x4xf32>) {
  // CHECK: nn.unary "neg"
  %0 = nn.unary "neg" %x : tensor<2x4xf32> -> tensor<2x4xf32>
  // CHECK: nn.binary "add"
  %1 = nn.binary "add" %x, %v : tensor<2x4xf32>, tensor<4xf32> -> tensor<2x4xf32>
  // CHECK: nn.select
  %2 = nn.select %c, %x, %v : tensor<2x4xi1>, tensor<2x4xf32>, tensor<4xf32> -> tensor<2x4xf32>
  // CHECK: nn.reduce "sum" %{{.*}} axes [1] keepdims false
  %3 = nn.reduce "sum" %x axes [1] keepdims false : tensor<2x4xf32> -> tensor<2xf32>
  // CHECK: nn.softmax
  %4 = nn.softmax %x : tensor<2x4xf32> -> tensor<2x4xf32>
  // CHECK: nn.cast
  %5 = nn.cast %x : tensor<2x4xf32> -> tensor<2x4xi32>
  // CHECK: nn.transpose %{{.*}} perm [1, 0]
  %6 = nn.transpose %x perm [1, 0] : tensor<2x4xf32> -> tensor<4x2xf32>
  // CHECK: nn.reshape
  %7 = nn.reshape %x : tensor<2x4xf32> -> tensor<8xf32>
  // CHECK: nn.broadcast
  %8 = nn.broadcast %v : tensor<4xf32> -> tensor<2x4xf32>
  // CHECK: nn.slice %{{.*}} starts {{.*}} steps [1, 2]
  %9 = nn.slice %x starts affine_map<() -> (1, 0)> steps [1, 2] : tensor<2x4xf32> -> tensor<1x2xf32>
  // CHECK: nn.concat axis 1
  %10 = nn.concat axis 1 %x, %x : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x8xf32>
  // CHECK: nn.iota {{.*}} step 2
  %11 = nn.iota affine_map<()[s0] -> (s0)> step 2 : tensor<3xi32>
  // CHECK: nn.runtime
  %12 = nn.runtime affine_map<()[s0] -> (s0, s0 + 1)> : tensor<2xi32>
  // CHECK: nn.gather %{{.*}}[%{{.*}}] axis 0
  %13 = nn.gather %x[%i] axis 0 : tensor<2x4xf32>, tensor<3xi32> -> tensor<3x4xf32>
  // CHECK: nn.argmax
  %14 = nn.argmax %x : tensor<2x4xf32> -> tensor<2xi32>
  // CHECK: nn.topk %{{.*}} largest true
  %topk:2 = nn.topk %x largest true : tensor<2x4xf32> -> tensor<2x3xf32>, tensor<2x3xi32>
  // CHECK: nn.cumsum %{{.*}} exclusive false reverse true
  %cumsum = nn.cumsum %x exclusive false reverse true : tensor<2x4xf32> -> tensor<2x4xf32>
  // CHECK: nn.scatter "add" %{{.*}}[%{{.*}}] = %{{.*}}
  %scatter = nn.scatter "add" %x[%i] = %rows : tensor<2x4xf32>, tensor<3xi32>, tensor<3x4xf32> -> tensor<2x4xf32>
  // CHECK: nn.linear %{{.*}}, @w bias
  %15 = nn.linear %x, @w bias %v : tensor<4xf32> : tensor<2x4xf32> -> tensor<2x4xf32>
  // CHECK: nn.dynamic_quantize
  %16, %17, %18 = nn.dynamic_quantize %x : tensor<2x4xf32> -> tensor<2x4xui8>, tensor<f32>, tensor<ui8>
  // CHECK: nn.int8_linear %{{.*}} scale %{{.*}} zero_point %{{.*}}, @w weight_scale 5.000000e-01{{.*}} weight_zero_point 3
  %19 = nn.int8_linear %16 scale %17 zero_point %18, @w weight_scale 0.5 weight_zero_point 3 : tensor<2x4xui8>, tensor<f32>, tensor<ui8> -> tensor<2x2xf32>
  // CHECK: nn.matmul_integer %{{.*}}, %{{.*}} lhs_zero_point
  %20 = nn.matmul_integer %16, %u lhs_zero_point %18 : tensor<ui8> : tensor<2x4xui8>, tensor<4x2xi8> -> tensor<2x2xi32>
  // CHECK: nn.conv %{{.*}}, %{{.*}} bias %{{.*}} stride 2 dilation 1 pads 1 0
  %21 = nn.conv %a, %k bias %b : tensor<8xf32> stride 2 dilation 1 pads 1 0 : tensor<1x4x9xf32>, tensor<8x4x3xf32> -> tensor<1x8x4xf32>
  // CHECK: nn.conv1d %{{.*}}, @w kernel 3 stride 1 dilation 1 pads 0 0
  %22 = nn.conv1d %a, @w kernel 3 stride 1 dilation 1 pads 0 0 : tensor<1x4x9xf32> -> tensor<1x8x7xf32>
  // CHECK: nn.layer_norm %{{.*}} gamma %{{.*}} beta
  %23 = nn.layer_norm %x gamma %v : tensor<4xf32> beta %v : tensor<4xf32> epsilon 1.0e-5 : tensor<2x4xf32> -> tensor<2x4xf32>
  // CHECK: nn.group_norm %{{.*}} groups 2
  %24 = nn.group_norm %a groups 2 epsilon 1.0e-5 : tensor<1x4x9xf32> -> tensor<1x4x9xf32>
  // CHECK: nn.rotary {{.*}} interleaved true
  %25 = nn.rotary %q, %t, %t interleaved true : tensor<1x2x3x4xf32>, tensor<3x2xf32>, tensor<3x2xf32> -> tensor<1x2x3x4xf32>
  // CHECK: nn.cache_append @k, %{{.*}} at
  nn.cache_append @k, %q at affine_map<()[s0] -> (s0)> : tensor<1x2x3x4xf32>
  // CHECK: nn.attention %{{.*}}, @k, @k length {{.*}} position {{.*}} causal true {window = 8 : i64}
  %26 = nn.attention %q, @k, @k length affine_map<()[s0] -> (s0 + 3)> position affine_map<()[s0] -> (s0)> scale 0.5 causal true {window = 8 : i64} : tensor<1x2x3x4xf32> -> tensor<1x2x3x4xf32>
  // CHECK: nn.attention %{{.*}}, @k, @k mask %{{.*}} : tensor<3x7xf32> sinks %{{.*}} : tensor<2xf32> length {{.*}} causal false {softcap = 5.000000e+01 : f32}
  %m = nn.constant dense<0.0> : tensor<3x7xf32> : tensor<3x7xf32>
  %s = nn.constant dense<1.0> : tensor<2xf32> : tensor<2xf32>
  %27 = nn.attention %q, @k, @k mask %m : tensor<3x7xf32> sinks %s : tensor<2xf32> length affine_map<() -> (7)> position affine_map<() -> (4)> scale 0.5 causal false {softcap = 50.0 : f32} : tensor<1x2x3x4xf32> -> tensor<1x2x3x4xf32>
  return
}
