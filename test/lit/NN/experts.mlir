// Products by chosen experts: a row a token or a row a choice, and what the verifier refuses.
// RUN: ahm-opt %s -split-input-file -verify-diagnostics | ahm-opt -split-input-file | FileCheck %s

#t = affine_map<()[s0] -> (s0, 64)>
#i = affine_map<()[s0] -> (s0, 2)>
#y = affine_map<()[s0] -> (s0, 2, 96)>
#z = affine_map<()[s0] -> (s0, 2, 64)>
// CHECK-LABEL: func.func @good
// CHECK: nn.expert_linear %{{.*}}[%{{.*}}], @w :
// CHECK: nn.expert_matmul %{{.*}}[%{{.*}}], %{{.*}} :
func.func @good(%x: tensor<?x64xf32, #t>, %ids: tensor<?x2xi32, #i>, %w: tensor<4x96x64xf32>) attributes {nn.values = [{name = "n", min = 1, max = 8}]} {
  %0 = nn.expert_linear %x[%ids], @w : tensor<?x64xf32, #t>, tensor<?x2xi32, #i> -> tensor<?x2x96xf32, #y>
  %1 = nn.expert_matmul %0[%ids], %w : tensor<?x2x96xf32, #y>, tensor<?x2xi32, #i>, tensor<4x96x64xf32> -> tensor<?x2x64xf32, #z>
  return
}

// -----

func.func @floats(%x: tensor<3x64xf32>, %ids: tensor<3x2xf32>) {
  // expected-error@+1 {{chooses by i32 ids}}
  %0 = nn.expert_linear %x[%ids], @w : tensor<3x64xf32>, tensor<3x2xf32> -> tensor<3x2x96xf32>
  return
}

// -----

func.func @rows(%x: tensor<4x64xf32>, %ids: tensor<3x2xi32>) {
  // expected-error@+1 {{takes a row for each token or for each id}}
  %0 = nn.expert_linear %x[%ids], @w : tensor<4x64xf32>, tensor<3x2xi32> -> tensor<3x2x96xf32>
  return
}

// -----

func.func @result(%x: tensor<3x64xf32>, %ids: tensor<3x2xi32>) {
  // expected-error@+1 {{gives a row for each id}}
  %0 = nn.expert_linear %x[%ids], @w : tensor<3x64xf32>, tensor<3x2xi32> -> tensor<3x96xf32>
  return
}

// -----

func.func @weight(%x: tensor<3x64xf32>, %ids: tensor<3x2xi32>, %w: tensor<64x96xf32>) {
  // expected-error@+1 {{needs a weight [experts, K, N]}}
  %0 = nn.expert_matmul %x[%ids], %w : tensor<3x64xf32>, tensor<3x2xi32>, tensor<64x96xf32> -> tensor<3x2x96xf32>
  return
}
