// Entry points of the importer: files and buffers in, a verified module out.
#include "compiler/Import/Import.h"
#include "compiler/Import/GraphImporter.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace ahm;
using namespace ahm::detail;

/// A function name from a file's stem: letters, digits and underscores, not starting with a digit.
static std::string sanitize(StringRef stem) {
  std::string name;
  for (char c : stem)
    name += llvm::isAlnum(c) || c == '_' ? c : '_';
  if (name.empty() || llvm::isDigit(name.front()))
    name.insert(name.begin(), '_');
  return name;
}

static OwningOpRef<ModuleOp> makeModule(MLIRContext &context) {
  context.loadDialect<onnx::OnnxDialect, func::FuncDialect>();
  return ModuleOp::create(UnknownLoc::get(&context));
}

static LogicalResult importModel(ModuleOp module, const uint8_t *data, uint64_t size, StringRef path,
                                 llvm::StringSet<> &symbols, bool prefixWeights, const ImportOptions &options) {
  onnxfile::Model model;
  std::string why;
  if (!onnxfile::readModel(data, size, model, why))
    return emitError(UnknownLoc::get(module.getContext())) << path << " is no readable ONNX model: " << why;
  std::string stem = sanitize(llvm::sys::path::stem(path));
  std::string name = stem;
  for (unsigned n = 2; !symbols.insert(name).second; ++n)
    name = stem + "_" + std::to_string(n);
  TensorImporter tensors(module.getContext(), data, path.str(), options);
  GraphImporter importer(module, model, tensors, path.str(), symbols, prefixWeights ? name + "::" : "");
  return importer.import(name);
}

static OwningOpRef<ModuleOp> finish(OwningOpRef<ModuleOp> module) {
  if (failed(verify(*module)))
    return nullptr;
  return module;
}

OwningOpRef<ModuleOp> ahm::importOnnx(MLIRContext &context, llvm::ArrayRef<std::string> paths,
                                      const ImportOptions &options) {
  OwningOpRef<ModuleOp> module = makeModule(context);
  llvm::StringSet<> symbols;
  for (const std::string &path : paths) {
    onnxfile::MappedFile mapped;
    std::string why;
    if (!mapped.open(path, why)) {
      emitError(UnknownLoc::get(&context)) << "can't read " << path << ": " << why;
      return nullptr;
    }
    if (failed(importModel(*module, mapped.data(), mapped.size(), path, symbols, paths.size() > 1, options)))
      return nullptr;
  }
  return finish(std::move(module));
}

OwningOpRef<ModuleOp> ahm::importOnnxBuffer(MLIRContext &context, llvm::StringRef bytes, llvm::StringRef name,
                                            const ImportOptions &options) {
  OwningOpRef<ModuleOp> module = makeModule(context);
  llvm::StringSet<> symbols;
  if (failed(importModel(*module, reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size(), name, symbols,
                         /*prefixWeights=*/false, options)))
    return nullptr;
  return finish(std::move(module));
}
