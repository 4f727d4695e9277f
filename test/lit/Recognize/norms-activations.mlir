// RMSNorm, SiLU and GELU from their parts; a mean over another axis, or another constant, is left alone.
// RUN: ahm-opt %s -nn-recognize="kv-state=false append-argmax=false" | FileCheck %s

// CHECK-LABEL: func.func @rms
// CHECK: nn.rms_norm %{{.*}} gamma %{{.*}} epsilon 9.99999974E-6
// CHECK-NOT: nn.reduce
// CHECK-LABEL: func.func @rms_near_miss
// CHECK-NOT: nn.rms_norm
// CHECK: nn.reduce "mean"
// CHECK-LABEL: func.func @activations
// CHECK-DAG: nn.unary "silu"
// CHECK-DAG: nn.unary "gelu_erf"
// CHECK-NOT: nn.unary "erf"
// CHECK-LABEL: func.func @gelu_near_miss
// CHECK: nn.unary "erf"
// CHECK-NOT: gelu
module {
  nn.weight @g : tensor<8xf32> from tensor<8xf32> in "" at 0 size 32 recipe []
  func.func @rms(%x: tensor<1x8x8xf32>) -> tensor<1x8x8xf32> {
    %g = nn.get_weight @g : tensor<8xf32>
    %e = nn.constant dense<9.99999974E-6> : tensor<f32> : tensor<f32>
    %one = nn.constant dense<1.000000e+00> : tensor<f32> : tensor<f32>
    %p = nn.binary "mul" %x, %x : tensor<1x8x8xf32>, tensor<1x8x8xf32> -> tensor<1x8x8xf32>
    %m = nn.reduce "mean" %p axes [2] keepdims true : tensor<1x8x8xf32> -> tensor<1x8x1xf32>
    %v = nn.binary "add" %e, %m : tensor<f32>, tensor<1x8x1xf32> -> tensor<1x8x1xf32>
    %s = nn.unary "sqrt" %v : tensor<1x8x1xf32> -> tensor<1x8x1xf32>
    %r = nn.binary "div" %one, %s : tensor<f32>, tensor<1x8x1xf32> -> tensor<1x8x1xf32>
    %y = nn.binary "mul" %r, %x : tensor<1x8x1xf32>, tensor<1x8x8xf32> -> tensor<1x8x8xf32>
    %z = nn.binary "mul" %g, %y : tensor<8xf32>, tensor<1x8x8xf32> -> tensor<1x8x8xf32>
    return %z : tensor<1x8x8xf32>
  }
  func.func @rms_near_miss(%x: tensor<1x8x8xf32>) -> tensor<1x8x8xf32> {
    %e = nn.constant dense<9.99999974E-6> : tensor<f32> : tensor<f32>
    %p = nn.binary "mul" %x, %x : tensor<1x8x8xf32>, tensor<1x8x8xf32> -> tensor<1x8x8xf32>
    %m = nn.reduce "mean" %p axes [1] keepdims true : tensor<1x8x8xf32> -> tensor<1x1x8xf32>
    %v = nn.binary "add" %m, %e : tensor<1x1x8xf32>, tensor<f32> -> tensor<1x1x8xf32>
    %s = nn.unary "sqrt" %v : tensor<1x1x8xf32> -> tensor<1x1x8xf32>
    %y = nn.binary "div" %x, %s : tensor<1x8x8xf32>, tensor<1x1x8xf32> -> tensor<1x8x8xf32>
    return %y : tensor<1x8x8xf32>
  }
  func.func @activations(%x: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>) {
    %s = nn.unary "sigmoid" %x : tensor<8xf32> -> tensor<8xf32>
    %a = nn.binary "mul" %s, %x : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
    %root = nn.constant dense<1.41421354> : tensor<f32> : tensor<f32>
    %one = nn.constant dense<1.000000e+00> : tensor<f32> : tensor<f32>
    %half = nn.constant dense<5.000000e-01> : tensor<f32> : tensor<f32>
    %d = nn.binary "div" %x, %root : tensor<8xf32>, tensor<f32> -> tensor<8xf32>
    %f = nn.unary "erf" %d : tensor<8xf32> -> tensor<8xf32>
    %i = nn.binary "add" %f, %one : tensor<8xf32>, tensor<f32> -> tensor<8xf32>
    %m = nn.binary "mul" %x, %i : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
    %b = nn.binary "mul" %m, %half : tensor<8xf32>, tensor<f32> -> tensor<8xf32>
    return %a, %b : tensor<8xf32>, tensor<8xf32>
  }
  func.func @gelu_near_miss(%x: tensor<8xf32>) -> tensor<8xf32> {
    %root = nn.constant dense<1.500000e+00> : tensor<f32> : tensor<f32>
    %one = nn.constant dense<1.000000e+00> : tensor<f32> : tensor<f32>
    %half = nn.constant dense<5.000000e-01> : tensor<f32> : tensor<f32>
    %d = nn.binary "div" %x, %root : tensor<8xf32>, tensor<f32> -> tensor<8xf32>
    %f = nn.unary "erf" %d : tensor<8xf32> -> tensor<8xf32>
    %i = nn.binary "add" %f, %one : tensor<8xf32>, tensor<f32> -> tensor<8xf32>
    %m = nn.binary "mul" %x, %i : tensor<8xf32>, tensor<8xf32> -> tensor<8xf32>
    %b = nn.binary "mul" %m, %half : tensor<8xf32>, tensor<f32> -> tensor<8xf32>
    return %b : tensor<8xf32>
  }
}
