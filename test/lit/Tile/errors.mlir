// RUN: ahm-opt %s -hmem-tile -split-input-file -verify-diagnostics

module {
  nn.weight @w : tensor<64x64xf32> from tensor<64x64xf32> in "" at 0 size 16384 recipe []
  func.func @main(%x: tensor<4x64xf32>) -> tensor<4x64xf32> {
    // expected-error@+1 {{reads the weight @w in format ""; run the quantise pass first}}
    %y = nn.linear %x, @w : tensor<4x64xf32> -> tensor<4x64xf32>
    return %y : tensor<4x64xf32>
  }
}

// -----

// expected-error@+1 {{argument 0 has type 'tensor<4xf64>'}}
func.func @main(%x: tensor<4xf64>) {
  return
}
