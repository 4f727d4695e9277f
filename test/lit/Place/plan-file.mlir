// A placement as a file: written, fed back, edited, and refused where it is wrong.
// RUN: ahm-opt %S/policies.mlir --hmem-place="target=test-tiny trace=%t.json" > %t.first
// RUN: ahm-opt %S/policies.mlir --hmem-place="target=test-tiny plan-in=%t.json" | sed 's/policy = "given"/policy = "hybrid"/' | diff - %t.first
// RUN: FileCheck %s --check-prefix=TRACE < %t.json

// Edited: everything streams, addresses found anew.
// RUN: sed -e 's/"addresses": "given"/"addresses": "chosen"/' -e 's/"choice": ".*"/"choice": "streamed"/' %t.json > %t.edited.json
// RUN: ahm-opt %S/policies.mlir --hmem-place="target=test-tiny plan-in=%t.edited.json" | FileCheck %s --check-prefix=STREAMED

// Wrong in its addresses, its members, its objects, its syntax.
// RUN: sed 's/"dram_offset": [1-9][0-9]*/"dram_offset": 64/' %t.json > %t.overlap.json
// RUN: not ahm-opt %S/policies.mlir --hmem-place="target=test-tiny plan-in=%t.overlap.json" 2>&1 | FileCheck %s --check-prefix=OVERLAP
// RUN: sed 's/"slots": [1-9][0-9]*/"slots": 900/' %t.json > %t.ring.json
// RUN: not ahm-opt %S/policies.mlir --hmem-place="target=test-tiny plan-in=%t.ring.json" 2>&1 | FileCheck %s --check-prefix=RING
// RUN: sed 's/"addresses": "given"/"addresses": "guessed"/' %t.json > %t.member.json
// RUN: not ahm-opt %S/policies.mlir --hmem-place="target=test-tiny plan-in=%t.member.json" 2>&1 | FileCheck %s --check-prefix=MEMBER
// RUN: sed 's/"name": "b"/"name": "z"/' %t.json > %t.object.json
// RUN: not ahm-opt %S/policies.mlir --hmem-place="target=test-tiny plan-in=%t.object.json" 2>&1 | FileCheck %s --check-prefix=OBJECT
// RUN: echo '{' > %t.syntax.json
// RUN: not ahm-opt %S/policies.mlir --hmem-place="target=test-tiny plan-in=%t.syntax.json" 2>&1 | FileCheck %s --check-prefix=SYNTAX
// RUN: not ahm-opt %S/policies.mlir --hmem-place="target=test-tiny plan-in=%t.absent" 2>&1 | FileCheck %s --check-prefix=ABSENT
// RUN: not ahm-opt %S/policies.mlir --hmem-place="target=test-tiny trace=%t.absent/trace.json" 2>&1 | FileCheck %s --check-prefix=UNWRITTEN

// What differs, by tensors.
// RUN: ahm-opt %S/policies.mlir --hmem-place="target=test-tiny policy=dram-only trace=%t.dram.json" > /dev/null
// RUN: ahm-inspect --placement-diff %t.json %t.dram.json | FileCheck %s --check-prefix=DIFF
// RUN: ahm-inspect --placement-diff %t.json %t.json | FileCheck %s --check-prefix=SAME
// RUN: not ahm-inspect --placement-diff %t.json %t.syntax.json 2>&1 | FileCheck %s --check-prefix=NOPLAN

// TRACE: "addresses": "given"
// TRACE: "predicted_ps"
// TRACE: "what_if"
// TRACE: "sram_ps_per_mib"
// TRACE: "solved_again": {
// TRACE: "now_ps"
// TRACE: "more_sram_ps"
// TRACE: "more_bandwidth_ps"
// TRACE: "name": "a"
// TRACE: "reason": "{{.*}} of DRAM time a MiB over the workload
// STREAMED-NOT: residency = "resident"
// STREAMED: policy = "given"
// OVERLAP: overlap.json: the placement is not sound: DRAM of chiplet 0: {{[abc]}} and {{[abc]}} overlap at byte
// RING: ring.json: the placement is not sound: the streaming ring ends at byte
// MEMBER: member.json: 'addresses' is 'guessed', expected given or chosen
// OBJECT: object.json: 'weights' has a place for 'z', which this program does not have
// SYNTAX: syntax.json: is not a JSON object; --placement-trace writes one
// ABSENT: absent: cannot read
// UNWRITTEN: cannot write {{.*}}trace.json
// DIFF: {{[abc]}} (4325376 bytes): {{resident|split.*}} -> streamed
// DIFF: predicted main: {{[0-9]+}} ps -> {{[0-9]+}} ps
// SAME: every weight has the same choice
// NOPLAN: syntax.json: is not a placement that --placement-trace wrote
