// Folds the operations between an nn.weight and its use into the weight's recipe.
#include "compiler/Recognize/WeightRecipe.h"
#include "compiler/Recognize/Match.h"

namespace ahm::recognize {
using namespace mlir;
namespace {

/// The recipe step of the operation that defines `value`, and the operand that it came from. Null when it is none.
ArrayAttr stepOf(Value value, Builder &builder, Value &source) {
  SmallVector<Attribute> step;
  Operation *op = value.getDefiningOp();
  Value other;
  float scalar = 0;
  if (auto transpose = dyn_cast<nn::TransposeOp>(op)) {
    step.push_back(builder.getStringAttr("transpose"));
    for (int64_t axis : transpose.getPerm())
      step.push_back(builder.getI64IntegerAttr(axis));
    source = transpose.getInput();
  } else if (auto reshape = dyn_cast<nn::ReshapeOp>(op)) {
    step.push_back(builder.getStringAttr("reshape"));
    for (int64_t size : rankedType(value).getShape())
      step.push_back(builder.getI64IntegerAttr(size));
    source = reshape.getInput();
  } else if (auto cast = dyn_cast<nn::CastOp>(op)) {
    if (!rankedType(value).getElementType().isF32())
      return {};
    step = {builder.getStringAttr("cast"), builder.getStringAttr("f32")};
    source = cast.getInput();
  } else if (!rankedType(value).getElementType().isF32()) {
    return {};
  } else if (matchBinaryScalar(value, "add", other, scalar)) {
    step = {builder.getStringAttr("add"), builder.getF32FloatAttr(scalar)};
    source = other;
  } else if (matchBinaryScalar(value, "mul", other, scalar)) {
    step = {builder.getStringAttr("mul"), builder.getF32FloatAttr(scalar)};
    source = other;
  } else if (Value right; matchBinary(value, "sub", other, right)) {
    std::optional<float> subtrahend = scalarConstant(right);
    if (!subtrahend)
      return {};
    step = {builder.getStringAttr("add"), builder.getF32FloatAttr(-*subtrahend)};
    source = other;
  } else {
    return {};
  }
  // A scalar operand of higher rank would change the shape silently.
  if (isa<nn::BinaryOp>(op) && rankedType(source).getShape() != rankedType(value).getShape())
    return {};
  return builder.getArrayAttr(step);
}

} // namespace

WeightFolder::WeightFolder(ModuleOp module) {
  for (Operation &op : *module.getBody()) {
    if (auto weight = dyn_cast<nn::WeightOp>(op))
      weights[weight.getSymNameAttr()] = weight;
    if (auto name = op.getAttrOfType<StringAttr>(SymbolTable::getSymbolAttrName()))
      names.insert(name.getValue());
  }
}

FlatSymbolRefAttr WeightFolder::fold(Value value, PatternRewriter &rewriter) {
  if (!rankedType(value).hasStaticShape() || !value.getDefiningOp())
    return {};
  RankedTensorType type = rankedType(value);
  SmallVector<Attribute> steps;
  while (true) {
    Operation *op = value.getDefiningOp();
    if (!op)
      return {};
    if (isa<nn::GetWeightOp>(op))
      break;
    Value source;
    ArrayAttr step = stepOf(value, rewriter, source);
    if (!step)
      return {};
    steps.push_back(step);
    value = source;
  }
  auto get = value.getDefiningOp<nn::GetWeightOp>();
  if (steps.empty())
    return get.getWeightAttr();

  nn::WeightOp weight = weights.lookup(get.getWeightAttr().getAttr());
  if (!weight)
    return {};
  SmallVector<Attribute> recipe(weight.getRecipe().getValue());
  recipe.append(steps.rbegin(), steps.rend());
  ArrayAttr recipeAttr = rewriter.getArrayAttr(recipe);
  StringAttr &known = folded[rewriter.getArrayAttr({weight.getSymNameAttr(), recipeAttr, TypeAttr::get(type)})];
  if (!known) {
    std::string prefix = (weight.getSymName() + ".folded").str(), name = prefix;
    for (int i = 1; !names.insert(name).second; ++i)
      name = prefix + "." + std::to_string(i);
    OpBuilder::InsertionGuard guard(rewriter);
    rewriter.setInsertionPointAfter(weight);
    known = rewriter.getStringAttr(name);
    weights[known] = nn::WeightOp::create(
        rewriter, weight.getLoc(), known, TypeAttr::get(type), weight.getSourceTypeAttr(), weight.getFileAttr(),
        weight.getOffsetAttr(), weight.getLengthAttr(), recipeAttr, rewriter.getStringAttr(""), weight.getValueAttr());
  }
  return FlatSymbolRefAttr::get(known);
}

} // namespace ahm::recognize
