// The dimc dialect's registration and verifiers.
#include "dialects/Dimc/Dimc.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace ahm::dimc;

#include "dialects/Dimc/DimcDialect.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Dimc/DimcAttrs.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/Dimc/DimcOps.cpp.inc"

void DimcDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Dimc/DimcAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Dimc/DimcOps.cpp.inc"
      >();
}

LogicalResult RegionOp::verify() {
  StringRef tier = getTier();
  if (tier != "sram" && tier != "stash" && tier != "dram" && tier != "host")
    return emitOpError() << "stands in the unknown tier \"" << tier << "\"";
  if (getFirstUnit() < 0 || getUnitCount() <= 0 || getOffset() < 0 || getBytes() <= 0)
    return emitOpError() << "needs units, a non-negative offset and bytes";
  if ((tier == "stash" || tier == "host") && (getFirstUnit() != 0 || getUnitCount() != 1))
    return emitOpError() << "stands in the " << tier << ", which has one unit";
  if (getOffset() % ahm::hmem::kAlignment)
    return emitOpError() << "has offset " << getOffset() << ", which is not a multiple of " << ahm::hmem::kAlignment;
  return success();
}

LogicalResult CommandOp::verify() {
  const ahm::hmem::CommandShape *shape = ahm::hmem::findCommandShape(getOpcode());
  if (!shape)
    return emitOpError() << "has the unknown opcode \"" << getOpcode() << "\"";
  if (getQueue() != shape->queue)
    return emitOpError() << getOpcode() << " stands in queue \"" << getQueue() << "\", but belongs in \""
                         << shape->queue << "\"";
  int ins = getIns().size(), outs = getOuts().size();
  if (ins < shape->minIns || (shape->maxIns >= 0 && ins > shape->maxIns) || outs < shape->minOuts ||
      (shape->maxOuts >= 0 && outs > shape->maxOuts))
    return emitOpError() << getOpcode() << " has " << ins << " inputs and " << outs << " outputs";
  for (ArrayAttr list : {getIns(), getOuts()})
    for (Attribute attribute : list) {
      auto operand = dyn_cast<OperandAttr>(attribute);
      if (!operand || !ahm::hmem::isKnownDtype(operand.getDtype().getValue()))
        return emitOpError() << "has an operand that is no #dimc.operand of a known dtype: " << attribute;
    }
  return success();
}

// With the symbol table that the module builds once: programs have tens of thousands of operands and regions.
LogicalResult CommandOp::verifySymbolUses(SymbolTableCollection &symbols) {
  for (ArrayAttr list : {getIns(), getOuts()})
    for (Attribute attribute : list)
      if (auto operand = dyn_cast<OperandAttr>(attribute))
        if (!symbols.lookupNearestSymbolFrom<RegionOp>(*this, operand.getRegion()))
          return emitOpError() << "uses " << operand.getRegion() << ", which is no region";
  return success();
}

LogicalResult EntryOp::verifyRegions() {
  for (auto [index, op] : llvm::enumerate(getBody().front()))
    if (auto command = dyn_cast<CommandOp>(op))
      for (int64_t wait : command.getWaits())
        if (wait < 0 || wait >= static_cast<int64_t>(index))
          return command.emitOpError() << "is command " << index << " and awaits command " << wait
                                       << "; only earlier commands can be awaited";
  return success();
}
