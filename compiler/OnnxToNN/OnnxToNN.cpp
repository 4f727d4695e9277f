// Entry points and roles: which functions a graph becomes, what its run-time values are and how large they grow.
#include "compiler/OnnxToNN/OnnxToNN.h"
#include "compiler/OnnxToNN/Converter.h"
#include "compiler/OnnxToNN/Roles.h"

#include "mlir/IR/AffineMap.h"

#include <set>

using namespace mlir;

namespace ahm {

using namespace onnxtonn;

namespace {

class GraphConverter {
public:
  GraphConverter(ModuleOp module, func::FuncOp graph, const OnnxToNNOptions &options)
      : module(module), graph(graph), options(options), roles(findRoles(graph)) {}

  /// A decoder in two files: this graph begins a sequence, and gives the keys and values that `later` takes.
  bool begins(GraphConverter &later) {
    if (roles.ids < 0 || isDecoder() || later.roles.ids < 0 || later.roles.pasts.empty() || later.roles.condition >= 0)
      return false;
    std::set<std::string> presents;
    for (unsigned i = 0; i < graph.getNumResults(); ++i)
      if (auto name = graph.getResultAttrOfType<StringAttr>(i, "onnx.name"))
        presents.insert(name.getValue().str());
    return llvm::all_of(later.roles.pasts, [&](unsigned past) {
      std::string whole = argName(later.graph, past);
      StringRef name = whole;
      if (!name.consume_front("past"))
        return false;
      (void)name.consume_front("_key_values");
      return presents.count("present" + name.str()) != 0;
    });
  }
  /// The two as one decoder: the first call of a sequence takes a chunk, every other one a token.
  LogicalResult runBeside(GraphConverter &later, StringRef prefix) {
    inTwoFiles = later.inTwoFiles = true;
    if (failed(make((prefix + "prefill").str(), false, std::nullopt)))
      return failure();
    later.batched = options.batch > 1;
    return later.make((prefix + "decode").str(), !later.batched, std::nullopt);
  }

  LogicalResult run(StringRef prefix) {
    if (roles.condition >= 0) {
      if (failed(make((prefix + "prefill").str(), /*tokensOne=*/true, false)))
        return failure();
      batched = options.batch > 1;
      return make((prefix + "decode").str(), !batched, true);
    }
    if (isDecoder()) {
      // A decode call has the graph's dimensions too, though with one token less shows how they hang together.
      if (failed(make((prefix + "prefill").str(), false, std::nullopt, &learned)))
        return failure();
      // Several sequences are so many rows, as a prefill has them; nn-batch tells them apart.
      batched = options.batch > 1;
      return make((prefix + "decode").str(), !batched, std::nullopt);
    }
    // Beside a decoder, an encoder runs once for each sequence, before it joins the batch.
    if (options.batch > 1 && prefix.empty()) {
      // Sequences beside each other, all of one length; what is padding is the model's own mask to say.
      sequences = options.batch;
      bool found = false;
      for (unsigned i = 0; i < graph.getNumArguments(); ++i)
        if (ArrayAttr list = argDims(graph, i))
          found |= llvm::any_of(list, [](Attribute attr) {
            auto text = dyn_cast<StringAttr>(attr);
            return text && text.getValue().contains("batch");
          });
      if (!found)
        return graph.emitError("--batch=")
               << options.batch << ": no input has a dimension that is named as a batch; remedy: --batch=1";
    }
    return make((prefix + "main").str(), false, std::nullopt);
  }

  bool isDecoder() const {
    return roles.ids >= 0 && (inTwoFiles || roles.condition >= 0 || !roles.pasts.empty() ||
                              (!roles.fixedPasts.empty() && roles.writeIndex >= 0));
  }
  bool hasIds() const { return roles.ids >= 0; }

private:
  /// Half a second at 16 kHz: what audio is first taken to have, so that the sizes behind convolutions are positive.
  static constexpr int64_t kAssumedSamples = 8000;

