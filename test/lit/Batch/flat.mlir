// Rows joined to one dimension stay apart where an index is the row's number times its width, plus a number within the width.
// RUN: split-file %s %t
// RUN: ahm-opt %t/own.mlir -nn-batch | FileCheck %s --check-prefix=OWN
// RUN: not ahm-opt %t/other.mlir -nn-batch 2>&1 | FileCheck %s --check-prefix=OTHER
// OWN-LABEL: func.func @decode
// OWN: nn.gather
// OTHER: nn.iota reads several rows at once; its rows cannot be sequences of a batch; remedy: --batch=1

//--- own.mlir
nn.cache @k heads 1 head_dim 4 capacity 16
func.func @decode(%ids: tensor<1x?xi32, affine_map<()[s0, s1] -> (1, s0)>> {nn.role = "ids"},
    %x: tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>) -> tensor<?x2xf32, affine_map<()[s0, s1] -> (s0, 2)>> attributes {nn.batch = 2 : i64, nn.values = [
    {name = "tokens", min = 1, max = 2}, {name = "past", min = 0, max = 15}]} {
  nn.cache_append @k, %x at affine_map<()[s0, s1] -> (s1)> : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
  %r = nn.reshape %x : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>> -> tensor<?x4xf32, affine_map<()[s0, s1] -> (s0, 4)>>
  %v, %i = nn.topk %r largest true : tensor<?x4xf32, affine_map<()[s0, s1] -> (s0, 4)>> -> tensor<?x2xf32, affine_map<()[s0, s1] -> (s0, 2)>>, tensor<?x2xi32, affine_map<()[s0, s1] -> (s0, 2)>>
  %t = nn.iota affine_map<()[s0, s1] -> (0)> step 4 : tensor<?xi32, affine_map<()[s0, s1] -> (s0)>>
  %c = nn.reshape %t : tensor<?xi32, affine_map<()[s0, s1] -> (s0)>> -> tensor<?x1xi32, affine_map<()[s0, s1] -> (s0, 1)>>
  %at = nn.binary "add" %i, %c : tensor<?x2xi32, affine_map<()[s0, s1] -> (s0, 2)>>, tensor<?x1xi32, affine_map<()[s0, s1] -> (s0, 1)>> -> tensor<?x2xi32, affine_map<()[s0, s1] -> (s0, 2)>>
  %f = nn.reshape %r : tensor<?x4xf32, affine_map<()[s0, s1] -> (s0, 4)>> -> tensor<?xf32, affine_map<()[s0, s1] -> (s0 * 4)>>
  %y = nn.gather %f[%at] axis 0 : tensor<?xf32, affine_map<()[s0, s1] -> (s0 * 4)>>, tensor<?x2xi32, affine_map<()[s0, s1] -> (s0, 2)>> -> tensor<?x2xf32, affine_map<()[s0, s1] -> (s0, 2)>>
  return %y : tensor<?x2xf32, affine_map<()[s0, s1] -> (s0, 2)>>
}

//--- other.mlir
nn.cache @k heads 1 head_dim 4 capacity 16
func.func @decode(%ids: tensor<1x?xi32, affine_map<()[s0, s1] -> (1, s0)>> {nn.role = "ids"},
    %x: tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>) -> tensor<?x2xf32, affine_map<()[s0, s1] -> (s0, 2)>> attributes {nn.batch = 2 : i64, nn.values = [
    {name = "tokens", min = 1, max = 2}, {name = "past", min = 0, max = 15}]} {
  nn.cache_append @k, %x at affine_map<()[s0, s1] -> (s1)> : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>>
  %r = nn.reshape %x : tensor<1x1x?x4xf32, affine_map<()[s0, s1] -> (1, 1, s0, 4)>> -> tensor<?x4xf32, affine_map<()[s0, s1] -> (s0, 4)>>
  %v, %i = nn.topk %r largest true : tensor<?x4xf32, affine_map<()[s0, s1] -> (s0, 4)>> -> tensor<?x2xf32, affine_map<()[s0, s1] -> (s0, 2)>>, tensor<?x2xi32, affine_map<()[s0, s1] -> (s0, 2)>>
  %t = nn.iota affine_map<()[s0, s1] -> (0)> step 3 : tensor<?xi32, affine_map<()[s0, s1] -> (s0)>>
  %c = nn.reshape %t : tensor<?xi32, affine_map<()[s0, s1] -> (s0)>> -> tensor<?x1xi32, affine_map<()[s0, s1] -> (s0, 1)>>
  %at = nn.binary "add" %i, %c : tensor<?x2xi32, affine_map<()[s0, s1] -> (s0, 2)>>, tensor<?x1xi32, affine_map<()[s0, s1] -> (s0, 1)>> -> tensor<?x2xi32, affine_map<()[s0, s1] -> (s0, 2)>>
  %f = nn.reshape %r : tensor<?x4xf32, affine_map<()[s0, s1] -> (s0, 4)>> -> tensor<?xf32, affine_map<()[s0, s1] -> (s0 * 4)>>
  %y = nn.gather %f[%at] axis 0 : tensor<?xf32, affine_map<()[s0, s1] -> (s0 * 4)>>, tensor<?x2xi32, affine_map<()[s0, s1] -> (s0, 2)>> -> tensor<?x2xf32, affine_map<()[s0, s1] -> (s0, 2)>>
  return %y : tensor<?x2xf32, affine_map<()[s0, s1] -> (s0, 2)>>
}
