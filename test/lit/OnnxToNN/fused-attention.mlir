// Fused attention becomes products, masks of comparisons and softmax; present rows are a concat of past and new ones.
// RUN: ahm-opt %s -split-input-file "-onnx-to-nn=max-context=128 prefill-chunk=64" | FileCheck %s

// Grouped queries over packed projections, fused rotary embedding, window, soft cap and sinks. The total length is that of past and
// new tokens, so the mask's own dimension is theirs.
// CHECK-DAG: #[[PAST:.*]] = affine_map<()[s0, s1] -> (s1)>
// CHECK-DAG: #[[TOKENS:.*]] = affine_map<()[s0, s1] -> (s0 - 1)>
// CHECK-LABEL: func.func @prefill
// CHECK-SAME: nn.values = [{max = 64 : i64, min = 1 : i64, name = "t"}, {max = 127 : i64, min = 0 : i64, name = "p"}]
// CHECK: nn.slice {{.*}} -> tensor<1x?x16xf32
// CHECK: nn.rms_norm {{.*}} gamma {{.*}} epsilon 9.99999997E-7
// CHECK: nn.iota #[[PAST]] step 1
// CHECK-COUNT-2: nn.rotary {{.*}} interleaved false
// CHECK: %[[KEYS:.*]] = nn.concat axis 2 %{{.*}}, %{{.*}} : (tensor<1x1x?x8xf32
// CHECK: %[[VALUES:.*]] = nn.concat axis 2
// CHECK: nn.runtime #[[TOKENS]]
// CHECK: nn.broadcast {{.*}} -> tensor<1x1x2x?x8xf32
// CHECK: nn.matmul
// CHECK: nn.unary "tanh"
// CHECK: nn.binary "less_or_equal"
// CHECK: nn.binary "greater"
// CHECK-COUNT-2: nn.select
// CHECK: %[[COLUMNS:.*]] = nn.concat axis 3
// CHECK: nn.softmax %[[COLUMNS]]
// CHECK: nn.slice
// CHECK: nn.matmul
// CHECK: return %{{.*}}, %[[KEYS]], %[[VALUES]]
func.func @graph(%ids: tensor<1x?xi64> {onnx.name = "ids", onnx.dims = [1, "t"]}, %m: tensor<1x?xi64> {onnx.name = "mask", onnx.dims = [1, "all"]},
    %pk: tensor<1x1x?x8xf32> {onnx.name = "pk", onnx.dims = [1, 1, "p", 8]}, %pv: tensor<1x1x?x8xf32> {onnx.name = "pv", onnx.dims = [1, 1, "p", 8]},
    %table: tensor<100x32xf32> {onnx.name = "table", onnx.dims = [100, 32]}, %cos: tensor<128x4xf32> {onnx.name = "cos", onnx.dims = [128, 4]},
    %sinks: tensor<2xf32> {onnx.name = "sinks", onnx.dims = [2]}, %norm: tensor<8xf32> {onnx.name = "norm", onnx.dims = [8]})
    -> (tensor<*xf32> {onnx.name = "y"}, tensor<*xf32> {onnx.name = "k"}, tensor<*xf32> {onnx.name = "v"}) attributes {onnx.opset = 21 : i64} {
  %none = onnx.None : none
  %one = onnx.Constant dense<1> : tensor<1xi64> : tensor<1xi64>
  %x = onnx.Gather(%table, %ids) : (tensor<100x32xf32>, tensor<1x?xi64>) -> tensor<*xf32>
  %sum = onnx.ReduceSum(%m, %one) {keepdims = 0 : i64} : (tensor<1x?xi64>, tensor<1xi64>) -> tensor<*xi64>
  %less = onnx.Sub(%sum, %one) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %last = onnx.Cast(%less) {to = 6 : i64} : (tensor<*xi64>) -> tensor<*xi32>
  %shape = onnx.Shape(%m) {start = 1 : i64} : (tensor<1x?xi64>) -> tensor<*xi64>
  %total = onnx.Cast(%shape) {to = 6 : i64} : (tensor<*xi64>) -> tensor<*xi32>
  %y:3 = onnx.ms.GroupQueryAttention(%x, %none, %none, %pk, %pv, %last, %total, %cos, %cos, %none, %none, %sinks, %none, %none, %norm)
      {num_heads = 2 : i64, kv_num_heads = 1 : i64, do_rotary = 1 : i64, local_window_size = 16 : i64, softcap = 5.0e+01 : f32}
      : (tensor<*xf32>, none, none, tensor<1x1x?x8xf32>, tensor<1x1x?x8xf32>, tensor<*xi32>, tensor<*xi32>, tensor<128x4xf32>, tensor<128x4xf32>,
         none, none, tensor<2xf32>, none, none, tensor<8xf32>) -> (tensor<*xf32>, tensor<*xf32>, tensor<*xf32>)
  return %y#0, %y#1, %y#2 : tensor<*xf32>, tensor<*xf32>, tensor<*xf32>
}

