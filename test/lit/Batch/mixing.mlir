// What reads several rows at once, or the length of the past as one number, cannot be a batch.
// RUN: split-file %s %t
// RUN: not ahm-opt %t/reduce.mlir -nn-batch 2>&1 | FileCheck %s --check-prefix=REDUCE
// RUN: not ahm-opt %t/past.mlir -nn-batch 2>&1 | FileCheck %s --check-prefix=PAST
// RUN: not ahm-opt %t/place.mlir -nn-batch 2>&1 | FileCheck %s --check-prefix=PLACE
// REDUCE: nn.reduce reads several rows at once; its rows cannot be sequences of a batch; remedy: --batch=1
// PAST: nn.runtime depends on the length of the past; its rows cannot be sequences of a batch; remedy: --batch=1
// PLACE: appends to a cache at another place than behind each sequence's past

//--- reduce.mlir
nn.cache @k heads 1 head_dim 4 capacity 16
func.func @decode(%ids: tensor<1x?xi32, affine_map<()[s0, s1] -> (1, s0)>> {nn.role = "ids"},
    %x: tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>) -> tensor<1x1x1x4xf32> attributes {nn.batch = 2 : i64, nn.values = [
    {name = "tokens", min = 1, max = 2}, {name = "past", min = 0, max = 15}]} {
  nn.cache_append @k, %x at affine_map<()[s0, s1] -> (s1)> : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
  %s = nn.reduce "sum" %x axes [2] keepdims true : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>> -> tensor<1x1x1x4xf32>
  return %s : tensor<1x1x1x4xf32>
}

//--- past.mlir
nn.cache @k heads 1 head_dim 4 capacity 16
func.func @decode(%ids: tensor<1x?xi32, affine_map<()[s0, s1] -> (1, s0)>> {nn.role = "ids"},
    %x: tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>) -> tensor<i32> attributes {nn.batch = 2 : i64, nn.values = [
    {name = "tokens", min = 1, max = 2}, {name = "past", min = 0, max = 15}]} {
  nn.cache_append @k, %x at affine_map<()[s0, s1] -> (s1)> : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
  %s = nn.runtime affine_map<()[s0, s1] -> (s1)> : tensor<i32>
  return %s : tensor<i32>
}

//--- place.mlir
nn.cache @k heads 1 head_dim 4 capacity 16
nn.cache @v heads 1 head_dim 4 capacity 16
func.func @decode(%ids: tensor<1x?xi32, affine_map<()[s0, s1] -> (1, s0)>> {nn.role = "ids"},
    %x: tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>) attributes {nn.batch = 2 : i64, nn.values = [
    {name = "tokens", min = 1, max = 2}, {name = "past", min = 0, max = 15}]} {
  nn.cache_append @k, %x at affine_map<()[s0, s1] -> (s1)> : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
  nn.cache_append @v, %x at affine_map<()[s0, s1] -> (0)> : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
  return
}
