// The roles of a graph's arguments, by structure; names decide nothing.
#include "compiler/OnnxToNN/Roles.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

namespace ahm::onnxtonn {
using namespace mlir;

std::string argName(func::FuncOp graph, unsigned i) {
  auto name = graph.getArgAttrOfType<StringAttr>(i, "onnx.name");
  return name ? name.getValue().str() : "arg" + std::to_string(i);
}

ArrayAttr argDims(func::FuncOp graph, unsigned i) { return graph.getArgAttrOfType<ArrayAttr>(i, "onnx.dims"); }

/// True when a use of the value (through Cast, Identity, reshapes) picks rows of a table.
static bool picksRows(Value value) {
  for (OpOperand &use : value.getUses()) {
    StringRef name = use.getOwner()->getName().stripDialect();
    if ((name == "Gather" || name == "ms.GatherBlockQuantized") && use.getOperandNumber() == 1)
      return true;
    if (name == "ms.EmbedLayerNormalization" && use.getOperandNumber() == 0)
      return true;
    if ((name == "Cast" || name == "Identity" || name == "Reshape") && use.getOperandNumber() == 0 &&
        picksRows(use.getOwner()->getResult(0)))
      return true;
  }
  return false;
}

static bool feedsCondition(Value value) {
  for (OpOperand &use : value.getUses()) {
    StringRef name = use.getOwner()->getName().stripDialect();
    if (name == "If" && use.getOperandNumber() == 0)
      return true;
    if (llvm::is_contained({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"}, name) &&
        feedsCondition(use.getOwner()->getResult(0)))
      return true;
  }
  return false;
}

/// True when the value reaches a Conv's data input through nothing but changes of shape or type.
static bool feedsConvolution(Value value) {
  for (OpOperand &use : value.getUses()) {
    StringRef name = use.getOwner()->getName().stripDialect();
    if (use.getOperandNumber() != 0)
      continue;
    if (name == "Conv")
      return true;
    if (llvm::is_contained({"Cast", "Identity", "Reshape", "Unsqueeze", "Pad"}, name) &&
        feedsConvolution(use.getOwner()->getResult(0)))
      return true;
  }
  return false;
}

/// True when the value reaches this operand of an operator through nothing but changes of type.
static bool feeds(Value value, StringRef name, unsigned operand) {
  for (OpOperand &use : value.getUses()) {
    StringRef user = use.getOwner()->getName().stripDialect();
    if (user == name && use.getOperandNumber() == operand)
      return true;
    if ((user == "Cast" || user == "Identity") && feeds(use.getOwner()->getResult(0), name, operand))
      return true;
  }
  return false;
}

GraphRoles findRoles(func::FuncOp graph) {
  GraphRoles roles;
  for (BlockArgument arg : graph.getArguments()) {
    auto type = dyn_cast<RankedTensorType>(arg.getType());
    if (!type)
      continue;
    unsigned i = arg.getArgNumber();
    if (type.getElementType().isInteger(1) && feedsCondition(arg))
      roles.condition = i;
    else if (isa<IntegerType>(type.getElementType()) && type.getRank() == 2 && roles.ids < 0 && picksRows(arg))
      roles.ids = i;
    else if (isa<FloatType>(type.getElementType()) && type.getRank() == 2 && feedsConvolution(arg))
      roles.audio = i;
    else if (isa<IntegerType>(type.getElementType()) && type.getRank() == 1 && feeds(arg, "TensorScatter", 2))
      roles.writeIndex = i;
    else if (isa<IntegerType>(type.getElementType()) && type.getRank() == 1 && feeds(arg, "Attention", 6))
      roles.validLength = i;
    else if (isa<FloatType>(type.getElementType()) && (type.getRank() == 3 || type.getRank() == 4) &&
             feeds(arg, "TensorScatter", 0))
      roles.fixedPasts.insert(i);
    else if (isa<FloatType>(type.getElementType()) && type.getRank() == 4 && type.isDynamicDim(2))
      roles.pasts.insert(i);
  }
  // Only a decoder is two programs in one; elsewhere both branches run and the condition chooses.
  if (roles.ids < 0 && roles.pasts.empty())
    roles.condition = -1;
  return roles;
}

int64_t contextFromConfig(ModuleOp module, ArrayRef<std::string> given) {
  std::set<std::string> folders(given.begin(), given.end());
  for (Operation &op : module.getBody()->getOperations())
    if (auto file = op.getAttrOfType<StringAttr>("file"); file && !file.getValue().empty())
      folders.insert(llvm::sys::path::parent_path(file.getValue()).str());
  for (const std::string &folder : folders) {
    SmallString<256> path(folder);
    llvm::sys::path::append(path, "config.json");
    auto buffer = llvm::MemoryBuffer::getFile(path);
    if (!buffer)
      continue;
    auto json = llvm::json::parse((*buffer)->getBuffer());
    if (!json) {
      llvm::consumeError(json.takeError());
      continue;
    }
    if (auto *object = json->getAsObject())
      for (StringRef key : {"max_position_embeddings", "n_positions", "max_target_positions"})
        if (auto value = object->getInteger(key))
          return *value;
  }
  return 0;
}

std::vector<std::string> dimensionNames(func::FuncOp graph) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < graph.getNumArguments(); ++i)
    if (ArrayAttr list = argDims(graph, i))
      for (Attribute attr : list)
        if (auto text = dyn_cast<StringAttr>(attr); text && !text.getValue().empty())
          names.push_back(text.getValue().str());
  return names;
}

std::vector<std::string> countNames(func::FuncOp graph, const GraphRoles &roles) {
  std::vector<std::string> names;
  auto add = [&](unsigned arg, size_t axis) {
    ArrayAttr list = argDims(graph, arg);
    if (auto text = list && axis < list.size() ? dyn_cast<StringAttr>(list[axis]) : StringAttr())
      names.push_back(text.getValue().str());
  };
  if (roles.ids >= 0)
    add(static_cast<unsigned>(roles.ids), 1);
  for (unsigned past : roles.pasts)
    add(past, 2);
  return names;
}

} // namespace ahm::onnxtonn
