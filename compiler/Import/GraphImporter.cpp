// Graphs of one model: their values, initializers, the order of their nodes, and errors. Nodes are NodeImport.cpp's.
#include "compiler/Import/GraphImporter.h"
#include "compiler/Import/TypeInference.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringExtras.h"
#include <queue>

using namespace mlir;
using namespace ahm;
using namespace ahm::detail;
namespace file = ahm::onnxfile;

bool ahm::detail::isStandardDomain(StringRef domain) { return domain.empty() || domain == "ai.onnx"; }

static StringRef domainName(StringRef domain) { return isStandardDomain(domain) ? StringRef("ai.onnx") : domain; }

int64_t ahm::detail::opsetOf(StringRef domain, const Context &context) {
  for (const file::OpsetImport &opset : *context.opsets)
    if (opset.domain == domain || (isStandardDomain(domain) && isStandardDomain(opset.domain)))
      return opset.version;
  return 0;
}

/// Calls `use` with every name that `graph` takes from outside.
static void forEachFreeName(const file::Graph &graph, const std::function<void(StringRef)> &use) {
  llvm::StringSet<> local;
  for (const file::Tensor &tensor : graph.initializers)
    local.insert(tensor.name);
  for (const file::ValueInfo &input : graph.inputs)
    local.insert(input.name);
  for (const file::Node &node : graph.nodes)
    for (const std::string &output : node.outputs)
      local.insert(output);
  auto useOuter = [&](StringRef name) {
    if (!name.empty() && !local.contains(name))
      use(name);
  };
  for (const file::Node &node : graph.nodes) {
    for (const std::string &input : node.inputs)
      useOuter(input);
    for (const file::Attribute &attribute : node.attributes)
      if (attribute.graph)
        forEachFreeName(*attribute.graph, useOuter);
  }
  for (const file::ValueInfo &output : graph.outputs)
    useOuter(output.name);
}

/// Calls `use` with every name that a node reads, those of its branches included.
static void forEachUse(const file::Node &node, const std::function<void(StringRef)> &use) {
  for (const std::string &input : node.inputs)
    if (!input.empty())
      use(input);
  for (const file::Attribute &attribute : node.attributes)
    if (attribute.graph)
      forEachFreeName(*attribute.graph, use);
}

GraphImporter::GraphImporter(ModuleOp module, const file::Model &model, TensorImporter &tensors, std::string path,
                             llvm::StringSet<> &symbols, std::string prefix)
    : module(module), model(model), tensors(tensors), path(std::move(path)), symbols(symbols),
      prefix(std::move(prefix)), builder(module.getContext()) {
  for (const file::Function &function : model.functions)
    functions[{function.domain, function.name}] = &function;
}

InFlightDiagnostic GraphImporter::error() { return emitError(UnknownLoc::get(module.getContext())) << path << ": "; }

InFlightDiagnostic GraphImporter::error(const file::Node &node, const Context &context) {
  std::string name = node.name;
  if (name.empty() && !node.outputs.empty())
    name = node.outputs.front();
  return error() << "node '" << name << "' (operator " << node.opType << ", domain " << domainName(node.domain)
                 << ", opset " << opsetOf(node.domain, context) << "): ";
}

Location GraphImporter::locationOf(const file::Node &node) {
  StringRef name = node.name;
  if (name.empty() && !node.outputs.empty())
    name = node.outputs.front();
  return NameLoc::get(builder.getStringAttr(name.empty() ? StringRef(node.opType) : name));
}

std::string GraphImporter::uniqueSymbol(StringRef name) {
  std::string symbol = prefix + (name.empty() ? "weight" : name.str());
  std::string candidate = symbol;
  for (unsigned n = 2; !symbols.insert(candidate).second; ++n)
    candidate = symbol + "#" + std::to_string(n);
  return candidate;
}

LogicalResult GraphImporter::declaredType(const file::ValueInfo &info, Type fallback, Type &result) {
  if (!info.kind.empty() && info.kind != "tensor")
    return error() << "value '" << info.name << "' has a type of the kind '" << info.kind
                   << "', which is not supported; only tensors are: export without it";
  Type element = fallback;
  if (info.elementType != file::Undefined) {
    element = convertElementType(builder.getContext(), info.elementType);
    if (!element)
      return error() << "value '" << info.name << "' has element type " << file::dataTypeName(info.elementType)
                     << ", which is not supported; convert it to a number type before exporting";
    demotedValues += info.elementType == file::Double;
  }
  if (!element)
    return error() << "value '" << info.name << "' has no element type; export with type information";
  if (!info.hasShape) {
    result = UnrankedTensorType::get(element);
    return success();
  }
  SmallVector<int64_t> dims;
  for (const file::Dimension &dim : info.shape)
    dims.push_back(dim.value && *dim.value >= 0 ? *dim.value : ShapedType::kDynamic);
  result = RankedTensorType::get(dims, element);
  return success();
}