// -----

// ai.onnx: rank 3, causal from the end of the past, a boolean mask, other head sizes of values, the weights as fourth output.
// CHECK-LABEL: func.func @main
// CHECK: nn.concat axis 2 {{.*}} -> tensor<1x2x7x8xf32>
// CHECK: nn.concat axis 2 {{.*}} -> tensor<1x2x7x4xf32>
// CHECK: nn.constant dense<3> : tensor<i32>
// CHECK: nn.binary "less_or_equal" {{.*}} -> tensor<4x7xi1>
// CHECK: %[[WEIGHTS:.*]] = nn.softmax %{{.*}} : tensor<1x2x4x7xf32>
// CHECK: nn.matmul %[[WEIGHTS]], %{{.*}} -> tensor<1x2x4x4xf32>
// CHECK: %[[Y:.*]] = nn.reshape %{{.*}} -> tensor<1x4x8xf32>
// CHECK: return %[[Y]], %[[WEIGHTS]]
func.func @graph(%q: tensor<1x4x16xf32> {onnx.name = "q", onnx.dims = [1, 4, 16]}, %k: tensor<1x4x16xf32> {onnx.name = "k", onnx.dims = [1, 4, 16]},
    %v: tensor<1x4x8xf32> {onnx.name = "v", onnx.dims = [1, 4, 8]}, %m: tensor<4x7xi1> {onnx.name = "m", onnx.dims = [4, 7]},
    %pk: tensor<1x2x3x8xf32> {onnx.name = "pk", onnx.dims = [1, 2, 3, 8]}, %pv: tensor<1x2x3x4xf32> {onnx.name = "pv", onnx.dims = [1, 2, 3, 4]})
    -> (tensor<*xf32> {onnx.name = "y"}, tensor<*xf32> {onnx.name = "w"}) attributes {onnx.opset = 23 : i64} {
  %y:4 = onnx.Attention(%q, %k, %v, %m, %pk, %pv) {q_num_heads = 2 : i64, kv_num_heads = 2 : i64, is_causal = 1 : i64, qk_matmul_output_mode = 3 : i64}
      : (tensor<1x4x16xf32>, tensor<1x4x16xf32>, tensor<1x4x8xf32>, tensor<4x7xi1>, tensor<1x2x3x8xf32>, tensor<1x2x3x4xf32>)
      -> (tensor<*xf32>, tensor<*xf32>, tensor<*xf32>, tensor<*xf32>)
  return %y#0, %y#3 : tensor<*xf32>, tensor<*xf32>
}

// -----

// MultiHeadAttention: a bias over queries, keys and values, and a padding mask.
// CHECK-LABEL: func.func @main
// CHECK-COUNT-3: nn.binary "add" {{.*}}, tensor<16xf32> -> tensor<2x4x16xf32>
// CHECK: nn.binary "sub" {{.*}} -> tensor<2x1x1x4xf32>
// CHECK: nn.constant dense<-1.000000e+04> : tensor<f32>
// CHECK: nn.softmax %{{.*}} : tensor<2x2x4x4xf32>
func.func @graph(%x: tensor<2x4x16xf32> {onnx.name = "x", onnx.dims = [2, 4, 16]}, %b: tensor<48xf32> {onnx.name = "b", onnx.dims = [48]},
    %m: tensor<2x4xi32> {onnx.name = "m", onnx.dims = [2, 4]}) -> (tensor<*xf32> {onnx.name = "y"}) attributes {onnx.opset = 17 : i64} {
  %y = onnx.ms.MultiHeadAttention(%x, %x, %x, %b, %m) {num_heads = 2 : i64}
      : (tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<2x4x16xf32>, tensor<48xf32>, tensor<2x4xi32>) -> tensor<*xf32>
  return %y : tensor<*xf32>
}
