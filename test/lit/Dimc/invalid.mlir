// RUN: ahm-opt %s -split-input-file -verify-diagnostics

// expected-error@+1 {{stands in the unknown tier "cloud"}}
dimc.region @r "x" "cloud" "activation" units 0 1 at 0 size 64

// -----

// expected-error@+1 {{has offset 32, which is not a multiple of 64}}
dimc.region @r "x" "stash" "activation" units 0 1 at 32 size 64

// -----

dimc.region @r "x" "stash" "activation" units 0 1 at 0 size 64
dimc.entry @main values [] bindings [] {
  // expected-error@+1 {{Fill stands in queue "gemm", but belongs in "vector"}}
  dimc.command "Fill" queue "gemm" ins [] outs [#dimc.operand<"f32", @r, affine_map<() -> (4)>>] waits []
}

// -----

dimc.region @r "x" "stash" "activation" units 0 1 at 0 size 64
dimc.entry @main values [] bindings [] {
  // expected-error@+1 {{awaits command 0; only earlier commands can be awaited}}
  dimc.command "Fill" queue "vector" ins [] outs [#dimc.operand<"f32", @r, affine_map<() -> (4)>>] waits [0]
}

// -----

dimc.entry @main values [] bindings [] {
  // expected-error@+1 {{uses @r, which is no region}}
  dimc.command "Fill" queue "vector" ins [] outs [#dimc.operand<"f32", @r, affine_map<() -> (4)>>] waits []
}

// -----

// expected-error@+1 {{needs units, a non-negative offset and bytes}}
dimc.region @r "x" "stash" "activation" units 0 0 at 0 size 64

// -----

// expected-error@+1 {{stands in the stash, which has one unit}}
dimc.region @r "x" "stash" "activation" units 0 2 at 0 size 64

// -----

dimc.entry @main values [] bindings [] {
  // expected-error@+1 {{has the unknown opcode "Frobnicate"}}
  dimc.command "Frobnicate" queue "vector" ins [] outs [] waits []
}

// -----

dimc.region @r "x" "stash" "activation" units 0 1 at 0 size 64
dimc.entry @main values [] bindings [] {
  // expected-error@+1 {{has an operand that is no #dimc.operand of a known dtype}}
  dimc.command "Fill" queue "vector" ins [] outs [#dimc.operand<"f31", @r, affine_map<() -> (4)>>] waits []
}
