// Rows over an encoder's keys and values: each reads its sequence's slot, as far as the sequence has frames. A graph of one token needs no
// causal mask: its row sees all of its sequence.
// RUN: ahm-opt %s -split-input-file -nn-batch -verify-diagnostics | FileCheck %s
// CHECK-DAG: #[[FRAMES:.*]] = affine_map<()[s0, s1, s2] -> (s2)>
// CHECK-DAG: #[[SLOT:.*]] = affine_map<()[s0, s1, s2, s3, s4] -> (s3)>
// CHECK: nn.cache @k heads 1 head_dim 4 capacity 16 {slots = 2 : i64}
// CHECK: nn.cache @e heads 1 head_dim 4 capacity 8 {cross, slots = 2 : i64}
// CHECK-LABEL: func.func @prefill
// CHECK: nn.cache_append @e, {{.*}}slot =
// CHECK-LABEL: func.func @decode
// CHECK-SAME: {kind = "per_row", max = 8 : i64, min = 1 : i64, name = "kv_frames", rows = 2 : i64}
// CHECK: nn.attention %{{.*}}, @k, @k length {{.*}} causal true {per_row, slot = #[[SLOT]]}
// CHECK: nn.attention %{{.*}}, @e, @e length #[[FRAMES]] {{.*}} causal false {per_row, slot = #[[SLOT]]}
#r = affine_map<()[s0, s1, s2] -> (1, 1, s0, 4)>
nn.cache @k heads 1 head_dim 4 capacity 16
nn.cache @e heads 1 head_dim 4 capacity 8 {cross}
func.func @prefill(%x: tensor<1x1x?x4xf32, affine_map<()[s0] -> (1, 1, s0, 4)>>) attributes {nn.values = [{name = "frames", min = 1, max = 8}]} {
  nn.cache_append @e, %x at affine_map<()[s0] -> (0)> : tensor<1x1x?x4xf32, affine_map<()[s0] -> (1, 1, s0, 4)>>
  return
}
func.func @decode(%ids: tensor<1x?xi32, affine_map<()[s0, s1, s2] -> (1, s0)>> {nn.role = "ids"}, %x: tensor<1x1x?x4xf32, #r>) -> tensor<1x1x?x4xf32, #r>
    attributes {nn.batch = 2 : i64, nn.values = [{name = "tokens", min = 1, max = 2}, {name = "past", min = 0, max = 15}, {name = "frames", min = 1, max = 8}]} {
  nn.cache_append @k, %x at affine_map<()[s0, s1, s2] -> (s1)> : tensor<1x1x?x4xf32, #r>
  %a = nn.attention %x, @k, @k length affine_map<()[s0, s1, s2] -> (s0 + s1)> position affine_map<()[s0, s1, s2] -> (s1)> scale 1.0 causal false
    : tensor<1x1x?x4xf32, #r> -> tensor<1x1x?x4xf32, #r>
  %b = nn.attention %a, @e, @e length affine_map<()[s0, s1, s2] -> (s2)> position affine_map<()[s0, s1, s2] -> (0)> scale 1.0 causal false
    : tensor<1x1x?x4xf32, #r> -> tensor<1x1x?x4xf32, #r>
  return %b : tensor<1x1x?x4xf32, #r>
}

// -----

// Frames that go in with every call are one sequence's.
#r = affine_map<()[s0, s1, s2] -> (1, 1, s0, 4)>
nn.cache @k heads 1 head_dim 4 capacity 16
nn.cache @e heads 1 head_dim 4 capacity 8 {cross}
// expected-error@+1 {{input 'states' holds one sequence's frames of the encoder and goes in with every call; this cannot decode a batch; remedy: --batch=1}}
func.func @decode(%ids: tensor<1x?xi32, affine_map<()[s0, s1, s2] -> (1, s0)>> {nn.role = "ids"}, %x: tensor<1x1x?x4xf32, #r>,
    %s: tensor<1x?x4xf32, affine_map<()[s0, s1, s2] -> (1, s2, 4)>> {onnx.name = "states"}) -> tensor<1x1x?x4xf32, #r>
    attributes {nn.batch = 2 : i64, nn.values = [{name = "tokens", min = 1, max = 2}, {name = "past", min = 0, max = 15}, {name = "frames", min = 1, max = 8}]} {
  nn.cache_append @k, %x at affine_map<()[s0, s1, s2] -> (s1)> : tensor<1x1x?x4xf32, #r>
  %b = nn.attention %x, @e, @e length affine_map<()[s0, s1, s2] -> (s2)> position affine_map<()[s0, s1, s2] -> (0)> scale 1.0 causal false
    : tensor<1x1x?x4xf32, #r> -> tensor<1x1x?x4xf32, #r>
  return %b : tensor<1x1x?x4xf32, #r>
}
