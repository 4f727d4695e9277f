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

FlatSymbolRefAttr foldWeight(Value value, PatternRewriter &rewriter) {
  if (!rankedType(value).hasStaticShape() || !value.getDefiningOp())
    return {};
  RankedTensorType type = rankedType(value);
  Operation *user = value.getDefiningOp();
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

  auto module = user->getParentOfType<ModuleOp>();
  auto weight = module.lookupSymbol<nn::WeightOp>(get.getWeight());
  if (!weight)
    return {};
  SmallVector<Attribute> recipe(weight.getRecipe().getValue());
  recipe.append(steps.rbegin(), steps.rend());
  ArrayAttr recipeAttr = rewriter.getArrayAttr(recipe);
  std::string prefix = (weight.getSymName() + ".folded").str();
  for (auto other : module.getOps<nn::WeightOp>())
    if (other.getSymName().starts_with(prefix) && other.getRecipe() == recipeAttr && other.getType() == type &&
        other.getSourceType() == weight.getSourceType() && other.getFile() == weight.getFile() &&
        other.getOffset() == weight.getOffset() && other.getLength() == weight.getLength() &&
        other.getValueAttr() == weight.getValueAttr())
      return FlatSymbolRefAttr::get(other.getSymNameAttr());
  std::string name = prefix;
  for (int i = 1; module.lookupSymbol(name); ++i)
    name = prefix + "." + std::to_string(i);
  OpBuilder::InsertionGuard guard(rewriter);
  rewriter.setInsertionPointAfter(weight);
  auto folded =
      nn::WeightOp::create(rewriter, weight.getLoc(), rewriter.getStringAttr(name), TypeAttr::get(type),
                           weight.getSourceTypeAttr(), weight.getFileAttr(), weight.getOffsetAttr(),
                           weight.getLengthAttr(), recipeAttr, rewriter.getStringAttr(""), weight.getValueAttr());
  return FlatSymbolRefAttr::get(folded.getSymNameAttr());
}

} // namespace ahm::recognize
