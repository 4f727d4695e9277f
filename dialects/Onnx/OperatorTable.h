// The table of supported ONNX operators. Its rows come from OnnxOps.td, so that the dialect, the importer's errors and
// the documentation cannot disagree.
#ifndef AHM_DIALECTS_ONNX_OPERATORTABLE_H
#define AHM_DIALECTS_ONNX_OPERATORTABLE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/raw_ostream.h"
#include <string>

namespace ahm::onnx {

/// Opsets of the standard domain that the importer takes.
inline constexpr int kMinOpset = 1;
inline constexpr int kMaxOpset = 24;
/// "No upper limit" for operand and result counts.
inline constexpr int kUnlimited = 1 << 30;

/// One supported operator.
struct OperatorInfo {
  /// "" for ai.onnx, "com.microsoft" for ONNX Runtime's operators.
  llvm::StringRef domain;
  /// The ONNX op_type.
  llvm::StringRef name;
  /// Name of the MLIR operation, e.g. "onnx.MatMul" or "onnx.ms.MatMulNBits".
  llvm::StringRef operation;
  llvm::StringRef summary;
  /// Opsets of `domain` in which the operator is taken, both included.
  int sinceOpset;
  int lastOpset;
  /// Number of inputs (absent ones in the middle counted) and outputs.
  int minInputs;
  int maxInputs;
  int minOutputs;
  int maxOutputs;
  /// Names of the allowed attributes, in the order of the definition. The graphs of If are regions, not attributes.
  llvm::ArrayRef<llvm::StringRef> attributes;
};

/// All supported operators, sorted by domain, then name.
llvm::ArrayRef<OperatorInfo> getOperatorTable();

/// The row of an operator, or null. "ai.onnx" means the standard domain. Opsets are the caller's to check.
const OperatorInfo *findOperator(llvm::StringRef domain, llvm::StringRef name);

/// Opsets in which a standard operator takes one of its attributes, both included: all of the operator's own where ONNX
/// never moved it.
struct AttributeOpsets {
  int sinceOpset, lastOpset;
};
AttributeOpsets attributeOpsets(const OperatorInfo &info, llvm::StringRef attribute);

/// The supported operator that a misspelt name or a wrong domain was meant to be, as "domain::name"; empty when none is
/// close enough to be more than a coincidence.
std::string suggestOperator(llvm::StringRef domain, llvm::StringRef name);

/// Prints the table as Markdown, one row an operator; `compiled` says which of them the compiler takes further.
void printOperatorTable(llvm::raw_ostream &os, llvm::function_ref<bool(const OperatorInfo &)> compiled);

} // namespace ahm::onnx

#endif // AHM_DIALECTS_ONNX_OPERATORTABLE_H
