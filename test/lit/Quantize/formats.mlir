// A float model is stored in mxint8; a small table stays f32 for the gather and becomes a second symbol for the product.
// RUN: ahm-opt %s -nn-quantize | FileCheck %s --check-prefix=AUTO
// RUN: ahm-opt %s -nn-quantize="weights=mxint16" | FileCheck %s --check-prefix=WIDE
// RUN: ahm-opt %s -nn-quantize="kv=mxint16 activations=mxint16" | FileCheck %s --check-prefix=MIXED
// RUN: ahm-opt %s -nn-quantize="kv=bf16" | FileCheck %s --check-prefix=BF16
// RUN: ahm-opt %s -nn-quantize="kv=mxint4" | FileCheck %s --check-prefix=FOUR
// RUN: not ahm-opt %s -nn-quantize="kv=mxint5" 2>&1 | FileCheck %s --check-prefix=KV
// RUN: not ahm-opt %s -nn-quantize="weights=int8" 2>&1 | FileCheck %s --check-prefix=INT8
// RUN: not ahm-opt %s -nn-quantize="weights=mxfp9" 2>&1 | FileCheck %s --check-prefix=UNKNOWN

// AUTO: nn.weight @tied {{.*}}format = "f32"
// AUTO: nn.weight @tied_mxint8 {{.*}}format = "mxint8"
// AUTO: nn.cache @k {{.*}}format = "mxint8"
// AUTO: nn.get_weight @tied :
// AUTO: nn.linear %{{.*}}, @tied_mxint8 {activations = "mxint8"}

// WIDE: nn.weight @tied_mxint16 {{.*}}format = "mxint16"
// WIDE: nn.cache @k {{.*}}format = "mxint16"
// WIDE: activations = "mxint16"

// MIXED: nn.weight @tied_mxint8 {{.*}}format = "mxint8"
// MIXED: nn.cache @k {{.*}}format = "mxint16"
// MIXED: activations = "mxint16"

// BF16: nn.cache @k {{.*}}format = "bf16"
// FOUR: nn.cache @k {{.*}}format = "mxint4"
// KV: kv=mxint5 is not known; choose one of bf16, mxint16, mxint8, mxint4
// INT8: weights=int8 needs a model stored in int8
// UNKNOWN: weights=mxfp9 is not known; choose one of auto, mxint16, mxint8, mxint4, mxfp8, mxfp6, mxfp4, int8, or PATTERN=FORMAT
module {
  nn.weight @tied : tensor<32x32xf32> from tensor<32x32xf32> in "" at 0 size 4096 recipe []
  nn.cache @k heads 1 head_dim 32 capacity 64
  func.func @main(%ids: tensor<4xi32>) -> tensor<4x32xf32> {
    %table = nn.get_weight @tied : tensor<32x32xf32>
    %x = nn.gather %table[%ids] axis 0 : tensor<32x32xf32>, tensor<4xi32> -> tensor<4x32xf32>
    %y = nn.linear %x, @tied : tensor<4x32xf32> -> tensor<4x32xf32>
    return %y : tensor<4x32xf32>
  }
}