  LogicalResult make(const std::string &name, bool tokensOne, std::optional<bool> branch,
                     std::optional<Dimensions> *found = nullptr) {
    leastAudio = kAssumedSamples;
    if (failed(makeOnce(name, tokensOne, branch, found)))
      return failure();
    // Shorter audio will do where every tensor still has elements; all is decided again for it.
    auto function = module.lookupSymbol<func::FuncOp>(name);
    int64_t assumed = leastAudio;
    leastAudio = leastSamples(function);
    if (leastAudio == assumed)
      return success();
    function->remove();
    LogicalResult shorter = failure();
    {
      ScopedDiagnosticHandler quiet(module.getContext(), [](Diagnostic &) { return success(); });
      shorter = makeOnce(name, tokensOne, branch, found);
    }
    if (succeeded(shorter))
      function->erase();
    else
      module.push_back(function);
    leastAudio = succeeded(shorter) ? leastAudio : assumed;
    return success();
  }

  /// The fewest samples with which every tensor of the function has elements, at most those that were assumed.
  int64_t leastSamples(func::FuncOp function) {
    SmallVector<AffineExpr> values;
    int64_t samples = -1, high = leastAudio;
    Builder attrs(module.getContext());
    for (auto [i, value] : llvm::enumerate(function->getAttrOfType<ArrayAttr>("nn.values"))) {
      auto entry = cast<DictionaryAttr>(value);
      values.push_back(attrs.getAffineConstantExpr(entry.getAs<IntegerAttr>("min").getInt()));
      auto [arg, axis] = placeOf(entry.getAs<StringAttr>("name").getValue());
      if (arg >= 0 && arg == roles.audio) {
        samples = static_cast<int64_t>(i);
        high = std::min(high, entry.getAs<IntegerAttr>("min").getInt());
      }
    }
    if (samples < 0)
      return leastAudio;
    SmallVector<AffineExpr> sizes;
    function.walk([&](Operation *op) {
      for (Value result : op->getResults())
        if (auto type = dyn_cast<RankedTensorType>(result.getType()))
          if (AffineMap map = nn::shapeMap(type))
            for (AffineExpr size : map.getResults())
              if (size.isFunctionOfSymbol(static_cast<unsigned>(samples)))
                sizes.push_back(size);
    });
    auto fits = [&](int64_t count) {
      values[samples] = attrs.getAffineConstantExpr(count);
      return llvm::all_of(sizes, [&](AffineExpr size) {
        auto number = dyn_cast<AffineConstantExpr>(
            simplifyAffineExpr(size.replaceSymbols(values), 0, static_cast<unsigned>(values.size())));
        return number && number.getValue() >= 1;
      });
    };
    int64_t low = 0; // does not fit
    while (low + 1 < high) {
      int64_t middle = low + (high - low) / 2;
      (fits(middle) ? high : low) = middle;
    }
    return high;
  }

  LogicalResult makeOnce(const std::string &name, bool tokensOne, std::optional<bool> branch,
                         std::optional<Dimensions> *found) {
    Dimensions dims(module.getContext());
    bindFixed(dims, tokensOne);
    if (isDecoder())
      for (const std::string &name : countNames(graph, roles))
        dims.keep(name);
    if (learned)
      dims.inherit(*learned, dimensionNames(graph));
    // A restart removes a run-time value or adds one whose size data decide, of which a graph has finitely many: this
    // ends.
    for (;;) {
      SmallVector<Symbolic> arguments;
      if (failed(makeArguments(dims, branch, arguments)))
        return failure();
      func::FuncOp function =
          func::FuncOp::create(graph.getLoc(), name, FunctionType::get(module.getContext(), {}, {}));
      function.addEntryBlock();
      SmallVector<int64_t> least;
      for (const std::string &value : dims.list())
        least.push_back(leastOf(value));
      Converter converter(dims, OpBuilder::atBlockEnd(&function.getBody().front()), dims.size(), least);
      for (auto [i, symbolic] : llvm::enumerate(arguments)) {
        if (!symbolic.integers)
          symbolic.value = function.getBody().front().addArgument(converter.typeOf(symbolic), graph.getLoc());
        converter.set(graph.getArgument(i), symbolic);
      }
      LogicalResult converted = converter.convertBlock(graph.getBody().front());
      if (succeeded(converted) && equateOutputs(converter))
        converter.restart = true;
      if (converter.restart) {
        function.erase();
        continue;
      }
      for (const auto &[op, value] : converter.sizesFromData)
        if (succeeded(converted) && dims.isOpen(value))
          converted =
              op->emitError(op->getName().stripDialect())
              << ": a size of its output depends on the contents of its inputs, and nothing in the graph says it; "
                 "remedy: export with constant inputs, or declare the output's shape ("
              << converter.describe(op) << ")";
      if (succeeded(converted) && !converter.doubts.empty())
        converted = converter.doubts.front().first->emitError(converter.doubts.front().second)
                    << " (" << converter.describe(converter.doubts.front().first) << ")";
      if (failed(converted)) {
        function.erase();
        return failure();
      }
      if (failed(complete(converter, function, arguments))) {
        function.erase();
        return failure();
      }
      module.push_back(function);
      if (found)
        *found = dims;
      return success();
    }
  }

