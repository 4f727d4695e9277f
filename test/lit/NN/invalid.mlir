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

// -----

func.func @rank_of_map(%x: tensor<?x4xf32, affine_map<()[s0] -> (s0)>>) {
  // expected-error@+1 {{shape map does not give one result a dimension}}
  %0 = nn.unary "neg" %x : tensor<?x4xf32, affine_map<()[s0] -> (s0)>> -> tensor<?x4xf32, affine_map<()[s0] -> (s0)>>
  return
}

// -----

func.func @unary_shape(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{result shape differs from the operand's}}
  %0 = nn.unary "neg" %x : tensor<2x4xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @more_dimensions(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{operand has more dimensions than the result}}
  %0 = nn.broadcast %x : tensor<2x4xf32> -> tensor<4xf32>
  return
}

// -----

func.func @constant_shape() {
  // expected-error@+1 {{value and result differ in shape}}
  %0 = nn.constant dense<1.0> : tensor<4xf32> : tensor<5xf32>
  return
}

// -----

func.func @constant_size() {
  // expected-error@+1 {{has 4097 elements; more than 4096 belong in a weight}}
  %0 = nn.constant dense<1.0> : tensor<4097xf32> : tensor<4097xf32>
  return
}

// -----

func.func @binary_kind(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{unknown kind 'plus'}}
  %0 = nn.binary "plus" %x, %x : tensor<2x4xf32>, tensor<2x4xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @condition(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{condition must be i1}}
  %0 = nn.select %x, %x, %x : tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @reduce_kind(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{unknown kind 'total'}}
  %0 = nn.reduce "total" %x axes [1] keepdims true : tensor<2x4xf32> -> tensor<2x1xf32>
  return
}

// -----

func.func @reduce_axes(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{axes must ascend and lie in the input's rank}}
  %0 = nn.reduce "sum" %x axes [1, 0] keepdims true : tensor<2x4xf32> -> tensor<1x1xf32>
  return
}

// -----

func.func @reduce_rank(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{result must have rank 1}}
  %0 = nn.reduce "sum" %x axes [1] keepdims false : tensor<2x4xf32> -> tensor<2x1xf32>
  return
}

// -----

func.func @transpose_shape(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{result dimension 0 is not the input's dimension 1}}
  %0 = nn.transpose %x perm [1, 0] : tensor<2x4xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @slice(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{needs one start, one step and one result dimension for each of the input's 2}}
  %0 = nn.slice %x starts affine_map<() -> (0, 0)> steps [1] : tensor<2x4xf32> -> tensor<1x4xf32>
  return
}

// -----

func.func @concat_empty() {
  // expected-error@+1 {{needs an input}}
  %0 = nn.concat axis 0 : () -> tensor<2xf32>
  return
}

// -----

func.func @concat_axis(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{axis is outside the result's rank}}
  %0 = nn.concat axis 2 %x : (tensor<2x4xf32>) -> tensor<2x4xf32>
  return
}

// -----

func.func @concat_rank(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{inputs and result must have one rank}}
  %0 = nn.concat axis 0 %x : (tensor<2x4xf32>) -> tensor<8xf32>
  return
}

// -----

func.func @concat_dimension(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{dimension 1 differs between an input and the result}}
  %0 = nn.concat axis 0 %x : (tensor<2x4xf32>) -> tensor<2x5xf32>
  return
}

// -----

func.func @iota() {
  // expected-error@+1 {{takes a start with one result and gives a vector}}
  %0 = nn.iota affine_map<() -> (0, 1)> step 1 : tensor<3xi32>
  return
}

// -----

func.func @gather_indices(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{indices must be i32}}
  %0 = nn.gather %x[%x] axis 0 : tensor<2x4xf32>, tensor<2x4xf32> -> tensor<2x4x4xf32>
  return
}

// -----

func.func @gather_axis(%x: tensor<2x4xf32>, %i: tensor<3xi32>) {
  // expected-error@+1 {{axis is outside the table's rank}}
  %0 = nn.gather %x[%i] axis 2 : tensor<2x4xf32>, tensor<3xi32> -> tensor<3x4xf32>
  return
}

// -----

func.func @gather_rank(%x: tensor<2x4xf32>, %i: tensor<3xi32>) {
  // expected-error@+1 {{result rank must be the table's less one plus the indices'}}
  %0 = nn.gather %x[%i] axis 0 : tensor<2x4xf32>, tensor<3xi32> -> tensor<12xf32>
  return
}

// -----

func.func @argmax(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{gives i32 without the last dimension}}
  %0 = nn.argmax %x : tensor<2x4xf32> -> tensor<2xf32>
  return
}

// -----

func.func @scalar_product(%x: tensor<f32>) {
  // expected-error@+1 {{operands need a dimension}}
  %0 = nn.matmul %x, %x : tensor<f32>, tensor<f32> -> tensor<f32>
  return
}

