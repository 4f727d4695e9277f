// From nn to a program that the memory-map verifier accepts, resident and streamed.
// RUN: ahm-opt %s -hmem-tile -hmem-place -hmem-schedule -hmem-to-dimc -emit-print -o /dev/null | FileCheck %s
// RUN: ahm-opt %s -hmem-tile -hmem-place=policy=dram-only -hmem-schedule -hmem-to-dimc -emit-print -o /dev/null | FileCheck %s --check-prefix=STREAM

#t = affine_map<()[s0] -> (1, s0, 96)>
#q = affine_map<()[s0] -> (1, 2, s0, 48)>
#h = affine_map<()[s0] -> (1, s0, 2, 48)>
#i = affine_map<()[s0] -> (1, s0)>
#s = affine_map<()[s0] -> (1, 2, s0, s0)>
#k = affine_map<()[s0] -> (1, 2, 48, s0)>
module {
  nn.weight @emb : tensor<500x96xf32> from tensor<500x96xf32> in "" at 0 size 192000 recipe []
  nn.weight @wq : tensor<96x96xf32> from tensor<96x96xf32> in "" at 0 size 36864 recipe [["transpose", 1, 0]] {format = "mxint16"}
  nn.weight @head : tensor<96x500xf32> from tensor<500x96xf32> in "" at 0 size 192000 recipe [["transpose", 1, 0]] {format = "mxint8"}
  nn.weight @w8 : tensor<96x96xui8> from tensor<96x96xui8> in "" at 0 size 9216 recipe [] {format = "int8"}
  nn.weight @g : tensor<96xf32> from tensor<96xf32> in "" at 0 size 384 recipe []
  nn.cache @kc heads 2 head_dim 48 capacity 256 {format = "mxint16"}
  nn.cache @vc heads 2 head_dim 48 capacity 256 {format = "mxint16"}
  func.func @prefill(%ids: tensor<1x?xi32, #i> {onnx.name = "input_ids", onnx.dtype = "int64", nn.role = "ids"}) -> (tensor<1x?x500xf32, affine_map<()[s0] -> (1, s0, 500)>> {onnx.name = "logits"})
      attributes {nn.values = [{name = "tokens", min = 1 : i64, max = 64 : i64}]} {
    %e = nn.get_weight @emb : tensor<500x96xf32>
    %x = nn.gather %e[%ids] axis 0 : tensor<500x96xf32>, tensor<1x?xi32, #i> -> tensor<1x?x96xf32, #t>
    %g = nn.get_weight @g : tensor<96xf32>
    %n = nn.rms_norm %x gamma %g : tensor<96xf32> epsilon 1.0e-5 : tensor<1x?x96xf32, #t> -> tensor<1x?x96xf32, #t>
    %q = nn.linear %n, @wq bias %g : tensor<96xf32> : tensor<1x?x96xf32, #t> -> tensor<1x?x96xf32, #t>
    %qh = nn.reshape %q : tensor<1x?x96xf32, #t> -> tensor<1x?x2x48xf32, #h>
    %qt = nn.transpose %qh perm [0, 2, 1, 3] : tensor<1x?x2x48xf32, #h> -> tensor<1x2x?x48xf32, #q>
    nn.cache_append @kc, %qt at affine_map<()[s0] -> (0)> : tensor<1x2x?x48xf32, #q>
    nn.cache_append @vc, %qt at affine_map<()[s0] -> (0)> : tensor<1x2x?x48xf32, #q>
    %a = nn.attention %qt, @kc, @vc length affine_map<()[s0] -> (s0)> position affine_map<()[s0] -> (0)> scale 1.0e-1 causal true : tensor<1x2x?x48xf32, #q> -> tensor<1x2x?x48xf32, #q>
    %kt = nn.transpose %qt perm [0, 1, 3, 2] : tensor<1x2x?x48xf32, #q> -> tensor<1x2x48x?xf32, #k>
    %sc = nn.matmul %a, %kt : tensor<1x2x?x48xf32, #q>, tensor<1x2x48x?xf32, #k> -> tensor<1x2x?x?xf32, #s>
    %p = nn.softmax %sc : tensor<1x2x?x?xf32, #s> -> tensor<1x2x?x?xf32, #s>
    %o = nn.matmul %p, %qt : tensor<1x2x?x?xf32, #s>, tensor<1x2x?x48xf32, #q> -> tensor<1x2x?x48xf32, #q>
    %ot = nn.transpose %o perm [0, 2, 1, 3] : tensor<1x2x?x48xf32, #q> -> tensor<1x?x2x48xf32, #h>
    %of = nn.reshape %ot : tensor<1x?x2x48xf32, #h> -> tensor<1x?x96xf32, #t>
    %dq, %ds, %dz = nn.dynamic_quantize %of : tensor<1x?x96xf32, #t> -> tensor<1x?x96xui8, #t>, tensor<f32>, tensor<ui8>
    %i8 = nn.int8_linear %dq scale %ds zero_point %dz, @w8 weight_scale 1.0e-2 weight_zero_point 128 : tensor<1x?x96xui8, #t>, tensor<f32>, tensor<ui8> -> tensor<1x?x96xf32, #t>
    %y = nn.linear %i8, @head : tensor<1x?x96xf32, #t> -> tensor<1x?x500xf32, affine_map<()[s0] -> (1, s0, 500)>>
    return %y : tensor<1x?x500xf32, affine_map<()[s0] -> (1, s0, 500)>>
  }
}

// CHECK: program: {{.*}}5 weights, weights file 0 bytes, macs 5824512
// CHECK: entry load: 0 inputs, 0 outputs
// CHECK: entry prefill: 1 inputs, 1 outputs
// CHECK-NEXT: 0 HostToStash 'input_ids'
// CHECK-NEXT: 1 Gather w0
// CHECK: GemmMx
// CHECK: StashToHost {{.*}}'logits'
// CHECK: entry release
// `load` fills the two slots; the entry begins with what stands there, and fills the first again when all else is done.
// STREAM: entry load
// STREAM: 6 DmaTiles
// STREAM-NEXT: 7 DmaTiles
// STREAM: entry prefill
// STREAM-NEXT: 0 HostToStash
// STREAM-NEXT: 1 Gather w0
// STREAM-NOT: DmaTiles
// STREAM: GemmMx w3
// STREAM-NEXT: 5 DmaTiles
// STREAM-NOT: DmaTiles
// STREAM: StashToHost
// STREAM-NEXT: 25 DmaTiles w4