  /// Sizes that data decide are what the graph's outputs declare. True when that settled one.
  bool equateOutputs(Converter &c) {
    for (OpOperand &operand : graph.getBody().front().getTerminator()->getOpOperands()) {
      auto list = graph.getResultAttrOfType<ArrayAttr>(operand.getOperandNumber(), "onnx.dims");
      ArrayRef<AffineExpr> shape = c.get(operand.get()).shape;
      for (size_t axis = 0; list && axis < shape.size() && list.size() == shape.size(); ++axis)
        if (auto size = dyn_cast<IntegerAttr>(list[axis]))
          for (const auto &[op, value] : c.sizesFromData)
            if (shape[axis] == c.dims.named(value) && c.dims.unify(shape[axis], c.constant(size.getInt())))
              return true;
    }
    return false;
  }

  AffineExpr tokensOfIds(Dimensions &dims) {
    auto type = cast<RankedTensorType>(graph.getArgument(static_cast<unsigned>(roles.ids)).getType());
    ArrayAttr list = argDims(graph, static_cast<unsigned>(roles.ids));
    if (!type.isDynamicDim(1))
      return getAffineConstantExpr(type.getDimSize(1), module.getContext());
    if (auto text = list ? dyn_cast<StringAttr>(list[1]) : StringAttr(); text && !text.getValue().empty())
      return dims.parsed(text.getValue());
    return dims.named(argName(graph, static_cast<unsigned>(roles.ids)) + ".1");
  }

  bool isWriteIndex(StringRef name) {
    return roles.writeIndex >= 0 && isDecoder() && name == argName(graph, static_cast<unsigned>(roles.writeIndex));
  }

  /// Tokens that the smallest of the fixed caches holds; 0 when none says so.
  int64_t fixedCapacity() {
    int64_t least = 0;
    for (unsigned past : roles.fixedPasts) {
      auto type = cast<RankedTensorType>(graph.getArgument(past).getType());
      int64_t axis = type.getRank() - 2;
      if (!type.isDynamicDim(axis))
        least = least ? std::min(least, type.getDimSize(axis)) : type.getDimSize(axis);
    }
    return least;
  }

  void bindFixed(Dimensions &dims, bool tokensOne) {
    for (unsigned i = 0; i < graph.getNumArguments(); ++i)
      if (ArrayAttr list = argDims(graph, i))
        for (auto [axis, attr] : llvm::enumerate(list))
          if (auto text = dyn_cast<StringAttr>(attr)) {
            if (text.getValue().contains("batch"))
              dims.bind(text.getValue(), sequences); // of a decoder, the sequences of a batch are rows
            else if (tokensOne && static_cast<int64_t>(i) == roles.ids && axis == 1)
              dims.bind(text.getValue(), 1);
          }
  }

