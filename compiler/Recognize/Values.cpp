// Run-time values that recognition made superfluous: a dimension of a past tensor that became state, for example.
#include "compiler/Recognize/Patterns.h"

#include "mlir/IR/AttrTypeSubElements.h"

namespace ahm::recognize {
using namespace mlir;

void dropUnusedValues(func::FuncOp function) {
  auto values = function->getAttrOfType<ArrayAttr>("nn.values");
  if (!values)
    return;
  unsigned count = values.size();
  std::vector<bool> used(count, false);
  bool foreign = false; // maps over other symbols than the function's values
  AttrTypeWalker walker;
  walker.addWalk([&](AffineMapAttr attr) {
    AffineMap map = attr.getValue();
    foreign |= map.getNumSymbols() != 0 && map.getNumSymbols() != count;
    for (AffineExpr result : map.getResults())
      result.walk([&](AffineExpr expr) {
        if (auto symbol = dyn_cast<AffineSymbolExpr>(expr); symbol && symbol.getPosition() < count)
          used[symbol.getPosition()] = true;
      });
  });
  function->walk([&](Operation *op) {
    walker.walk(op->getAttrDictionary());
    for (Type type : op->getResultTypes())
      walker.walk(type);
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (BlockArgument argument : block.getArguments())
          walker.walk(argument.getType());
  });
  if (foreign || llvm::all_of(used, [](bool u) { return u; }))
    return;

  MLIRContext *context = function.getContext();
  SmallVector<Attribute> kept;
  SmallVector<AffineExpr> renumbered;
  for (unsigned i = 0; i < count; ++i) {
    renumbered.push_back(used[i] ? getAffineSymbolExpr(kept.size(), context) : getAffineConstantExpr(0, context));
    if (used[i])
      kept.push_back(values[i]);
  }
  AttrTypeReplacer replacer;
  replacer.addReplacement([&](AffineMapAttr attr) -> std::optional<Attribute> {
    AffineMap map = attr.getValue();
    if (map.getNumSymbols() == 0)
      return attr;
    return AffineMapAttr::get(map.replaceDimsAndSymbols({}, renumbered, map.getNumDims(), kept.size()));
  });
  replacer.recursivelyReplaceElementsIn(function, /*replaceAttrs=*/true, /*replaceLocs=*/false, /*replaceTypes=*/true);
  function->setAttr("nn.values", ArrayAttr::get(context, kept));
}

} // namespace ahm::recognize
