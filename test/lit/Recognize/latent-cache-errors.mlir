// What a row does not begin with is no value of a latent cache.
// RUN: not ahm-opt %s -nn-recognize 2>&1 | FileCheck %s
// CHECK: error: KV cache 'past' is used outside attention by nn.{{.*}}; remedy: --kv-state=off
#past = affine_map<()[s0] -> (1, 1, s0, 12)>
#all = affine_map<()[s0] -> (1, 1, s0 + 1, 12)>
#front = affine_map<()[s0] -> (1, 1, s0 + 1, 8)>
#kt = affine_map<()[s0] -> (1, 1, 12, s0 + 1)>
#score = affine_map<()[s0] -> (1, 2, 1, s0 + 1)>
func.func @decode(%q: tensor<1x2x1x12xf32> {onnx.name = "q"}, %new: tensor<1x1x1x12xf32> {onnx.name = "n"},
    %past: tensor<1x1x?x12xf32, #past> {onnx.name = "past"}) -> (tensor<1x2x1x8xf32> {onnx.name = "y"}, tensor<1x1x?x12xf32, #all> {onnx.name = "present"})
    attributes {nn.values = [{name = "p", min = 0 : i64, max = 63 : i64}]} {
  %k = nn.concat axis 2 %past, %new : (tensor<1x1x?x12xf32, #past>, tensor<1x1x1x12xf32>) -> tensor<1x1x?x12xf32, #all>
  %v = nn.slice %k starts affine_map<()[s0] -> (0, 0, 0, 4)> steps [1, 1, 1, 1] : tensor<1x1x?x12xf32, #all> -> tensor<1x1x?x8xf32, #front>
  %t = nn.transpose %k perm [0, 1, 3, 2] : tensor<1x1x?x12xf32, #all> -> tensor<1x1x12x?xf32, #kt>
  %s = nn.matmul %q, %t : tensor<1x2x1x12xf32>, tensor<1x1x12x?xf32, #kt> -> tensor<1x2x1x?xf32, #score>
  %w = nn.softmax %s : tensor<1x2x1x?xf32, #score> -> tensor<1x2x1x?xf32, #score>
  %y = nn.matmul %w, %v : tensor<1x2x1x?xf32, #score>, tensor<1x1x?x8xf32, #front> -> tensor<1x2x1x8xf32>
  return %y, %k : tensor<1x2x1x8xf32>, tensor<1x1x?x12xf32, #all>
}