  LogicalResult makeArguments(Dimensions &dims, std::optional<bool> branch, SmallVector<Symbolic> &arguments) {
    MLIRContext *context = module.getContext();
    for (BlockArgument arg : graph.getArguments()) {
      unsigned i = arg.getArgNumber();
      auto type = dyn_cast<RankedTensorType>(arg.getType());
      if (!type)
        return graph.emitError("input '") << argName(graph, i) << "' has no known rank; remedy: export it with a shape";
      Symbolic symbolic;
      ArrayAttr list = argDims(graph, i);
      for (int64_t axis = 0; axis < type.getRank(); ++axis) {
        if (!type.isDynamicDim(axis))
          symbolic.shape.push_back(getAffineConstantExpr(type.getDimSize(axis), context));
        else if (auto text = list ? dyn_cast<StringAttr>(list[axis]) : StringAttr(); text && !text.getValue().empty())
          symbolic.shape.push_back(dims.parsed(text.getValue()));
        else
          symbolic.shape.push_back(dims.named(argName(graph, i) + "." + std::to_string(axis)));
      }
      Type element = type.getElementType();
      symbolic.element = nnElement(element);
      if (static_cast<int64_t>(i) == roles.condition)
        symbolic.integers.emplace(1, getAffineConstantExpr(*branch, context));
      // One sequence's position in a fixed cache is a run-time value; what attention sees ends behind this call's
      // tokens.
      bool isOne = symbolic.shape.size() == 1 && symbolic.shape[0] == getAffineConstantExpr(1, context);
      if (isDecoder() && isOne && roles.writeIndex >= 0 &&
          (static_cast<int64_t>(i) == roles.writeIndex || static_cast<int64_t>(i) == roles.validLength)) {
        AffineExpr position = dims.named(argName(graph, static_cast<unsigned>(roles.writeIndex)));
        symbolic.integers.emplace(1, static_cast<int64_t>(i) == roles.writeIndex ? position
                                                                                 : position + tokensOfIds(dims));
      }
      arguments.push_back(symbolic);
    }
    return success();
  }

  /// Results, attributes, and the removal of arguments that nothing reads.
  LogicalResult complete(Converter &c, func::FuncOp function, ArrayRef<Symbolic> arguments) {
    Builder attrs(module.getContext());
    Operation *terminator = graph.getBody().front().getTerminator();
    SmallVector<Value> results;
    SmallVector<DictionaryAttr> resultAttrs, argAttrs;
    int64_t logits = logitsResult(c, terminator);
    for (auto [i, operand] : llvm::enumerate(terminator->getOperands())) {
      Value value = c.materialise(operand, graph.getLoc());
      if (!value)
        return graph.emitError("output ") << i << " was not computed";
      results.push_back(value);
      NamedAttrList list;
      auto name = graph.getResultAttrOfType<StringAttr>(i, "onnx.name");
      list.set("onnx.name", name ? name : attrs.getStringAttr("output" + std::to_string(i)));
      list.set("onnx.dtype", attrs.getStringAttr(dtypeOf(operand.getType())));
      if (static_cast<int64_t>(i) == logits)
        list.set("nn.role", attrs.getStringAttr("logits"));
      resultAttrs.push_back(list.getDictionary(module.getContext()));
    }
    func::ReturnOp::create(c.builder, graph.getLoc(), results);

    Block &body = function.getBody().front();
    for (unsigned i = graph.getNumArguments(), position = body.getNumArguments(); i-- > 0;) {
      if (arguments[i].integers)
        continue;
      // A plain graph is fed all that the model lists; a decoder's state and masks disappear.
      if (body.getArgument(--position).use_empty() && isDecoder()) {
        body.eraseArgument(position);
        continue;
      }
      NamedAttrList list;
      list.set("onnx.name", attrs.getStringAttr(argName(graph, i)));
      list.set("onnx.dtype", attrs.getStringAttr(dtypeOf(graph.getArgument(i).getType())));
      if (std::string role = roleOf(i); !role.empty())
        list.set("nn.role", attrs.getStringAttr(role));
      argAttrs.insert(argAttrs.begin(), list.getDictionary(module.getContext()));
    }
    SmallVector<Type> resultTypes(ValueRange(results).getTypes());
    function.setFunctionType(FunctionType::get(module.getContext(), body.getArgumentTypes(), resultTypes));
    if (!isDecoder())
      function->setAttr("nn.whole_signature", attrs.getUnitAttr());
    function.setAllArgAttrs(argAttrs);
    function.setAllResultAttrs(resultAttrs);
    SmallVector<Attribute> values;
    for (unsigned symbol = 0; symbol < c.dims.size(); ++symbol) {
      int64_t low = 1, high = 0;
      if (failed(bounds(c.dims.list()[symbol], low, high)))
        return failure();
      values.push_back(attrs.getDictionaryAttr({attrs.getNamedAttr("name", attrs.getStringAttr(c.dims.list()[symbol])),
                                                attrs.getNamedAttr("min", attrs.getI64IntegerAttr(low)),
                                                attrs.getNamedAttr("max", attrs.getI64IntegerAttr(high))}));
    }
    function->setAttr("nn.values", attrs.getArrayAttr(values));
    if (batched)
      function->setAttr("nn.batch", attrs.getI64IntegerAttr(options.batch));
    return success();
  }

