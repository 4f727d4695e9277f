// The form that the importer gives a merged decoder: one If on a graph input, whose branches use weights of the outer graph.
// RUN: ahm-opt %s -verify-diagnostics | FileCheck %s

onnx.Weight @"decoder::w" : tensor<8x8xf32> in "decoder.onnx" at 100 size 256

// CHECK-LABEL: func.func @decoder
func.func @decoder(%x: tensor<?x8xf32> {onnx.dims = ["batch", 8], onnx.name = "x"}, %cache: tensor<1xi1> {onnx.dims = [1], onnx.name = "use_cache_branch"})
    -> (tensor<?x8xf32> {onnx.name = "logits"}) attributes {onnx.opset = 14 : i64} {
  // CHECK: %[[W:.*]] = onnx.UseWeight @"decoder::w"
  %w = onnx.UseWeight @"decoder::w" : tensor<8x8xf32>
  // CHECK: onnx.If
  %y = onnx.If(%cache) : (tensor<1xi1>) -> tensor<?x8xf32> {
    // CHECK: onnx.MatMul(%{{.*}}, %[[W]])
    %0 = onnx.MatMul(%x, %w) : (tensor<?x8xf32>, tensor<8x8xf32>) -> tensor<*xf32>
    onnx.Yield %0 : tensor<*xf32>
  } else {
    onnx.Yield %x : tensor<?x8xf32>
  }
  return %y : tensor<?x8xf32>
}
