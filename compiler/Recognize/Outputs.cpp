// The outputs of a recognised function: the last row's logits only, the next id, and no dead code or unused arguments.
#include "compiler/Recognize/Cache.h"
#include "compiler/Recognize/Match.h"
#include "compiler/Recognize/Patterns.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/BitVector.h"

namespace ahm::recognize {
using namespace mlir;

namespace {

/// The type of the last row of [1,T,N].
RankedTensorType lastRowType(Value value, unsigned symbols) {
  SmallVector<AffineExpr> shape = shapeOf(value);
  shape[1] = getAffineConstantExpr(1, value.getContext());
  return nn::shapedType(shape, rankedType(value).getElementType(), symbols);
}

/// The operand of a row-by-row operation whose rows are the result's, or null: then the rows cannot be cut earlier.
OpOperand *rowsOf(Operation *op, Value result) {
  if (!isa<nn::LinearOp, nn::RmsNormOp, nn::LayerNormOp, nn::Int8LinearOp, nn::MatMulOp, nn::CastOp, nn::UnaryOp,
           nn::BinaryOp>(op))
    return nullptr;
  SmallVector<AffineExpr> shape = shapeOf(result);
  OpOperand *rows = nullptr;
  for (OpOperand &operand : op->getOpOperands()) {
    auto type = dyn_cast<RankedTensorType>(operand.get().getType());
    if (!type)
      return nullptr;
    if (type.getRank() == 3 && shapeOf(operand.get())[1] == shape[1]) {
      if (rows)
        return nullptr;
      rows = &operand;
    } else if (type.getRank() > 1 && !isa<nn::MatMulOp>(op)) {
      return nullptr;
    }
  }
  if (!rows ||
      (isa<nn::MatMulOp>(op) && (rows->getOperandNumber() != 0 || rankedType(op->getOperand(1)).getRank() != 2)))
    return nullptr;
  return rows;
}

/// The last row of `value` [1,T,N], cut as early as the operations above allow.
Value lastRow(Value value, Operation *before, unsigned symbols, unsigned uses) {
  Operation *op = value.getDefiningOp();
  bool single = static_cast<unsigned>(std::distance(value.use_begin(), value.use_end())) <= uses;
  if (op && single && op->getNumResults() == 1)
    if (OpOperand *rows = rowsOf(op, value)) {
      Value cut = lastRow(rows->get(), op, symbols, 1);
      OpBuilder builder(op);
      IRMapping mapping;
      mapping.map(rows->get(), cut);
      Operation *copy = builder.clone(*op, mapping);
      copy->getResult(0).setType(lastRowType(value, symbols));
      return copy->getResult(0);
    }
  OpBuilder builder(before);
  AffineExpr zero = getAffineConstantExpr(0, value.getContext());
  AffineExpr start = simplifyAffineExpr(shapeOf(value)[1] - 1, 0, symbols);
  OperationState state(value.getLoc(), nn::SliceOp::getOperationName());
  state.addOperands(value);
  state.addAttribute("starts", AffineMapAttr::get(AffineMap::get(0, symbols, {zero, start, zero}, value.getContext())));
  state.addAttribute("steps", builder.getDenseI64ArrayAttr({1, 1, 1}));
  state.addTypes(lastRowType(value, symbols));
  return builder.create(state)->getResult(0);
}

LogicalResult finish(func::FuncOp function, const RecognizeOptions &options) {
  auto ret = cast<func::ReturnOp>(function.getBody().front().getTerminator());
  unsigned symbols = symbolCount(function);
  for (unsigned i = 0, e = ret.getNumOperands(); i < e; ++i) {
    auto role = function.getResultAttrOfType<StringAttr>(i, "nn.role");
    Value logits = ret.getOperand(i);
    if (!role || role.getValue() != "logits" || rankedType(logits).getRank() != 3)
      continue;
    Value last = logits;
    // Each row of a batch is a sequence's last.
    if (rankedType(logits).getDimSize(1) != 1 && !function->hasAttr("nn.batch")) {
      last = options.prefillLogitsAll ? Value() : lastRow(logits, ret, symbols, 1);
      if (last) {
        ret.setOperand(i, last);
        SmallVector<Type> results(function.getResultTypes());
        results[i] = last.getType();
        function.setType(FunctionType::get(function.getContext(), function.getArgumentTypes(), results));
      }
    }
    if (!options.appendArgmax)
      break;
    if (!last)
      // All rows stay: the cut must not move above operations that other rows still need.
      last = lastRow(logits, ret, symbols, 0);
    OpBuilder builder(ret);
    SmallVector<AffineExpr> shape = shapeOf(last);
    shape.pop_back();
    OperationState state(last.getLoc(), nn::ArgMaxOp::getOperationName());
    state.addOperands(last);
    state.addTypes(nn::shapedType(shape, builder.getI32Type(), symbols));
    Value next = builder.create(state)->getResult(0);
    auto attributes = builder.getDictionaryAttr({builder.getNamedAttr("nn.role", builder.getStringAttr("next_ids")),
                                                 builder.getNamedAttr("onnx.dtype", builder.getStringAttr("int64")),
                                                 builder.getNamedAttr("onnx.name", builder.getStringAttr("next_ids"))});
    unsigned end = ret.getNumOperands();
    ret->insertOperands(end, next);
    if (failed(function.insertResult(end, next.getType(), attributes)))
      return failure();
    break;
  }
  eraseDead(function);
  // Whoever calls a plain graph feeds all that the model lists.
  if (function->hasAttr("nn.whole_signature"))
    return success();
  llvm::BitVector drop(function.getNumArguments());
  for (BlockArgument argument : function.getArguments())
    if (argument.use_empty())
      drop.set(argument.getArgNumber());
  return function.eraseArguments(drop);
}

} // namespace

LogicalResult finishOutputs(ModuleOp module, const RecognizeOptions &options) {
  for (func::FuncOp function : module.getOps<func::FuncOp>())
    if (!function.isDeclaration() && failed(finish(function, options)))
      return failure();
  return success();
}

} // namespace ahm::recognize