  static std::string dtypeOf(Type type) {
    Type element = cast<ShapedType>(type).getElementType();
    if (element.isInteger(1))
      return "bool";
    if (auto integer = dyn_cast<IntegerType>(element))
      return (integer.isUnsigned() ? "uint" : "int") + std::to_string(integer.getWidth());
    if (element.isF16())
      return "float16";
    if (element.isBF16())
      return "bfloat16";
    return element.isF64() ? "float64" : "float32";
  }

  /// The rank-3 float output with the widest last dimension, in a decoder. Of another model every row of every output
  /// is its answer.
  int64_t logitsResult(Converter &c, Operation *terminator) {
    int64_t found = -1, widest = 0;
    for (auto [i, operand] : llvm::enumerate(terminator->getOperands())) {
      Symbolic &s = c.get(operand);
      if (!isDecoder() || s.shape.size() != 3 || s.element != c.f32())
        continue;
      auto constant = dyn_cast<AffineConstantExpr>(s.shape.back());
      if (constant && constant.getValue() > widest) {
        widest = constant.getValue();
        found = static_cast<int64_t>(i);
      }
    }
    return found;
  }

  std::string roleOf(unsigned i) {
    auto type = cast<RankedTensorType>(graph.getArgument(i).getType());
    if (static_cast<int64_t>(i) == roles.ids)
      return "ids";
    if (static_cast<int64_t>(i) == roles.audio && roles.ids < 0)
      return "audio";
    if (roles.ids < 0 || roles.fixedPasts.count(i))
      return "";
    if (isa<IntegerType>(type.getElementType()) && type.getRank() == 2) {
      // Same length as the ids: positions; another length: the mask over past and present.
      return argDims(graph, i) && argDims(graph, i) == argDims(graph, roles.ids) ? "positions" : "mask";
    }
    if (isa<FloatType>(type.getElementType()) && type.getRank() == 3)
      return "encoder_output";
    return "";
  }

  /// Where a dimension stands among the arguments: (argument, axis) of its first appearance as a bare name.
  std::pair<int64_t, int64_t> placeOf(StringRef name) {
    for (unsigned i = 0; i < graph.getNumArguments(); ++i)
      if (ArrayAttr list = argDims(graph, i))
        for (auto [axis, attr] : llvm::enumerate(list))
          if (auto text = dyn_cast<StringAttr>(attr); text && text.getValue() == name)
            return {i, axis};
    return {-1, -1};
  }

  /// A past may be empty; audio fills the convolutions that read it.
  int64_t leastOf(StringRef name) {
    if (isWriteIndex(name))
      return 0;
    auto [arg, axis] = placeOf(name);
    if (arg >= 0 && axis == 2 && roles.pasts.count(static_cast<unsigned>(arg)))
      return 0;
    if (arg < 0 || arg != roles.audio)
      return 1;
    auto given = options.maxDims.find(name.str());
    return given == options.maxDims.end() ? leastAudio : std::min(leastAudio, given->second);
  }

