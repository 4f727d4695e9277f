// Nodes of a graph: the table's operators, constants, branches of If, and calls of the model's own functions.
#include "compiler/Import/GraphImporter.h"
#include "compiler/Import/TypeInference.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace ahm;
using namespace ahm::detail;
namespace file = ahm::onnxfile;

/// Inlining may multiply nodes; a file that asks for more than this is not a model.
static constexpr size_t kMaxNodes = 1u << 20;
static constexpr int kMaxInlineDepth = 32;

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
      return error(node, context) << "attribute '" << attribute.name << "' belongs to opsets " << opsets.sinceOpset
                                  << " to " << opsets.lastOpset
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
