// A marked decode function's rows become sequences: caches get slots, appends and attention run for each row at its own length,
// positions that the graph counts become an input; a function that shares the caches is told the sequence.
// RUN: ahm-opt %s -nn-batch | FileCheck %s
// CHECK-DAG: #[[OWN:.*]] = affine_map<()[s0, s1, s2] -> (s2)>
// CHECK-DAG: #[[SLOT:.*]] = affine_map<()[s0, s1, s2, s3] -> (s2)>
// CHECK-DAG: #[[LENGTH:.*]] = affine_map<()[s0, s1, s2, s3] -> (s1 + 1)>
// CHECK: nn.cache @k heads 1 head_dim 4 capacity 16 {slots = 2 : i64}
// CHECK-LABEL: func.func @prefill
// CHECK-SAME: {max = 1 : i64, min = 0 : i64, name = "kv_sequence"}
// CHECK: nn.cache_append @k, {{.*}}slot = #[[OWN]]}
// CHECK-LABEL: func.func @decode
// CHECK-SAME: nn.role = "positions"
// CHECK-SAME: {max = 2 : i64, min = 1 : i64, name = "kv_rows"}
// CHECK-SAME: {kind = "per_row", max = 15 : i64, min = 0 : i64, name = "kv_past", rows = 2 : i64}
// CHECK-SAME: {kind = "per_row", max = 1 : i64, min = 0 : i64, name = "kv_slot", rows = 2 : i64}
// CHECK-SAME: {kind = "row_index", max = 1 : i64, min = 0 : i64, name = "kv_row"}
// CHECK-NOT: nn.iota
// CHECK: nn.gather %{{.*}}[%arg2]
// CHECK: nn.cache_append @k, {{.*}} {per_row, slot = #[[SLOT]]}
// CHECK: nn.attention {{.*}} length #[[LENGTH]] {{.*}}{per_row, slot = #[[SLOT]]}
nn.weight @table : tensor<16x4xf32> from tensor<16x4xf32> in "" at 0 size 256 recipe []
nn.cache @k heads 1 head_dim 4 capacity 16
nn.cache @v heads 1 head_dim 4 capacity 16
func.func @prefill(%x: tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>) attributes {nn.values = [
    {name = "tokens", min = 1, max = 4}, {name = "past", min = 0, max = 15}]} {
  nn.cache_append @k, %x at affine_map<()[s0, s1] -> (s1)> : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
  return
}
func.func @decode(%ids: tensor<1x?xi32, affine_map<()[s0, s1] -> (1, s0)>> {nn.role = "ids"},
    %x: tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>)
    -> tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>> attributes {nn.batch = 2 : i64, nn.values = [
    {name = "tokens", min = 1, max = 2}, {name = "past", min = 0, max = 15}]} {
  %t = nn.get_weight @table : tensor<16x4xf32>
  %p = nn.iota affine_map<()[s0, s1] -> (s1)> step 1 : tensor<?xi32, affine_map<()[s0, s1] -> (s0)>>
  %c = nn.gather %t[%p] axis 0 : tensor<16x4xf32>, tensor<?xi32, affine_map<()[s0, s1] -> (s0)>> -> tensor<?x4xf32, affine_map<()[s0, s1] -> (s0, 4)>>
  %y = nn.binary "add" %x, %c : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>, tensor<?x4xf32, affine_map<()[s0, s1] -> (s0, 4)>> -> tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
  nn.cache_append @k, %y at affine_map<()[s0, s1] -> (s1)> : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
  nn.cache_append @v, %y at affine_map<()[s0, s1] -> (s1)> : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
  %a = nn.attention %y, @k, @v length affine_map<()[s0, s1] -> (s0 + s1)> position affine_map<()[s0, s1] -> (s1)> scale 1.0 causal true
    : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>> -> tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
  return %a : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
}
