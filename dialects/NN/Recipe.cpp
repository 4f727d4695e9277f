// Normal forms of recipes. See Recipe.h.
#include "dialects/NN/Recipe.h"

using namespace mlir;

namespace ahm::nn {

static StringRef nameOf(Attribute attribute) {
  auto step = dyn_cast<ArrayAttr>(attribute);
  auto name = step && !step.empty() ? dyn_cast<StringAttr>(step[0]) : StringAttr();
  return name ? name.getValue() : StringRef();
}

ArrayAttr normalRecipe(ArrayRef<Attribute> recipe, MLIRContext *context) {
  Builder builder(context);
  SmallVector<Attribute> steps;
  for (Attribute attribute : recipe) {
    StringRef name = nameOf(attribute);
    if (name == "cast")
      continue;
    if (name != "transpose") {
      steps.push_back(attribute);
      continue;
    }
    // Before the steps that treat every element alike.
    size_t at = steps.size();
    while (at > 0 && llvm::is_contained({"add", "mul", "affine_dequant"}, nameOf(steps[at - 1])))
      --at;
    auto step = cast<ArrayAttr>(attribute), before = at > 0 ? dyn_cast<ArrayAttr>(steps[at - 1]) : ArrayAttr();
    bool joins = before && nameOf(before) == "transpose" && before.size() == step.size();
    SmallVector<Attribute> joined{step[0]};
    bool identity = true;
    for (size_t i = 1; i < step.size(); ++i) {
      int64_t axis = cast<IntegerAttr>(step[i]).getInt();
      if (joins && axis >= 0 && axis + 1 < static_cast<int64_t>(before.size()))
        axis = cast<IntegerAttr>(before[axis + 1]).getInt();
      joined.push_back(builder.getI64IntegerAttr(axis));
      identity &= axis == static_cast<int64_t>(i) - 1;
    }
    if (joins)
      steps.erase(steps.begin() + --at);
    if (!identity)
      steps.insert(steps.begin() + at, builder.getArrayAttr(joined));
  }
  return builder.getArrayAttr(steps);
}

Attribute weightIdentity(WeightOp weight, RankedTensorType type, ArrayRef<Attribute> recipe) {
  Builder builder(weight.getContext());
  // Where the bytes are absent, the place that they were to come from tells weights apart.
  Attribute source = weight.getValueAttr() ? Attribute(weight.getValueAttr())
                     : weight.getFile().empty()
                         ? Attribute(weight.getLoc())
                         : builder.getArrayAttr({weight.getFileAttr(), weight.getOffsetAttr(), weight.getLengthAttr()});
  return builder.getArrayAttr(
      {source, weight.getSourceTypeAttr(), TypeAttr::get(type), normalRecipe(recipe, weight.getContext())});
}

} // namespace ahm::nn
