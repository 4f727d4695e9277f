// Two weights of 32 experts, of which a token takes two, on a card with room for a part of them. The likeliest stay, each weight becomes
// one of those and one of the others; a product fetches what it misses into a set of slots as soon as it is known.
// RUN: ahm-opt %s '-hmem-tile=sram-per-core=83968 cores=128 quad=64 chiplet=128' -o %t.mlir
// RUN: echo '{"frequencies": {"0": [1,1,1,1,1,9,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,5]}}' > %t.json
// RUN: ahm-opt %t.mlir '--hmem-place=target=test-tiny routing=%t.json remarks' --hmem-schedule 2>%t.err | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK < %t.err
// RUN: ahm-opt %t.mlir '--hmem-place=target=test-tiny routing=%t.json' --hmem-schedule --hmem-to-dimc | FileCheck %s --check-prefix=DIMC
// RUN: ahm-opt %t.mlir '--hmem-place=target=test-tiny policy=dram-only' | FileCheck %s --check-prefix=NONE
// RUN: echo '{"frequencies": [1, "often"]}' > %t.json
// RUN: not ahm-opt %t.mlir '--hmem-place=target=test-tiny routing=%t.json' 2>&1 | FileCheck %s --check-prefix=WRONG

// CHECK: hmem.expert_ring = {set_bytes = {{[0-9]+}} : i64, sets = 2 : i64, sram_offset = {{[0-9]+}} : i64}
// CHECK-SAME: hmem.expert_tables = [{name = "up.c0", places = array<i64: 2, 3, 4, 5, 6, 0, {{.*}}, 1>}
// CHECK: hmem.weight @up.c0.resident {{.*}}held = array<i64: 5, 31, 0{{.*}}residency = "resident"
// CHECK: hmem.weight @up.c0.fetched {{.*}}residency = "fetched"
// Both fetches stand behind what writes the ids, before the first product.
// CHECK: hmem.exec "HostToStash"{{.*}}"i32"
// CHECK-NEXT: hmem.exec "ExpertFetch"{{.*}}"tiles_mx8", @up.c0.fetched{{.*}}part "dram"{{.*}}outs [{{.*}}@up.c0.fetched{{.*}}part "set0">]
// CHECK-NEXT: hmem.exec "ExpertFetch"{{.*}}part "set1">]
// CHECK: hmem.exec "GemmExperts"{{.*}}@up.c0.resident{{.*}}@up.c0.fetched{{.*}}part "set0"

// REMARK: up.c0 does not stay in SRAM: {{[0-9]+}} of 32 experts are fetched when chosen

// DIMC: dimc.region @up.c0.fetched.dram "up.c0.fetched" "dram" "weight"
// DIMC: dimc.region @up.c0.fetched.set0 "up.c0.fetched" "sram" "staging" units 0 128 at {{[0-9]+}} size {{[0-9]+}} {alias_group = 3 : i64}
// DIMC: dimc.command "ExpertFetch" queue "dma"{{.*}}waits [[IDS:.*]]
// DIMC: dimc.command "GemmExperts" queue "gemm"

// NONE: hmem.weight @up.c0.fetched
// NONE-NOT: .resident
// NONE: hmem.exec "GemmExperts"{{.*}}"tiles_mx8", @up.c0.fetched{{.*}}part "set0"

// WRONG: the frequencies hold something else than numbers
module {
  nn.weight @up : tensor<32x512x512xf32> from tensor<32x512x512xf32> in "" at 0 size 33554432 recipe [] {format = "mxint8"}
  nn.weight @down : tensor<32x512x512xf32> from tensor<32x512x512xf32> in "" at 0 size 33554432 recipe [] {format = "mxint8"}
  func.func @main(%x: tensor<1x512xf32>, %ids: tensor<1x2xi32>) -> tensor<1x2x512xf32> {
    %y = nn.expert_linear %x[%ids], @up : tensor<1x512xf32>, tensor<1x2xi32> -> tensor<1x2x512xf32>
    %z = nn.expert_linear %y[%ids], @down : tensor<1x2x512xf32>, tensor<1x2xi32> -> tensor<1x2x512xf32>
    return %z : tensor<1x2x512xf32>
  }
}
