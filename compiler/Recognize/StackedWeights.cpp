// Weights of experts that a model stores one by one, as one weight. See StackedWeights.h.
#include "compiler/Recognize/StackedWeights.h"

namespace ahm::recognize {
using namespace mlir;

StackedWeights::StackedWeights(ModuleOp module) : module(module) {
  for (Operation &op : *module.getBody()) {
    if (auto weight = dyn_cast<nn::WeightOp>(op))
      weights[weight.getSymNameAttr()] = weight;
    if (auto name = op.getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName()))
      names.insert(name.getValue());
  }
}

FlatSymbolRefAttr StackedWeights::stack(ArrayRef<Attribute> parts, RankedTensorType each) {
  Builder builder(module.getContext());
  SmallVector<Attribute> step{builder.getStringAttr("stack")};
  SmallVector<Location> locations;
  nn::WeightOp first;
  for (Attribute part : parts) {
    NamedAttrList source;
    if (auto symbol = dyn_cast<FlatSymbolRefAttr>(part)) {
      nn::WeightOp weight = weights.lookup(symbol.getAttr());
      if (!weight || weight.getType() != each)
        return {};
      for (Attribute inner : weight.getRecipe())
        if (auto array = dyn_cast<ArrayAttr>(inner); array && !array.empty() && array[0] == step[0])
          return {};
      if (weight.getValueAttr()) {
        source.set("value", weight.getValueAttr());
      } else {
        source.set("type", weight.getSourceTypeAttr());
        source.set("file", weight.getFileAttr());
        source.set("offset", weight.getOffsetAttr());
        source.set("length", weight.getLengthAttr());
      }
      source.set("recipe", weight.getRecipe());
      if (weight.getFile().empty() && !weight.getValueAttr()) // absent: its place tells it apart
        source.set("name", symbol.getAttr());
      locations.push_back(weight.getLoc());
      first = first ? first : weight;
    } else {
      auto value = dyn_cast<ElementsAttr>(part);
      if (!value || value.getShapedType() != each)
        return {};
      source.set("value", value);
      source.set("recipe", builder.getArrayAttr({}));
    }
    step.push_back(source.getDictionary(module.getContext()));
  }
  ArrayAttr recipe = builder.getArrayAttr(builder.getArrayAttr(step));
  nn::WeightOp &made = stacks[recipe];
  if (!made) {
    std::string base = first ? (first.getSymName() + ".experts").str() : "experts", name = base;
    for (int i = 1; !names.insert(name).second; ++i)
      name = base + "." + std::to_string(i);
    SmallVector<int64_t> shape{static_cast<int64_t>(parts.size())};
    shape.append(each.getShape().begin(), each.getShape().end());
    auto type = RankedTensorType::get(shape, each.getElementType());
    OpBuilder at(module.getContext());
    if (first)
      at.setInsertionPointAfter(first);
    else
      at.setInsertionPointToStart(module.getBody());
    Location location = locations.empty() ? module.getLoc() : at.getFusedLoc(locations);
    made = nn::WeightOp::create(at, location, at.getStringAttr(name), TypeAttr::get(type), TypeAttr::get(type),
                                at.getStringAttr(""), at.getI64IntegerAttr(0), at.getI64IntegerAttr(0), recipe,
                                at.getStringAttr(""), ElementsAttr());
  }
  return FlatSymbolRefAttr::get(made.getSymNameAttr());
}

} // namespace ahm::recognize