  LogicalResult bounds(const std::string &name, int64_t &low, int64_t &high) {
    auto [arg, axis] = placeOf(name);
    bool isTokens = arg >= 0 && arg == roles.ids && axis == 1;
    bool isPast = arg >= 0 && roles.pasts.count(static_cast<unsigned>(arg)) && axis == 2;
    bool isAudio = arg >= 0 && arg == roles.audio;
    low = leastOf(name);
    if (auto found = options.maxDims.find(name); found != options.maxDims.end()) {
      high = found->second;
      if (high < low)
        return graph.emitError("--max-dim=")
               << name << "=" << high << " is below " << low << ", the least that this dimension takes";
      return success();
    }
    int64_t context = options.maxContext ? options.maxContext : contextFromConfig(module, options.folders);
    if (int64_t capacity = fixedCapacity())
      context = context ? std::min(context, capacity) : capacity;
    if (isWriteIndex(name)) {
      high = context - 1;
      if (high < low)
        return graph.emitError(
            "the number of tokens that the caches hold is not known from the model; remedy: --max-context=N");
      return success();
    }
    if (isAudio) {
      high = static_cast<int64_t>(options.audioSeconds * 16000);
    } else if (isTokens) {
      high = batched ? options.batch : isDecoder() ? options.prefillChunk : context;
      if (context && isDecoder())
        high = std::min(high, context);
    } else if (arg >= 0 && roleOf(arg) == "encoder_output") {
      high = frames();
    } else if (isPast && (roles.condition >= 0 || inTwoFiles) && crossLength(name)) {
      high = frames();
    } else if (isPast) {
      high = context ? context - 1 : roles.condition >= 0 ? static_cast<int64_t>(options.audioSeconds * 6.4) : low - 1;
    }
    if (high < low)
      return graph.emitError("the largest value of dimension '")
             << name << "' is not known from the model; remedy: --max-dim=" << name << "=N"
             << (isPast ? " or --max-context=N" : "");
    return success();
  }

  /// Frames that the encoder beside this decoder gives: as many as its graph says, else those of the longest audio (no
  /// front end gives more than one in 20 ms).
  int64_t frames() {
    int64_t most = 0;
    for (auto function : module.getOps<func::FuncOp>()) {
      bool converted = function.getSymName() == "encoder.main";
      if (function == graph || (!converted && findRoles(function).ids >= 0) ||
          (!converted && !function->hasAttr("onnx.opset")))
        continue;
      for (Type result : function.getResultTypes())
        if (auto type = dyn_cast<RankedTensorType>(result);
            type && type.getRank() == 3 && isa<FloatType>(type.getElementType()) && !type.isDynamicDim(1))
          most = std::max(most, type.getDimSize(1));
    }
    return most ? most : static_cast<int64_t>(options.audioSeconds * 50);
  }

  /// A past of another length than the first one in an encoder-decoder holds the encoder's keys and values.
  bool crossLength(StringRef name) {
    ArrayAttr first = argDims(graph, *roles.pasts.begin());
    auto text = first ? dyn_cast<StringAttr>(first[2]) : StringAttr();
    return text && text.getValue() != name;
  }

  ModuleOp module;
  func::FuncOp graph;
  const OnnxToNNOptions &options;
  GraphRoles roles;
  bool batched = false;    // the function being made decodes a batch
  bool inTwoFiles = false; // one file begins a sequence, another goes on
  int64_t sequences = 1;   // that an encoder takes beside each other
  int64_t leastAudio = kAssumedSamples;
  std::optional<Dimensions> learned; // of the functions made before, how dimensions hang together
};

struct OnnxToNNPass : PassWrapper<OnnxToNNPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(OnnxToNNPass)
  OnnxToNNPass() = default;
  explicit OnnxToNNPass(const OnnxToNNOptions &options) : options(options) {}
  OnnxToNNPass(const OnnxToNNPass &other) : PassWrapper(other), options(other.options) {}

