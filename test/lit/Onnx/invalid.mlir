// What the dialect's verifiers refuse.
// RUN: ahm-opt %s -verify-diagnostics -split-input-file

func.func @counts(%x: tensor<4xf32>) {
  // expected-error @+1 {{'onnx.MatMul' op has 1 input, but the operator takes 2}}
  %0 = onnx.MatMul(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @outputs(%x: tensor<4xf32>) {
  // expected-error @+1 {{'onnx.DynamicQuantizeLinear' op has 1 output, but the operator takes 3}}
  %0 = onnx.DynamicQuantizeLinear(%x) : (tensor<4xf32>) -> tensor<4xui8>
  return
}

// -----

func.func @attribute(%x: tensor<4xf32>) {
  // expected-error @+1 {{'onnx.Neg' op has no attribute 'axis'}}
  %0 = onnx.Neg(%x) {axis = 1 : i64} : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

func.func @operand(%x: i32) {
  // expected-error @+1 {{'onnx.Neg' op takes 'i32', but inputs are tensors or onnx.None}}
  %0 = onnx.Neg(%x) : (i32) -> tensor<4xf32>
  return
}

// -----

// expected-error @+1 {{'onnx.Weight' op stores 8 bytes, but 'tensor<4xf32>' takes 16}}
onnx.Weight @w : tensor<4xf32> in "m.onnx" at 0 size 8

// -----

// expected-error @+1 {{'onnx.Weight' op needs a static tensor type}}
onnx.Weight @w : tensor<?xf32> in "m.onnx" at 0 size 8

// -----

onnx.Weight @w : tensor<4xf32> in "m.onnx" at 0 size 16
func.func @type() {
  // expected-error @+1 {{'onnx.UseWeight' op has type 'tensor<2xf32>', but the weight is 'tensor<4xf32>'}}
  %0 = onnx.UseWeight @w : tensor<2xf32>
  return
}

// -----

func.func @symbol() {
  // expected-error @+1 {{'onnx.UseWeight' op refers to no onnx.Weight 'w'}}
  %0 = onnx.UseWeight @w : tensor<2xf32>
  return
}

// -----

func.func @yields(%c: tensor<i1>, %x: tensor<4xf32>) {
  // expected-error @+1 {{'onnx.If' op has 2 outputs, but a branch yields 1}}
  %0:2 = onnx.If(%c) : (tensor<i1>) -> (tensor<4xf32>, tensor<4xf32>) {
    onnx.Yield %x : tensor<4xf32>
  } else {
    onnx.Yield %x : tensor<4xf32>
  }
  return
}

// -----

// expected-error@+1 {{needs a static tensor type, not 'tensor<?xf32>'}}
"onnx.Weight"() {sym_name = "w", type = tensor<?xf32>, file = "", offset = 0 : i64, length = 0 : i64} : () -> ()

// -----

func.func @f() {
  // expected-error@+1 {{but its value is 'tensor<2xf32>'}}
  %0 = "onnx.Constant"() {value = dense<0.0> : tensor<2xf32>} : () -> tensor<3xf32>
  return
}
