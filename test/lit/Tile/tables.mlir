// A table whose rows the card itself chooses is kept in the stash while there is room for such tables; one that is read by the function's
// own ids stays in DRAM, where its rows are known before anything else moves.
// RUN: ahm-opt %s '-hmem-tile=sram-per-core=65536 cores=16 quad=4 chiplet=8' | FileCheck %s --check-prefixes=CHECK,KEPT
// RUN: ahm-opt %s '-hmem-tile=sram-per-core=65536 cores=16 quad=4 chiplet=8 stash-tables=30000' | FileCheck %s --check-prefixes=CHECK,FIRST
// RUN: ahm-opt %s '-hmem-tile=sram-per-core=65536 cores=16 quad=4 chiplet=8 stash-vector=20000' | FileCheck %s --check-prefixes=CHECK,NONE

// CHECK-DAG: hmem.weight @positions "table"
// KEPT-DAG: hmem.weight @up_bias "vector"
// KEPT-DAG: hmem.weight @down_bias "vector"
// FIRST-DAG: hmem.weight @up_bias "vector"
// FIRST-DAG: hmem.weight @down_bias "table"
// NONE-DAG: hmem.weight @up_bias "table"
// NONE-DAG: hmem.weight @down_bias "table"
module {
  nn.weight @up_bias : tensor<8x640xf32> from tensor<8x640xf32> in "" at 0 size 20480 recipe []
  nn.weight @down_bias : tensor<8x640xf32> from tensor<8x640xf32> in "" at 0 size 20480 recipe []
  nn.weight @positions : tensor<8x640xf32> from tensor<8x640xf32> in "" at 0 size 20480 recipe []
  func.func @main(%scores: tensor<1x8xf32>, %ids: tensor<1x2xi32>) -> (tensor<1x2x640xf32>, tensor<1x2x640xf32>, tensor<1x2x640xf32>) {
    %values, %chosen = nn.topk %scores largest true : tensor<1x8xf32> -> tensor<1x2xf32>, tensor<1x2xi32>
    %up = nn.get_weight @up_bias : tensor<8x640xf32>
    %down = nn.get_weight @down_bias : tensor<8x640xf32>
    %rows = nn.get_weight @positions : tensor<8x640xf32>
    %a = nn.gather %up[%chosen] axis 0 : tensor<8x640xf32>, tensor<1x2xi32> -> tensor<1x2x640xf32>
    %b = nn.gather %down[%chosen] axis 0 : tensor<8x640xf32>, tensor<1x2xi32> -> tensor<1x2x640xf32>
    %c = nn.gather %rows[%ids] axis 0 : tensor<8x640xf32>, tensor<1x2xi32> -> tensor<1x2x640xf32>
    return %a, %b, %c : tensor<1x2x640xf32>, tensor<1x2x640xf32>, tensor<1x2x640xf32>
  }
}