// -----

func.func @quantize_scale(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{scale and zero point are scalars}}
  %0, %1, %2 = nn.dynamic_quantize %x : tensor<2x4xf32> -> tensor<2x4xui8>, tensor<2xf32>, tensor<ui8>
  return
}

// -----

func.func @int8(%x: tensor<2x4xf32>, %s: tensor<f32>) {
  // expected-error@+1 {{takes 8-bit activations}}
  %0 = nn.int8_linear %x scale %s zero_point %s, @w weight_scale 0.5 weight_zero_point 3 : tensor<2x4xf32>, tensor<f32>, tensor<f32> -> tensor<2x2xf32>
  return
}

// -----

func.func @conv_stride(%x: tensor<1x4x9xf32>) {
  // expected-error@+1 {{kernel, stride and dilation must be positive}}
  %0 = nn.conv1d %x, @w kernel 3 stride 0 dilation 1 pads 0 0 : tensor<1x4x9xf32> -> tensor<1x8x7xf32>
  return
}

// -----

func.func @conv_rank(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{takes and gives rank 3}}
  %0 = nn.conv1d %x, @w kernel 3 stride 1 dilation 1 pads 0 0 : tensor<2x4xf32> -> tensor<1x8x7xf32>
  return
}

// -----

func.func @groups(%x: tensor<1x4x9xf32>) {
  // expected-error@+1 {{groups must be positive}}
  %0 = nn.group_norm %x groups 0 epsilon 1.0e-5 : tensor<1x4x9xf32> -> tensor<1x4x9xf32>
  return
}

// -----

func.func @rotary(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{takes rank 4}}
  %0 = nn.rotary %x, %x, %x interleaved false : tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf32> -> tensor<2x4xf32>
  return
}

// -----

func.func @append_position(%x: tensor<1x2x3x4xf32>) {
  // expected-error@+1 {{position and slot have one result}}
  nn.cache_append @k, %x at affine_map<() -> (0, 1)> : tensor<1x2x3x4xf32>
  return
}

// -----

func.func @append_rank(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{takes rank 4}}
  nn.cache_append @k, %x at affine_map<() -> (0)> : tensor<2x4xf32>
  return
}

// -----