LogicalResult GraphImporter::outputType(StringRef name, const Scope &scope, Type element, Type &result) {
  auto it = name.empty() ? scope.declared.end() : scope.declared.find(name);
  if (it == scope.declared.end()) {
    result = UnrankedTensorType::get(element);
    return success();
  }
  return declaredType(*it->second, element, result);
}

LogicalResult GraphImporter::importTensor(const file::Tensor &tensor, StringRef name, Location loc, Value &result) {
  std::string why;
  std::optional<ImportedTensor> imported = tensors.import(tensor, /*inlineAll=*/false, why);
  if (!imported)
    return error() << "tensor '" << name << "' " << why;
  if (imported->value) {
    result = onnx::ConstantOp::create(builder, loc, imported->type, imported->value);
    return success();
  }
  std::string symbol = uniqueSymbol(name);
  {
    OpBuilder::InsertionGuard guard(builder);
    // Weights stand before the functions, in the order of their first use.
    Block *body = module.getBody();
    Block::iterator at = body->begin();
    if (lastWeight)
      at = std::next(Block::iterator(lastWeight));
    else
      while (at != body->end() && isa<onnx::WeightOp>(*at))
        ++at;
    builder.setInsertionPoint(body, at);
    lastWeight = onnx::WeightOp::create(builder, loc, symbol, imported->type, imported->file,
                                        static_cast<int64_t>(imported->offset), static_cast<int64_t>(imported->length));
  }
  result =
      onnx::UseWeightOp::create(builder, loc, imported->type, FlatSymbolRefAttr::get(builder.getContext(), symbol));
  return success();
}

LogicalResult GraphImporter::importInitializers(const file::Graph &graph, Scope &scope) {
  if (graph.hasSparseInitializers)
    return error() << "graph '" << graph.name << "' has sparse initializers, which are not supported; store them dense";
  llvm::StringSet<> used;
  auto use = [&](StringRef name) { used.insert(name); };
  for (const file::Node &node : graph.nodes)
    forEachUse(node, use);
  for (const file::ValueInfo &output : graph.outputs)
    use(output.name);
  for (const file::Tensor &tensor : graph.initializers) {
    if (scope.values.count(tensor.name))
      return error() << "the name '" << tensor.name << "' is given to two values; names must be unique in a graph";
    Value value;
    if (!used.contains(tensor.name)) {
      // Its name is still taken, but nothing of it reaches the program.
      scope.values[tensor.name] = value;
      continue;
    }
    if (failed(importTensor(tensor, tensor.name, NameLoc::get(builder.getStringAttr(tensor.name)), value)))
      return failure();
    scope.values[tensor.name] = value;
  }
  return success();
}

LogicalResult GraphImporter::sortNodes(const Nodes &nodes, const Scope &scope, SmallVectorImpl<size_t> &order) {
  llvm::StringMap<size_t> producer;
  for (auto [index, node] : llvm::enumerate(nodes))
    for (const std::string &output : node.outputs)
      if (!output.empty() && (scope.values.count(output) || !producer.try_emplace(output, index).second))
        return error() << "the name '" << output << "' is given to two values; names must be unique in a graph";
  std::vector<std::vector<size_t>> users(nodes.size());
  std::vector<size_t> missing(nodes.size(), 0);
  for (auto [index, node] : llvm::enumerate(nodes)) {
    size_t user = index;
    forEachUse(node, [&](StringRef name) {
      if (auto it = producer.find(name); it != producer.end()) {
        users[it->second].push_back(user);
        ++missing[user];
      }
    });
  }
  // The smallest ready index first: a sorted graph keeps its order.
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t index = 0; index < nodes.size(); ++index)
    if (missing[index] == 0)
      ready.push(index);
  while (!ready.empty()) {
    size_t index = ready.top();
    ready.pop();
    order.push_back(index);
    for (size_t user : users[index])
      if (--missing[user] == 0)
        ready.push(user);
  }
  for (size_t index = 0; index < nodes.size(); ++index)
    if (missing[index] != 0)
      return error() << "node '" << nodes[index].name << "' (operator " << nodes[index].opType
                     << ") depends on its own output; the graph has a cycle";
  return success();
}

