// Keys and values of cross attention that an encoder's graph computes and the decoder takes as inputs in every call:
// they are the same for all calls of a sequence, so they become state that the prefill writes and decode only reads.
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

#include "llvm/ADT/BitVector.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

std::string nameOf(BlockArgument argument, func::FuncOp function) {
  auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "onnx.name");
  return name ? name.getValue().str() : std::string();
}

/// Whether one of the encoder's outputs is what the session feeds to this input: "present" followed by what follows
/// "past" or "past_key_values" in the input's name.
bool givenByEncoder(ModuleOp module, StringRef name) {
  auto encoder = module.lookupSymbol<func::FuncOp>("encoder.main");
  if (!encoder || !name.consume_front("past"))
    return false;
  (void)name.consume_front("_key_values.");
  for (unsigned i = 0; i < encoder.getNumResults(); ++i)
    if (auto output = encoder.getResultAttrOfType<StringAttr>(i, "onnx.name")) {
      StringRef rest = output.getValue();
      if (rest.consume_front("present") && (rest == name || (rest.consume_front(".") && rest == name)))
        return true;
    }
  return false;
}

/// The only use of an input: written as a whole into a cache of this call.
nn::CacheAppendOp wholeAppend(BlockArgument argument) {
  auto append = argument.hasOneUse() ? dyn_cast<nn::CacheAppendOp>(*argument.user_begin()) : nn::CacheAppendOp();
  auto position = append ? dyn_cast<AffineConstantExpr>(append.getPosition().getResult(0)) : AffineConstantExpr();
  return position && position.getValue() == 0 ? append : nn::CacheAppendOp();
}

/// Operations of a function that name a cache.
SmallVector<Operation *> usersOf(func::FuncOp function, StringRef cache) {
  SmallVector<Operation *> users;
  function.walk([&](Operation *op) {
    for (NamedAttribute attribute : op->getAttrs())
      if (auto symbol = dyn_cast<FlatSymbolRefAttr>(attribute.getValue()); symbol && symbol.getValue() == cache) {
        users.push_back(op);
        return;
      }
  });
  return users;
}

} // namespace

void keepCrossCaches(ModuleOp module) {
  auto prefill = module.lookupSymbol<func::FuncOp>("decoder.prefill"),
       decode = module.lookupSymbol<func::FuncOp>("decoder.decode");
  if (!prefill || !decode)
    return;
  llvm::BitVector gone(decode.getNumArguments());
  for (BlockArgument argument : decode.getArguments()) {
    std::string name = nameOf(argument, decode);
    nn::CacheAppendOp append = wholeAppend(argument), first;
    if (!append || !givenByEncoder(module, name))
      continue;
    for (BlockArgument other : prefill.getArguments())
      if (nameOf(other, prefill) == name)
        first = wholeAppend(other);
    auto kept = first ? module.lookupSymbol<nn::CacheOp>(first.getCache()) : nn::CacheOp(),
         scratch = module.lookupSymbol<nn::CacheOp>(append.getCache());
    if (!kept || !scratch || kept == scratch || kept.getPastInput() != "" || scratch.getPastInput() != "" ||
        kept.getHeads() != scratch.getHeads() || kept.getHeadDim() != scratch.getHeadDim() ||
        kept.getCapacity() != scratch.getCapacity())
      continue;
    // Nothing else writes them; the attentions over the encoder see all of it.
    auto readOnly = [&](func::FuncOp function, StringRef cache, Operation *writer) {
      return llvm::all_of(usersOf(function, cache), [&](Operation *op) {
        auto attention = dyn_cast<nn::AttentionOp>(op);
        return op == writer || (attention && !attention.getCausal() && attention.getWindow() == 0);
      });
    };
    bool elsewhere = false;
    for (auto function : module.getOps<func::FuncOp>())
      elsewhere |= (function != decode && !usersOf(function, scratch.getSymName()).empty()) ||
                   (function != prefill && !usersOf(function, kept.getSymName()).empty());
    if (elsewhere || !readOnly(decode, scratch.getSymName(), append) || !readOnly(prefill, kept.getSymName(), first))
      continue;
    kept.setCross(true);
    for (Operation *op : usersOf(decode, scratch.getSymName()))
      if (auto attention = dyn_cast<nn::AttentionOp>(op)) {
        if (attention.getKeyCache() == scratch.getSymName())
          attention.setKeyCache(kept.getSymName());
        if (attention.getValueCache() == scratch.getSymName())
          attention.setValueCache(kept.getSymName());
      }
    append.erase();
    scratch.erase();
    gone.set(argument.getArgNumber());
  }
  if (gone.any())
    (void)decode.eraseArguments(gone);
}

} // namespace ahm::recognize
