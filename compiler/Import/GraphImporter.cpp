// Graphs, nodes, branches and functions of one model.
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

/// Inlining may multiply nodes; a file that asks for more than this is not a model.
static constexpr size_t kMaxNodes = 1u << 20;
static constexpr int kMaxInlineDepth = 32;

static bool isStandardDomain(StringRef domain) { return domain.empty() || domain == "ai.onnx"; }

static StringRef domainName(StringRef domain) { return isStandardDomain(domain) ? StringRef("ai.onnx") : domain; }

/// The model's version of a domain; 0 when the model does not import it.
static int64_t opsetOf(StringRef domain, const Context &context) {
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
    while (at != body->end() && isa<onnx::WeightOp>(*at))
      ++at;
    if (lastWeight)
      at = std::next(Block::iterator(lastWeight));
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

LogicalResult GraphImporter::lookUpInputs(const file::Node &node, const Scope &scope, const Context &context,
                                          SmallVectorImpl<Value> &inputs) {
  size_t count = node.inputs.size();
  while (count && node.inputs[count - 1].empty())
    --count;
  for (size_t index = 0; index < count; ++index) {
    StringRef name = node.inputs[index];
    if (name.empty()) {
      inputs.push_back(onnx::NoneOp::create(builder, locationOf(node), builder.getNoneType()));
      continue;
    }
    Value value = scope.find(name);
    if (!value)
      return error(node, context) << "input " << index << " is '" << name
                                  << "', which no input, initializer or node defines";
    inputs.push_back(value);
  }
  // A function's optional parameter may be absent at the call.
  while (!inputs.empty() && isa<NoneType>(inputs.back().getType()))
    inputs.pop_back();
  return success();
}

LogicalResult GraphImporter::convertAttribute(const file::Node &node, const file::Attribute &attribute,
                                              const Context &context, Attribute &result) {
  switch (attribute.kind) {
  case file::Attribute::FloatKind:
    result = builder.getF32FloatAttr(attribute.f);
    return success();
  case file::Attribute::IntKind: {
    int64_t value = attribute.i;
    bool isDataType = attribute.name == "to" || attribute.name == "dtype" || attribute.name == "output_dtype";
    if (isDataType && value == file::Double) {
      ++demotedValues;
      value = file::Float;
    }
    // output_dtype = 0 means "as the zero point".
    if (isDataType && !(value == 0 && attribute.name == "output_dtype") &&
        (value != static_cast<int32_t>(value) ||
         !convertElementType(builder.getContext(), static_cast<int32_t>(value))))
      return error(node, context) << "attribute '" << attribute.name << "' asks for element type "
                                  << file::dataTypeName(static_cast<int32_t>(value))
                                  << ", which is not supported; export with a number type (FLOAT, INT64, ...)";
    result = builder.getI64IntegerAttr(value);
    return success();
  }
  case file::Attribute::StringKind:
    result = builder.getStringAttr(attribute.s);
    return success();
  case file::Attribute::FloatsKind:
    result = builder.getDenseF32ArrayAttr(attribute.floats);
    return success();
  case file::Attribute::IntsKind:
    result = builder.getDenseI64ArrayAttr(attribute.ints);
    return success();
  case file::Attribute::TensorKind: {
    std::string why;
    std::optional<ImportedTensor> tensor = tensors.import(*attribute.tensor, /*inlineAll=*/true, why);
    if (!tensor)
      return error(node, context) << "the tensor in attribute '" << attribute.name << "' " << why;
    result = tensor->value;
    return success();
  }
  default:
    return error(node, context) << "attribute '" << attribute.name << "' has a kind that is not supported here; "
                                << "attributes may be numbers, strings, lists of numbers and tensors";
  }
}

LogicalResult GraphImporter::importConstant(const file::Node &node, Scope &scope, const Context &context) {
  if (node.attributes.size() != 1 || node.outputs.size() != 1 || !node.inputs.empty())
    return error(node, context) << "needs exactly one attribute, one output and no input";
  const file::Attribute &attribute = node.attributes.front();
  StringRef name = node.outputs.front();
  Location loc = locationOf(node);
  auto finish = [&](ArrayRef<int64_t> shape, Type element, auto values) {
    auto type = RankedTensorType::get(shape, element);
    scope.values[name] = onnx::ConstantOp::create(builder, loc, type, DenseElementsAttr::get(type, values));
    return success();
  };
  if (attribute.name == "value" && attribute.kind == file::Attribute::TensorKind)
    return importTensor(*attribute.tensor, name, loc, scope.values[name]);
  if (attribute.name == "value_float" && attribute.kind == file::Attribute::FloatKind)
    return finish({}, builder.getF32Type(), ArrayRef<float>(attribute.f));
  if (attribute.name == "value_int" && attribute.kind == file::Attribute::IntKind)
    return finish({}, builder.getI64Type(), ArrayRef<int64_t>(attribute.i));
  if (attribute.name == "value_floats" && attribute.kind == file::Attribute::FloatsKind)
    return finish(static_cast<int64_t>(attribute.floats.size()), builder.getF32Type(),
                  ArrayRef<float>(attribute.floats));
  if (attribute.name == "value_ints" && attribute.kind == file::Attribute::IntsKind)
    return finish(static_cast<int64_t>(attribute.ints.size()), builder.getI64Type(), ArrayRef<int64_t>(attribute.ints));
  return error(node, context) << "attribute '" << attribute.name
                              << "' is not supported; constants are tensors or numbers, not strings or sparse tensors";
}

LogicalResult GraphImporter::importIf(const file::Node &node, Scope &scope, const Context &context) {
  SmallVector<Value> inputs;
  if (failed(lookUpInputs(node, scope, context, inputs)))
    return failure();
  OperationState state(locationOf(node), onnx::IfOp::getOperationName());
  SmallVector<Type> types;
  if (inputs.size() != 1 || !isa<TensorType>(inputs.front().getType()))
    return error(node, context) << "takes one input, the condition";
  for (const char *name : {"then_branch", "else_branch"}) {
    const file::Attribute *branch = node.find(name);
    if (!branch || branch->kind != file::Attribute::GraphKind)
      return error(node, context) << "has no graph '" << name << "'";
    if (!branch->graph->inputs.empty())
      return error(node, context) << "'" << name << "' declares inputs; branches use outer values directly";
    Region *region = state.addRegion();
    OpBuilder::InsertionGuard guard(builder);
    builder.createBlock(region);
    Scope inner;
    inner.outer = &scope;
    SmallVector<Value> outputs;
    if (failed(importGraphBody(*branch->graph, inner, context, outputs)))
      return failure();
    if (outputs.size() != node.outputs.size())
      return error(node, context) << "has " << node.outputs.size() << " outputs, but '" << name << "' yields "
                                  << outputs.size();
    onnx::YieldOp::create(builder, state.location, outputs);
    for (auto [index, output] : llvm::enumerate(outputs)) {
      Type element = getElementTypeOrSelf(output.getType());
      if (index == types.size()) {
        types.push_back(element);
        continue;
      }
      if (types[index] != element)
        return error(node, context) << "output " << index << " ('" << node.outputs[index] << "') is " << types[index]
                                    << " in one branch and " << element << " in the other";
    }
  }
  for (auto [index, type] : llvm::enumerate(types)) {
    Type element = type;
    if (failed(outputType(node.outputs[index], scope, element, type)))
      return failure();
    if (getElementTypeOrSelf(type) != element)
      return error(node, context) << "output '" << node.outputs[index] << "' is declared as " << type
                                  << ", but the branches yield " << element;
  }
  state.addOperands(inputs);
  state.addTypes(types);
  Operation *op = builder.create(state);
  for (auto [name, result] : llvm::zip_equal(node.outputs, op->getResults()))
    if (!name.empty())
      scope.values[name] = result;
  return success();
}

LogicalResult GraphImporter::inlineFunction(const file::Node &node, const file::Function &function, Scope &scope,
                                            const Context &context) {
  if (context.depth >= kMaxInlineDepth)
    return error(node, context) << "the model's functions call each other more than " << kMaxInlineDepth
                                << " levels deep";
  SmallVector<Value> inputs;
  if (failed(lookUpInputs(node, scope, context, inputs)))
    return failure();
  if (inputs.size() > function.inputs.size() || node.outputs.size() > function.outputs.size())
    return error(node, context) << "has more inputs or outputs than the model's function of that name";
  Context inner;
  inner.opsets = function.opsets.empty() ? context.opsets : &function.opsets;
  inner.depth = context.depth + 1;
  for (const file::Attribute &attribute : function.defaults)
    inner.arguments[attribute.name] = attribute;
  for (const file::Attribute &attribute : node.attributes)
    inner.arguments[attribute.name] = attribute;
  Scope body;
  for (auto [index, name] : llvm::enumerate(function.inputs)) {
    if (index < inputs.size())
      body.values[name] = inputs[index];
    else
      body.values[name] = onnx::NoneOp::create(builder, locationOf(node), builder.getNoneType());
  }
  if (failed(importNodes(function.nodes, body, inner)))
    return failure();
  for (auto [index, name] : llvm::enumerate(node.outputs)) {
    if (name.empty())
      continue;
    Value value = body.find(function.outputs[index]);
    if (!value)
      return error(node, context) << "the model's function defines no output '" << function.outputs[index] << "'";
    scope.values[name] = value;
  }
  return success();
}

/// Replaces attributes that refer to the function's attributes by the call's values; absent ones disappear.
static file::Node resolveReferences(const file::Node &node, const Context &context) {
  file::Node resolved = node;
  resolved.attributes.clear();
  for (const file::Attribute &attribute : node.attributes) {
    if (attribute.refName.empty()) {
      resolved.attributes.push_back(attribute);
      continue;
    }
    auto it = context.arguments.find(attribute.refName);
    if (it == context.arguments.end())
      continue;
    resolved.attributes.push_back(it->second);
    resolved.attributes.back().name = attribute.name;
  }
  return resolved;
}

LogicalResult GraphImporter::importNode(const file::Node &original, Scope &scope, const Context &context) {
  bool hasReference = llvm::any_of(original.attributes, [](const file::Attribute &a) { return !a.refName.empty(); });
  std::optional<file::Node> resolved;
  if (hasReference)
    resolved = resolveReferences(original, context);
  const file::Node &node = resolved ? *resolved : original;

  if (++importedNodes > kMaxNodes)
    return error(node, context) << "the model has more than " << kMaxNodes << " nodes after inlining its functions";
  if (auto it = functions.find({node.domain, node.opType}); it != functions.end())
    return inlineFunction(node, *it->second, scope, context);

  int64_t opset = opsetOf(node.domain, context);
  bool standard = isStandardDomain(node.domain);
  if (standard && opset > onnx::kMaxOpset)
    return error(node, context) << "opset " << opset << " is newer than " << onnx::kMaxOpset
                                << ", the newest supported; export with opset " << onnx::kMaxOpset << " or older";
  if (standard && opset < onnx::kMinOpset)
    return error(node, context) << "the model imports no opset of this domain; add one to its opset_import";
  if (standard && node.opType == "Constant")
    return importConstant(node, scope, context);
  const onnx::OperatorInfo *info = onnx::findOperator(node.domain, node.opType);
  if (!info) {
    InFlightDiagnostic diagnostic = error(node, context) << "the operator is not supported";
    std::string suggestion = onnx::suggestOperator(node.domain, node.opType);
    if (!suggestion.empty())
      diagnostic << "; the nearest supported one is " << suggestion;
    else
      diagnostic << "; export with it decomposed into standard operators";
    return diagnostic;
  }
  if (standard && (opset < info->sinceOpset || opset > info->lastOpset)) {
    InFlightDiagnostic diagnostic = error(node, context) << "the operator is supported in opsets " << info->sinceOpset
                                                         << " to " << info->lastOpset;
    return diagnostic << "; export with one of these";
  }
  if (standard && node.opType == "If")
    return importIf(node, scope, context);

  SmallVector<Value> inputs;
  if (failed(lookUpInputs(node, scope, context, inputs)))
    return failure();
  size_t outputs = node.outputs.size();
  while (outputs && node.outputs[outputs - 1].empty())
    --outputs;
  auto outside = [](size_t count, int low, int high) {
    return count < static_cast<size_t>(low) || count > static_cast<size_t>(high);
  };
  if (outside(inputs.size(), info->minInputs, info->maxInputs))
    return error(node, context) << "has " << inputs.size() << " inputs, but the operator takes " << info->minInputs
                                << " to "
                                << (info->maxInputs == onnx::kUnlimited ? "any number"
                                                                        : std::to_string(info->maxInputs));
  if (outside(outputs, info->minOutputs, info->maxOutputs))
    return error(node, context) << "has " << outputs << " outputs, but the operator gives " << info->minOutputs
                                << " to "
                                << (info->maxOutputs == onnx::kUnlimited ? "any number"
                                                                         : std::to_string(info->maxOutputs));

  NamedAttrList attributes;
  for (const file::Attribute &attribute : node.attributes) {
    if (!llvm::is_contained(info->attributes, attribute.name)) {
      InFlightDiagnostic diagnostic = error(node, context)
                                      << "attribute '" << attribute.name << "' is not supported; it takes ";
      if (info->attributes.empty())
        diagnostic << "none";
      else
        diagnostic << llvm::join(info->attributes, ", ");
      return diagnostic;
    }
    onnx::AttributeOpsets opsets = onnx::attributeOpsets(*info, attribute.name);
    if (standard && (opset < opsets.sinceOpset || opset > opsets.lastOpset))
      return error(node, context) << "attribute '" << attribute.name << "' belongs to opsets " << opsets.sinceOpset << " to " << opsets.lastOpset
                                  << " of the operator; export with one of these, or as opset " << opset << " has it";
    Attribute value;
    if (failed(convertAttribute(node, attribute, context, value)))
      return failure();
    attributes.set(attribute.name, value);
  }
  SmallVector<Type> types;
  for (size_t index = 0; index < outputs; ++index) {
    Type element = inferElementType(builder.getContext(), *info, inputs, attributes, index);
    if (failed(outputType(node.outputs[index], scope, element, types.emplace_back())))
      return failure();
  }
  OperationState state(locationOf(node), info->operation, inputs, types, attributes.getAttrs());
  Operation *op = builder.create(state);
  for (NamedAttribute attribute : attributes)
    if (op->getInherentAttr(attribute.getName()) != std::optional<Attribute>(attribute.getValue()))
      return error(node, context) << "attribute '" << attribute.getName().strref()
                                  << "' has the wrong kind of value: " << attribute.getValue();
  for (size_t index = 0; index < outputs; ++index)
    if (!node.outputs[index].empty())
      scope.values[node.outputs[index]] = op->getResult(index);
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
