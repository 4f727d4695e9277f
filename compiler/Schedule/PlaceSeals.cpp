// See PlaceSeals.h.
#include "compiler/Schedule/PlaceSeals.h"
#include "dialects/Hmem/Hmem.h"

using namespace mlir;

namespace ahm {

void placeSeals(func::FuncOp function) {
  if (function.isExternal())
    return;
  Block &body = function.getBody().front();
  SmallVector<hmem::ExecOp> waiting;
  // The last transfer that nothing has read yet: its token, or the slot that it fills.
  Value token;
  StringAttr slot;
  auto partOf = [](Attribute view) { return cast<hmem::ViewAttr>(view).getPart(); };
  for (Operation &op : llvm::make_early_inc_range(body)) {
    if (op.hasAttr("earlier_call"))
      continue;
    auto exec = dyn_cast<hmem::ExecOp>(op);
    if (exec && exec.getOpcode() == "CacheSeal") {
      if (token || slot)
        waiting.push_back(exec);
      continue;
    }
    bool fetches = exec && (exec.getOpcode() == "CacheFetch" || exec.getOpcode() == "ExpertFetch");
    if (fetches || isa<hmem::TransferOp>(op) || op.hasTrait<OpTrait::IsTerminator>()) {
      for (hmem::ExecOp seal : waiting)
        seal->moveBefore(&op);
      waiting.clear();
      slot = fetches ? partOf(exec.getOuts()[0]) : StringAttr();
      token = isa<hmem::TransferOp>(op) ? op.getResult(0) : Value();
      continue;
    }
    if (!exec || !((token && llvm::is_contained(exec.getTokens(), token)) ||
                   (slot && llvm::any_of(exec.getIns(), [&](Attribute in) { return partOf(in) == slot; }))))
      continue;
    Operation *after = &op;
    for (hmem::ExecOp seal : waiting) {
      seal->moveAfter(after);
      after = seal;
    }
    waiting.clear();
    token = {};
    slot = {};
  }
}

} // namespace ahm