  StringRef getArgument() const override { return "onnx-to-nn"; }
  StringRef getDescription() const override { return "Turns ONNX operations into nn primitives with symbolic shapes"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<nn::NNDialect, func::FuncDialect>();
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    OnnxToNNOptions chosen = options;
    if (maxContextOption)
      chosen.maxContext = maxContextOption;
    if (prefillChunkOption)
      chosen.prefillChunk = prefillChunkOption;
    for (StringRef given : maxDimOption) {
      auto [name, number] = given.rsplit('=');
      int64_t largest = 0;
      if (name.empty() || number.getAsInteger(10, largest) || largest <= 0) {
        module.emitError("max-dim: '") << given << "' is not NAME=N with a positive N";
        return signalPassFailure();
      }
      chosen.maxDims[name.str()] = largest;
    }
    SmallVector<func::FuncOp> graphs(module.getOps<func::FuncOp>());
    std::set<std::string> known;
    for (func::FuncOp graph : graphs)
      for (unsigned i = 0; i < graph.getNumArguments(); ++i)
        if (ArrayAttr list = argDims(graph, i))
          for (Attribute attr : list)
            if (auto text = dyn_cast<StringAttr>(attr))
              known.insert(text.getValue().str());
    // A pass option holds for every module of a file; what a user names must be there.
    for (const auto &[name, value] : options.maxDims)
      if (!known.count(name)) {
        std::string names;
        for (const std::string &dim : known)
          names += " '" + dim + "'";
        module.emitError("--max-dim: the model has no dimension '") << name << "'; its dimensions are" << names;
        return signalPassFailure();
      } else if (StringRef(name).contains("batch") && value != options.batch) {
        module.emitError("--max-dim=") << name << "=" << value
                                       << ": this dimension is the number of sequences, which --batch=N says (it is "
                                       << options.batch << ")";
        return signalPassFailure();
      }
    int64_t own = contextFromConfig(module, options.folders);
    if (own && chosen.maxContext > own)
      module.emitWarning("--max-context=")
          << chosen.maxContext << " is more than the " << own << " positions that the model was made for";
    bool decoderSeen = false, encoderSeen = false;
    std::set<Operation *> done;
    for (func::FuncOp graph : graphs) {
      GraphConverter converter(module, graph, chosen);
      for (func::FuncOp other : graphs) {
        GraphConverter later(module, other, chosen);
        if (other == graph || decoderSeen || !converter.begins(later))
          continue;
        if (failed(converter.runBeside(later, graphs.size() > 2 ? "decoder." : "")))
          return signalPassFailure();
        decoderSeen = true;
        done.insert(graph);
        done.insert(other);
        break;
      }
    }
    for (func::FuncOp graph : graphs) {
      if (done.count(graph))
        continue;
      GraphConverter converter(module, graph, chosen);
      std::string prefix;
      if (graphs.size() > 1) {
        bool decoder = converter.hasIds() && converter.isDecoder();
        bool &seen = decoder ? decoderSeen : encoderSeen;
        prefix = seen ? graph.getSymName().str() + "." : decoder ? "decoder." : "encoder.";
        seen = true;
      }
      if (failed(converter.run(prefix)))
        return signalPassFailure();
    }
    OpBuilder builder(module.getContext());
    for (func::FuncOp graph : graphs)
      graph.erase();
    for (Operation &op : llvm::make_early_inc_range(module.getBody()->getOperations())) {
      if (op.getName().getStringRef() != "onnx.Weight")
        continue;
      builder.setInsertionPoint(&op);
      auto type = cast<RankedTensorType>(op.getAttrOfType<TypeAttr>("type").getValue());
      Type element = type.getElementType();
      Type own = isa<FloatType>(element) ? Type(builder.getF32Type()) : nnElement(element);
      nn::WeightOp::create(builder, op.getLoc(), op.getAttrOfType<StringAttr>("sym_name"),
                           TypeAttr::get(RankedTensorType::get(type.getShape(), own)), TypeAttr::get(type),
                           op.getAttrOfType<StringAttr>("file"), op.getAttrOfType<IntegerAttr>("offset"),
                           op.getAttrOfType<IntegerAttr>("length"), builder.getArrayAttr({}), builder.getStringAttr(""),
                           ElementsAttr());
      op.erase();
    }
  }

  Option<int64_t> maxContextOption{*this, "max-context", llvm::cl::desc("tokens a cache can hold"), llvm::cl::init(0)};
  Option<int64_t> prefillChunkOption{*this, "prefill-chunk", llvm::cl::desc("most tokens of one prefill call"),
                                     llvm::cl::init(0)};
  ListOption<std::string> maxDimOption{*this, "max-dim",
                                       llvm::cl::desc("largest value of a symbolic dimension, NAME=N")};
  OnnxToNNOptions options;
};

} // namespace

std::unique_ptr<Pass> createOnnxToNNPass(const OnnxToNNOptions &options) {
  return std::make_unique<OnnxToNNPass>(options);
}
std::unique_ptr<Pass> createOnnxToNNPass() { return std::make_unique<OnnxToNNPass>(); }
void registerOnnxToNNPasses() {
  registerPass([] { return createOnnxToNNPass(); });
}

} // namespace ahm
