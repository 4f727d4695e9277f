// What the verifiers refuse.
// RUN: ahm-opt %s -split-input-file -verify-diagnostics

func.func @no_map(%x: tensor<?xf32>) {
  // expected-error@+1 {{dynamic tensor without an affine map}}
  %0 = nn.unary "neg" %x : tensor<?xf32> -> tensor<?xf32>
  return
}

// -----

func.func @kind(%x: tensor<4xf32>) {
  // expected-error@+1 {{unknown kind 'negate'}}
  %0 = nn.unary "negate" %x : tensor<4xf32> -> tensor<4xf32>
  return
}

// -----

func.func @comparison(%x: tensor<4xf32>) {
  // expected-error@+1 {{a comparison gives i1}}
  %0 = nn.binary "less" %x, %x : tensor<4xf32>, tensor<4xf32> -> tensor<4xf32>
  return
}

// -----

func.func @broadcast(%x: tensor<4xf32>, %y: tensor<3xf32>) {
  // expected-error@+1 {{does not broadcast to the result's}}
  %0 = nn.binary "add" %x, %y : tensor<4xf32>, tensor<3xf32> -> tensor<4xf32>
  return
}

// -----

func.func @perm(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{perm must name every dimension once}}
  %0 = nn.transpose %x perm [1, 1] : tensor<2x3xf32> -> tensor<3x3xf32>
  return
}

// -----

func.func @reshape(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{element counts differ}}
  %0 = nn.reshape %x : tensor<2x3xf32> -> tensor<7xf32>
  return
}

// -----

func.func @product(%x: tensor<2x3xf32>) {
  // expected-error@+1 {{contracted dimensions differ}}
  %0 = nn.matmul %x, %x : tensor<2x3xf32>, tensor<2x3xf32> -> tensor<2x3xf32>
  return
}

// -----

// expected-error@+1 {{unknown recipe step 'rotate'}}
nn.weight @w : tensor<4xf32> from tensor<4xf32> in "" at 0 size 0 recipe [["rotate", 1]]