LogicalResult GraphImporter::importNodes(const Nodes &nodes, Scope &scope, const Context &context) {
  SmallVector<size_t> order;
  if (failed(sortNodes(nodes, scope, order)))
    return failure();
  for (size_t index : order)
    if (failed(importNode(nodes[index], scope, context)))
      return failure();
  return success();
}

LogicalResult GraphImporter::importGraphBody(const file::Graph &graph, Scope &scope, const Context &context,
                                             SmallVectorImpl<Value> &outputs) {
  for (const file::ValueInfo &info : graph.valueInfo)
    scope.declared[info.name] = &info;
  for (const file::ValueInfo &info : graph.outputs)
    scope.declared[info.name] = &info;
  if (failed(importInitializers(graph, scope)) || failed(importNodes(graph.nodes, scope, context)))
    return failure();
  for (const file::ValueInfo &output : graph.outputs) {
    Value value = scope.find(output.name);
    if (!value || !isa<TensorType>(value.getType()))
      return error() << "output '" << output.name << "' of graph '" << graph.name
                     << "' is defined by no input, initializer or node";
    outputs.push_back(value);
  }
  return success();
}

/// Dimensions as the model declares them. A dimension without a name gets one of its own: it differs from all others.
static ArrayAttr dimsAttr(Builder &builder, const file::ValueInfo &info) {
  SmallVector<Attribute> dims;
  for (auto [index, dim] : llvm::enumerate(info.shape)) {
    if (dim.value && *dim.value >= 0)
      dims.push_back(builder.getI64IntegerAttr(*dim.value));
    else if (!dim.param.empty())
      dims.push_back(builder.getStringAttr(dim.param));
    else
      dims.push_back(builder.getStringAttr(info.name + "." + std::to_string(index)));
  }
  return builder.getArrayAttr(dims);
}

LogicalResult GraphImporter::import(StringRef name) {
  const file::Graph &graph = model.graph;
  Context context;
  context.opsets = &model.opsets;
  // Before IR version 4 every initializer was an input too; it is no run-time argument.
  llvm::StringSet<> initializers;
  for (const file::Tensor &tensor : graph.initializers)
    initializers.insert(tensor.name);

  SmallVector<Type> argumentTypes;
  SmallVector<const file::ValueInfo *> arguments;
  for (const file::ValueInfo &input : graph.inputs) {
    if (initializers.contains(input.name))
      continue;
    Type type;
    if (failed(declaredType(input, {}, type)))
      return failure();
    if (!input.hasShape)
      return error() << "input '" << input.name << "' has no shape; export with shapes (dimensions may be symbolic)";
    argumentTypes.push_back(type);
    arguments.push_back(&input);
  }

  builder.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(builder, NameLoc::get(builder.getStringAttr(graph.name)), name,
                                       builder.getFunctionType(argumentTypes, {}));
  function->setAttr("onnx.opset", builder.getI64IntegerAttr(opsetOf("", context)));
  Block *block = function.addEntryBlock();
  Scope scope;
  for (auto [index, input] : llvm::enumerate(arguments)) {
    function.setArgAttr(index, "onnx.name", builder.getStringAttr(input->name));
    function.setArgAttr(index, "onnx.dims", dimsAttr(builder, *input));
    block->getArgument(index).setLoc(NameLoc::get(builder.getStringAttr(input->name)));
    if (!scope.values.try_emplace(input->name, block->getArgument(index)).second)
      return error() << "the name '" << input->name << "' is given to two values; names must be unique in a graph";
  }
  builder.setInsertionPointToStart(block);
  SmallVector<Value> outputs;
  if (failed(importGraphBody(graph, scope, context, outputs)))
    return failure();
  func::ReturnOp::create(builder, function.getLoc(), outputs);
  function.setFunctionType(builder.getFunctionType(argumentTypes, TypeRange(ValueRange(outputs))));
  for (auto [index, output] : llvm::enumerate(graph.outputs)) {
    function.setResultAttr(index, "onnx.name", builder.getStringAttr(output.name));
    if (output.hasShape)
      function.setResultAttr(index, "onnx.dims", dimsAttr(builder, output));
  }
  if (demotedValues + tensors.demoted)
    emitWarning(UnknownLoc::get(module.getContext())) << path << ": " << demotedValues + tensors.demoted
                                                      << " values are float64 (DOUBLE) and are computed in float32";
  return success();
}
