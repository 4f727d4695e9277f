// Two buffers that placement put on the same bytes are ordered: the later writer awaits the earlier reader.
// RUN: ahm-opt %s -hmem-to-dimc | FileCheck %s

#d = affine_map<()[s0] -> (s0, 4)>
module {
  func.func @main() attributes {nn.values = [{name = "n", min = 1 : i64, max = 4 : i64}]} {
    %h = hmem.alloc "in" <io> {offset = 0 : i64, binding = {direction = "input", name = "in", dtype = "float32", role = "", view = #hmem.view<"f32", 0, #d>}} : memref<64xi8, #hmem.tier<host>>
    %o = hmem.alloc "out" <io> {offset = 64 : i64, binding = {direction = "output", name = "out", dtype = "float32", role = "", view = #hmem.view<"f32", 0, #d>}} : memref<64xi8, #hmem.tier<host>>
    %x = hmem.alloc "x" <activation> {offset = 0 : i64} : memref<64xi8, #hmem.tier<stash>>
    %y = hmem.alloc "y" <activation> {offset = 64 : i64} : memref<64xi8, #hmem.tier<stash>>
    %z = hmem.alloc "z" <activation> {offset = 64 : i64} : memref<64xi8, #hmem.tier<stash>>
    hmem.exec "HostToStash"(%h, %x : memref<64xi8, #hmem.tier<host>>, memref<64xi8, #hmem.tier<stash>>) ins [#hmem.view<"f32", 0, #d>] outs [#hmem.view<"f32", 1, #d>]
    hmem.exec "Unary"(%x, %y : memref<64xi8, #hmem.tier<stash>>, memref<64xi8, #hmem.tier<stash>>) ins [#hmem.view<"f32", 0, #d>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0>}
    hmem.exec "StashToHost"(%y, %o : memref<64xi8, #hmem.tier<stash>>, memref<64xi8, #hmem.tier<host>>) ins [#hmem.view<"f32", 0, #d>] outs [#hmem.view<"f32", 1, #d>]
    hmem.exec "Unary"(%x, %z : memref<64xi8, #hmem.tier<stash>>, memref<64xi8, #hmem.tier<stash>>) ins [#hmem.view<"f32", 0, #d>] outs [#hmem.view<"f32", 1, #d>] {ints = array<i64: 0>}
    return
  }
}
// CHECK: dimc.entry @main values [{max = 4 : i64, min = 1 : i64, name = "n"}] bindings [{direction = "input"{{.*}}#dimc.operand<"f32", @main.b0
// CHECK: "HostToStash" queue "host"{{.*}}waits []
// CHECK-NEXT: "Unary" queue "vector"{{.*}}waits [0]
// CHECK-NEXT: "StashToHost" queue "host"{{.*}}waits [1]
// CHECK-NEXT: "Unary" queue "vector"{{.*}}waits [2]
