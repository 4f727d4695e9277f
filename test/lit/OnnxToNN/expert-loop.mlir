// A loop over experts as TorchScript traces it: torch.where, indices of two tensors, index_add_ as a ScatterElements into zeros and a sum.
// RUN: ahm-opt %s -onnx-to-nn -nn-recognize | FileCheck %s
// Positions in the choices instead of tokens may be set twice, so that the last one counts: no sum.
// RUN: sed 's/Unsqueeze(.token/Unsqueeze(%%rank/' %s | not ahm-opt -onnx-to-nn 2>&1 | FileCheck %s --check-prefix=OTHER
// OTHER: NonZero: a size of its output depends on the contents of its inputs

// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<6x4xf32>
// CHECK: %{{.*}}, %[[IDS:.*]] = nn.topk
// CHECK: nn.expert_linear %[[X]][%[[IDS]]], @up0.experts : tensor<6x4xf32>, tensor<6x2xi32> -> tensor<6x2x8xf32>
// CHECK: nn.expert_linear %{{.*}}[%[[IDS]]], @down0.experts : tensor<6x2x8xf32>, tensor<6x2xi32> -> tensor<6x2x4xf32>
// CHECK: nn.reduce "sum" %{{.*}} axes [1] keepdims false : tensor<6x2x4xf32> -> tensor<6x4xf32>
// CHECK-NOT: nn.scatter
onnx.Weight @up0 : tensor<4x8xf32> in "w" at 0 size 128
onnx.Weight @down0 : tensor<8x4xf32> in "w" at 128 size 128
onnx.Weight @up1 : tensor<4x8xf32> in "w" at 256 size 128
onnx.Weight @down1 : tensor<8x4xf32> in "w" at 384 size 128
onnx.Weight @up2 : tensor<4x8xf32> in "w" at 512 size 128
onnx.Weight @down2 : tensor<8x4xf32> in "w" at 640 size 128
func.func @graph(%x: tensor<6x4xf32> {onnx.name = "x", onnx.dims = [6, 4]}, %scores: tensor<6x3xf32> {onnx.name = "scores", onnx.dims = [6, 3]})
    -> (tensor<6x4xf32> {onnx.name = "y", onnx.dims = [6, 4]}) attributes {onnx.opset = 16 : i64} {
  %two = onnx.Constant dense<2> : tensor<1xi64> : tensor<1xi64>
  %three = onnx.Constant dense<3> : tensor<i64> : tensor<i64>
  %offon = onnx.Constant dense<[0, 1]> : tensor<2xi64> : tensor<2xi64>
  %ones = onnx.Constant dense<[1, 1]> : tensor<2xi64> : tensor<2xi64>
  %axis = onnx.Constant dense<1> : tensor<1xi64> : tensor<1xi64>
  %k = onnx.Constant dense<2> : tensor<i64> : tensor<i64>
  %shape = onnx.Constant dense<[6, 4]> : tensor<2xi64> : tensor<2xi64>
  %w, %ids = onnx.TopK(%scores, %two) {axis = -1 : i64} : (tensor<6x3xf32>, tensor<1xi64>) -> (tensor<*xf32>, tensor<*xi64>)
  %hot = onnx.OneHot(%ids, %three, %offon) {axis = -1 : i64} : (tensor<*xi64>, tensor<i64>, tensor<2xi64>) -> tensor<*xi64>
  %byexpert = onnx.Transpose(%hot) {perm = array<i64: 2, 1, 0>} : (tensor<*xi64>) -> tensor<*xi64>
  %flat = onnx.Flatten(%w) {axis = 2 : i64} : (tensor<*xf32>) -> tensor<*xf32>
  %zeros = onnx.ConstantOfShape(%shape) : (tensor<2xi64>) -> tensor<*xf32>
  %n0 = onnx.Constant dense<0> : tensor<i64> : tensor<i64>
  %row0 = onnx.Gather(%byexpert, %n0) {axis = 0 : i64} : (tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
  %list0 = onnx.NonZero(%row0) : (tensor<*xi64>) -> tensor<*xi64>
  %pairs0 = onnx.Transpose(%list0) {perm = array<i64: 1, 0>} : (tensor<*xi64>) -> tensor<*xi64>
  %r0, %t0 = onnx.Split(%pairs0, %ones) {axis = 1 : i64} : (tensor<*xi64>, tensor<2xi64>) -> (tensor<*xi64>, tensor<*xi64>)
  %rank0 = onnx.Squeeze(%r0, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %token0 = onnx.Squeeze(%t0, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %x0 = onnx.Gather(%x, %token0) {axis = 0 : i64} : (tensor<6x4xf32>, tensor<*xi64>) -> tensor<*xf32>
  %wu0 = onnx.UseWeight @up0 : tensor<4x8xf32>
  %wd0 = onnx.UseWeight @down0 : tensor<8x4xf32>
  %u0 = onnx.MatMul(%x0, %wu0) : (tensor<*xf32>, tensor<4x8xf32>) -> tensor<*xf32>
  %g0 = onnx.Relu(%u0) : (tensor<*xf32>) -> tensor<*xf32>
  %d0 = onnx.MatMul(%g0, %wd0) : (tensor<*xf32>, tensor<8x4xf32>) -> tensor<*xf32>
  %from0 = onnx.Mul(%token0, %k) : (tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
  %at0 = onnx.Add(%rank0, %from0) : (tensor<*xi64>, tensor<*xi64>) -> tensor<*xi64>
  %own0 = onnx.Gather(%flat, %at0) {axis = 0 : i64} : (tensor<*xf32>, tensor<*xi64>) -> tensor<*xf32>
  %y0 = onnx.Mul(%d0, %own0) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %index0 = onnx.Unsqueeze(%token0, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %size0 = onnx.Shape(%y0) : (tensor<*xf32>) -> tensor<*xi64>
  %all0 = onnx.Expand(%index0, %size0) : (tensor<*xi64>, tensor<*xi64>) -> tensor<*xi64>
  %put0 = onnx.ScatterElements(%zeros, %all0, %y0) {axis = 0 : i64} : (tensor<*xf32>, tensor<*xi64>, tensor<*xf32>) -> tensor<*xf32>
  %s0 = onnx.Add(%zeros, %put0) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %n1 = onnx.Constant dense<1> : tensor<i64> : tensor<i64>
  %row1 = onnx.Gather(%byexpert, %n1) {axis = 0 : i64} : (tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
  %list1 = onnx.NonZero(%row1) : (tensor<*xi64>) -> tensor<*xi64>
  %pairs1 = onnx.Transpose(%list1) {perm = array<i64: 1, 0>} : (tensor<*xi64>) -> tensor<*xi64>
  %r1, %t1 = onnx.Split(%pairs1, %ones) {axis = 1 : i64} : (tensor<*xi64>, tensor<2xi64>) -> (tensor<*xi64>, tensor<*xi64>)
  %rank1 = onnx.Squeeze(%r1, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %token1 = onnx.Squeeze(%t1, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %x1 = onnx.Gather(%x, %token1) {axis = 0 : i64} : (tensor<6x4xf32>, tensor<*xi64>) -> tensor<*xf32>
  %wu1 = onnx.UseWeight @up1 : tensor<4x8xf32>
  %wd1 = onnx.UseWeight @down1 : tensor<8x4xf32>
  %u1 = onnx.MatMul(%x1, %wu1) : (tensor<*xf32>, tensor<4x8xf32>) -> tensor<*xf32>
  %g1 = onnx.Relu(%u1) : (tensor<*xf32>) -> tensor<*xf32>
  %d1 = onnx.MatMul(%g1, %wd1) : (tensor<*xf32>, tensor<8x4xf32>) -> tensor<*xf32>
  %from1 = onnx.Mul(%token1, %k) : (tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
  %at1 = onnx.Add(%rank1, %from1) : (tensor<*xi64>, tensor<*xi64>) -> tensor<*xi64>
  %own1 = onnx.Gather(%flat, %at1) {axis = 0 : i64} : (tensor<*xf32>, tensor<*xi64>) -> tensor<*xf32>
  %y1 = onnx.Mul(%d1, %own1) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %index1 = onnx.Unsqueeze(%token1, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %size1 = onnx.Shape(%y1) : (tensor<*xf32>) -> tensor<*xi64>
  %all1 = onnx.Expand(%index1, %size1) : (tensor<*xi64>, tensor<*xi64>) -> tensor<*xi64>
  %put1 = onnx.ScatterElements(%zeros, %all1, %y1) {axis = 0 : i64} : (tensor<*xf32>, tensor<*xi64>, tensor<*xf32>) -> tensor<*xf32>
  %s1 = onnx.Add(%s0, %put1) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %n2 = onnx.Constant dense<2> : tensor<i64> : tensor<i64>
  %row2 = onnx.Gather(%byexpert, %n2) {axis = 0 : i64} : (tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
  %list2 = onnx.NonZero(%row2) : (tensor<*xi64>) -> tensor<*xi64>
  %pairs2 = onnx.Transpose(%list2) {perm = array<i64: 1, 0>} : (tensor<*xi64>) -> tensor<*xi64>
  %r2, %t2 = onnx.Split(%pairs2, %ones) {axis = 1 : i64} : (tensor<*xi64>, tensor<2xi64>) -> (tensor<*xi64>, tensor<*xi64>)
  %rank2 = onnx.Squeeze(%r2, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %token2 = onnx.Squeeze(%t2, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %x2 = onnx.Gather(%x, %token2) {axis = 0 : i64} : (tensor<6x4xf32>, tensor<*xi64>) -> tensor<*xf32>
  %wu2 = onnx.UseWeight @up2 : tensor<4x8xf32>
  %wd2 = onnx.UseWeight @down2 : tensor<8x4xf32>
  %u2 = onnx.MatMul(%x2, %wu2) : (tensor<*xf32>, tensor<4x8xf32>) -> tensor<*xf32>
  %g2 = onnx.Relu(%u2) : (tensor<*xf32>) -> tensor<*xf32>
  %d2 = onnx.MatMul(%g2, %wd2) : (tensor<*xf32>, tensor<8x4xf32>) -> tensor<*xf32>
  %from2 = onnx.Mul(%token2, %k) : (tensor<*xi64>, tensor<i64>) -> tensor<*xi64>
  %at2 = onnx.Add(%rank2, %from2) : (tensor<*xi64>, tensor<*xi64>) -> tensor<*xi64>
  %own2 = onnx.Gather(%flat, %at2) {axis = 0 : i64} : (tensor<*xf32>, tensor<*xi64>) -> tensor<*xf32>
  %y2 = onnx.Mul(%d2, %own2) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %index2 = onnx.Unsqueeze(%token2, %axis) : (tensor<*xi64>, tensor<1xi64>) -> tensor<*xi64>
  %size2 = onnx.Shape(%y2) : (tensor<*xf32>) -> tensor<*xi64>
  %all2 = onnx.Expand(%index2, %size2) : (tensor<*xi64>, tensor<*xi64>) -> tensor<*xi64>
  %put2 = onnx.ScatterElements(%zeros, %all2, %y2) {axis = 0 : i64} : (tensor<*xf32>, tensor<*xi64>, tensor<*xf32>) -> tensor<*xf32>
  %s2 = onnx.Add(%s1, %put2) : (tensor<*xf32>, tensor<*xf32>) -> tensor<*xf32>
  %y = onnx.Reshape(%s2, %shape) : (tensor<*xf32>, tensor<2xi64>) -> tensor<6x4xf32>
  return %y : tensor<6x4xf32>
}
