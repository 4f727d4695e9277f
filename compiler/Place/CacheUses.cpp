// Reading the uses of caches. See CacheUses.h.
#include "compiler/Place/CacheUses.h"
#include "compiler/Tile/Ranges.h"

#include <algorithm>
#include <numeric>

using namespace mlir;

namespace ahm {

llvm::MapVector<StringRef, CacheUses> collectCacheUses(ModuleOp module) {
  llvm::MapVector<StringRef, CacheUses> uses;
  for (auto cache : module.getOps<hmem::CacheOp>())
    uses[cache.getSymName()].cache = cache;
  std::vector<unsigned> group(uses.size());
  std::iota(group.begin(), group.end(), 0u);
  auto root = [&](unsigned i) {
    while (group[i] != i)
      i = group[i] = group[group[i]];
    return i;
  };
  auto indexOf = [&](Attribute attribute) {
    auto symbol = dyn_cast<FlatSymbolRefAttr>(cast<hmem::ViewAttr>(attribute).getTarget());
    auto found = symbol ? uses.find(symbol.getValue()) : uses.end();
    return found == uses.end() ? -1 : static_cast<int64_t>(found - uses.begin());
  };
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isExternal())
      continue;
    SmallVector<Range> ranges = valueRanges(function);
    llvm::DenseMap<int64_t, AffineMap> appendedAt; // position of this function's append
    llvm::DenseMap<int64_t, AffineExpr> lengthAfter;
    llvm::DenseSet<int64_t> read;
    function.walk([&](hmem::ExecOp exec) {
      bool append = exec.getOpcode() == "CacheAppend", attention = exec.getOpcode() == "Attention";
      if (append) {
        int64_t index = indexOf(exec.getOuts()[0]);
        if (index < 0)
          return;
        CacheUses &use = (uses.begin() + index)->second;
        use.pageable &= !appendedAt.contains(index) && !read.contains(index);
        appendedAt[index] = cast<AffineMapAttr>(exec.getExprs()[0]).getValue();
        auto dims = cast<hmem::ViewAttr>(exec.getIns()[0]).getDims().getValue();
        lengthAfter[index] = appendedAt[index].getResult(0) + dims.getResult(2);
        use.appended = std::max(use.appended, rangeOf(dims.getResult(2), ranges).high);
        return;
      }
      if (!attention) {
        for (ArrayAttr list : {exec.getIns(), exec.getOuts()})
          for (Attribute attribute : list)
            if (int64_t index = indexOf(attribute); index >= 0)
              (uses.begin() + index)->second.pageable = false;
        return;
      }
      AffineMap length = cast<AffineMapAttr>(exec.getExprs()[0]).getValue(),
                position = cast<AffineMapAttr>(exec.getExprs()[1]).getValue();
      int64_t window = exec.getInts()[1], first = -1;
      for (unsigned side : {1, 2}) {
        int64_t index = indexOf(exec.getIns()[side]);
        if (index < 0)
          continue;
        CacheUses &use = (uses.begin() + index)->second;
        read.insert(index);
        use.readers.push_back({exec, function, side == 2});
        use.window = use.window < 0 ? window : use.window == 0 || window == 0 ? 0 : std::max(use.window, window);
        use.reach = std::max(
            use.reach,
            rangeOf(simplifyAffineExpr(length.getResult(0) - position.getResult(0), 0, ranges.size()), ranges).high);
        auto appended = appendedAt.find(index);
        bool masks = window != 0 || exec.getInts()[0] != 0;
        if (appended == appendedAt.end())
          use.pageable &= window == 0;
        else
          use.pageable &= (!masks || appended->second == position) &&
                          simplifyAffineExpr(length.getResult(0) - lengthAfter[index], 0, ranges.size()) ==
                              getAffineConstantExpr(0, module.getContext());
        if (first >= 0) {
          auto other = appendedAt.find(first);
          bool alike = (other == appendedAt.end()) == (appended == appendedAt.end()) &&
                       (other == appendedAt.end() || other->second == appended->second);
          use.pageable &= alike;
          group[root(static_cast<unsigned>(index))] = root(static_cast<unsigned>(first));
        }
        first = index;
      }
    });
  }
  // What one of a group cannot do, none does.
  for (auto &[name, use] : uses) {
    use.group = root(static_cast<unsigned>(uses.find(name) - uses.begin()));
    use.pageable &= use.window >= 0 && use.appended > 0;
    for (CacheUses::Reader reader : use.readers)
      use.pageable &= reader.exec.getOuts().size() > 1 || use.cache.getCapacity() <= 1024;
  }
  for (auto &[name, use] : uses)
    for (auto &[other, with] : uses)
      if (use.group == with.group && (!with.pageable || with.cache.getCapacity() != use.cache.getCapacity()))
        use.pageable = false;
  return uses;
}

} // namespace ahm