func.func @attention_length(%x: tensor<1x2x3x4xf32>) {
  // expected-error@+1 {{length and position have one result each}}
  %0 = nn.attention %x, @k, @k length affine_map<() -> (3, 3)> position affine_map<() -> (0)> scale 0.5 causal true : tensor<1x2x3x4xf32> -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @attention_rank(%x: tensor<2x4xf32>) {
  // expected-error@+1 {{takes and gives rank 4}}
  %0 = nn.attention %x, @k, @k length affine_map<() -> (3)> position affine_map<() -> (0)> scale 0.5 causal true : tensor<2x4xf32> -> tensor<2x4xf32>
  return
}

// -----

// expected-error@+1 {{has a negative offset or length}}
nn.weight @w : tensor<4xf32> from tensor<4xf32> in "" at -1 size 0 recipe []

// -----

// expected-error@+1 {{type and source type must be static tensors}}
nn.weight @w : tensor<?xf32> from tensor<4xf32> in "" at 0 size 0 recipe []

// -----

// expected-error@+1 {{a recipe step is an array that begins with its name}}
nn.weight @w : tensor<4xf32> from tensor<4xf32> in "" at 0 size 0 recipe [[1]]

// -----

// expected-error@+1 {{heads, head_dim and capacity must be positive}}
nn.cache @k heads 0 head_dim 4 capacity 16

// -----

func.func @attention_softcap(%x: tensor<1x2x3x4xf32>) {
  // expected-error@+1 {{window and soft cap must not be negative}}
  %0 = nn.attention %x, @k, @k length affine_map<() -> (3)> position affine_map<() -> (0)> scale 0.5 causal true {softcap = -1.0 : f32} : tensor<1x2x3x4xf32> -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @attention_mask(%x: tensor<1x2x3x4xf32>, %m: tensor<3x3xi1>) {
  // expected-error@+1 {{mask and sinks must be f32}}
  %0 = nn.attention %x, @k, @k mask %m : tensor<3x3xi1> length affine_map<() -> (3)> position affine_map<() -> (0)> scale 0.5 causal true : tensor<1x2x3x4xf32> -> tensor<1x2x3x4xf32>
  return
}

// -----

func.func @attention_sinks(%x: tensor<1x2x3x4xf32>, %s: tensor<3xf32>) {
  // expected-error@+1 {{takes one sink for each head of the queries}}
  %0 = nn.attention %x, @k, @k sinks %s : tensor<3xf32> length affine_map<() -> (3)> position affine_map<() -> (0)> scale 0.5 causal true : tensor<1x2x3x4xf32> -> tensor<1x2x3x4xf32>
  return
}

// -----

// expected-error@+1 {{unknown recipe step 'blocks'}}
nn.weight @w : tensor<4xf32> from tensor<4xf32> in "" at 0 size 0 recipe [["blocks"]]

// -----

// expected-error@+1 {{a stack is the only step of its recipe and has a source for each of the type's first dimension}}
nn.weight @w : tensor<2x4xf32> from tensor<2x4xf32> in "" at 0 size 0 recipe [["stack", {value = dense<1.0> : tensor<4xf32>, recipe = []}]]

// -----

func.func @topk_rank(%x: tensor<f32>) {
  // expected-error@+1 {{needs a dimension to choose from, and keeps the rank}}
  %0:2 = nn.topk %x largest true : tensor<f32> -> tensor<f32>, tensor<i32>
  return
}

// -----

func.func @topk_positions(%x: tensor<4xf32>) {
  // expected-error@+1 {{gives i32 positions}}
  %0:2 = nn.topk %x largest true : tensor<4xf32> -> tensor<2xf32>, tensor<2xi64>
  return
}

// -----

func.func @cumsum_rank(%x: tensor<f32>) {
  // expected-error@+1 {{needs a dimension}}
  %0 = nn.cumsum %x exclusive false reverse false : tensor<f32> -> tensor<f32>
  return
}

// -----

func.func @scatter_kind(%x: tensor<4x2xf32>, %i: tensor<3xi32>, %u: tensor<3x2xf32>) {
  // expected-error@+1 {{unknown kind 'sub'}}
  %0 = nn.scatter "sub" %x[%i] = %u : tensor<4x2xf32>, tensor<3xi32>, tensor<3x2xf32> -> tensor<4x2xf32>
  return
}

// -----

func.func @scatter_rows(%x: tensor<4xf32>, %i: tensor<3xi32>, %u: tensor<3xf32>) {
  // expected-error@+1 {{takes data [P,R], indices [N] and updates [N,R]}}
  %0 = nn.scatter "set" %x[%i] = %u : tensor<4xf32>, tensor<3xi32>, tensor<3xf32> -> tensor<4xf32>
  return
}

// -----

func.func @scatter_indices(%x: tensor<4x2xf32>, %i: tensor<3xi64>, %u: tensor<3x2xf32>) {
  // expected-error@+1 {{indices must be i32}}
  %0 = nn.scatter "set" %x[%i] = %u : tensor<4x2xf32>, tensor<3xi64>, tensor<3x2xf32> -> tensor<4x2xf32>
  return
}

// -----

// expected-error@+1 {{needs a slot for at least one sequence}}
nn.cache @k heads 1 head_dim 32 capacity 64 {slots = 0 : i64}

// -----

func.func @all_reduce(%x: tensor<4xi32>) {
  // expected-error@+1 {{adds f32}}
  %0 = nn.all_reduce %x : tensor<4xi32> -> tensor<4xi32>
  return
}

// -----

func.func @append_rank(%x: tensor<1x4x32xf32>) {
  // expected-error@+1 {{takes rank 4: [1, heads, tokens, head_dim]}}
  nn.cache_append @k, %x at affine_map<() -> (0)> : tensor<1x4x32xf32>
  return
}

// -----

func.func @rotary_rank(%x: tensor<4x32xf32>, %c: tensor<4x16xf32>) {
  // expected-error@+1 {{takes rank 4: [1, heads, tokens, head_dim]}}
  %0 = nn.rotary %x, %c, %c interleaved false : tensor<4x32xf32>, tensor<4x16xf32>, tensor<4x16xf32> -> tensor<4x32xf32>
  return
}

// -----

func.func @attention_rank(%x: tensor<1x4x32xf32>) {
  // expected-error@+1 {{takes and gives rank 4: [1, heads, tokens, head_dim]}}
  %0 = nn.attention %x, @k, @v length affine_map<() -> (4)> position affine_map<() -> (0)> scale 1.0 causal true : tensor<1x4x32xf32> -> tensor<1x4x32xf32>
  return
}

// -----

func.func @attention_slot(%x: tensor<1x1x4x32xf32>) {
  // expected-error@+1 {{slot has one result}}
  %0 = nn.attention %x, @k, @v length affine_map<() -> (4)> position affine_map<() -> (0)> scale 1.0 causal true {slot = affine_map<() -> (0, 1)>} : tensor<1x1x4x32xf32> -> tensor<1x1x4x32xf32>
  return
}

// -----

func.func @map_rank(%x: tensor<?xf32, affine_map<()[s0] -> (s0, 4)>>) {
  // expected-error@+1 {{has a tensor whose shape map does not give one result a dimension}}
  %0 = nn.unary "neg" %x : tensor<?xf32, affine_map<()[s0] -> (s0, 4)>> -> tensor<?xf32, affine_map<()[s0] -> (s0, 4)>>
  return
}
