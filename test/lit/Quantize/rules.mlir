// --weights takes a format for all and others for those whose initializer or node a glob names; the last pattern that matches counts. Activations
// follow each product's weights. What took what is reported; a pattern that names nothing is an error.
// RUN: ahm-opt %s -nn-quantize="weights=mxint4,*down*=mxint16,/head/*=mxfp6" 2>&1 | FileCheck %s
// RUN: ahm-opt %s -nn-quantize="weights=*=mxint4,model.up.weight=mxfp8" 2>&1 | FileCheck %s --check-prefix=LAST
// RUN: not ahm-opt %s -nn-quantize="weights=mxint4,*gate*=mxint8" 2>&1 | FileCheck %s --check-prefix=UNUSED
// RUN: not ahm-opt %s -nn-quantize="weights=mxint4,mxint8" 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: not ahm-opt %s -nn-quantize="weights=*up*=mxint5" 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not ahm-opt %s -nn-quantize="weights==mxint4" 2>&1 | FileCheck %s --check-prefix=EMPTY
// RUN: not ahm-opt %s -nn-quantize="weights=[=mxint4" 2>&1 | FileCheck %s --check-prefix=GLOB

// CHECK: remark: weights *down*=mxint16: 1 (model.down.weight)
// CHECK: remark: weights /head/*=mxfp6: 1 (model.up.weight)
// CHECK: nn.weight @up {{.*}}format = "mxint4"
// CHECK: nn.weight @up_mxfp6 {{.*}}format = "mxfp6"
// CHECK: nn.weight @down.folded {{.*}}format = "mxint16"
// CHECK: nn.linear %{{.*}}, @up {activations = "mxint8"}
// CHECK: nn.linear %{{.*}}, @down.folded {activations = "mxint16"}
// CHECK: nn.linear %{{.*}}, @up_mxfp6 {activations = "mxint8"}

// LAST: remark: weights *=mxint4: 1 (model.down.weight)
// LAST: remark: weights model.up.weight=mxfp8: 1 (model.up.weight)
// LAST: nn.weight @up {{.*}}format = "mxfp8"
// LAST: nn.weight @down.folded {{.*}}format = "mxint4"

// UNUSED: error: weights: no initializer or node of a product or an embedding has a name like '*gate*'
// TWICE: error: weights=mxint4,mxint8 gives two formats for all weights
// UNKNOWN: error: weights=*up*=mxint5 is not known; choose one of auto, mxint16, mxint8, mxint4, mxfp8, mxfp6, mxfp4, int8, but int8, after a pattern
// EMPTY: error: weights==mxint4 has no pattern before the '='
// GLOB: error: weights=[=mxint4 has no valid pattern
module {
  nn.weight @up : tensor<32x32xf32> from tensor<32x32xf32> in "" at 0 size 4096 recipe [] loc("model.up.weight")
  nn.weight @down.folded : tensor<32x32xf32> from tensor<32x32xf32> in "" at 0 size 4096 recipe [["transpose", 1, 0]] loc("model.down.weight")
  func.func @main(%x: tensor<4x32xf32>) -> tensor<4x32xf32> {
    %u = nn.linear %x, @up : tensor<4x32xf32> -> tensor<4x32xf32> loc("/mlp/MatMul")
    %d = nn.linear %u, @down.folded : tensor<4x32xf32> -> tensor<4x32xf32> loc("/mlp/MatMul_1")
    %y = nn.linear %d, @up : tensor<4x32xf32> -> tensor<4x32xf32> loc("/head/MatMul")
    return %y : tensor<4x32xf32>
  }
}
