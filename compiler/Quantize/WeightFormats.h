// Which format a weight takes: the rules of --weights, and what the model itself stores. Private to the pass.
#ifndef AHM_COMPILER_QUANTIZE_WEIGHTFORMATS_H
#define AHM_COMPILER_QUANTIZE_WEIGHTFORMATS_H

#include "dialects/NN/NN.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/GlobPattern.h"
#include <string>
#include <vector>

namespace ahm {

/// Formats of weights of floats by name: auto and the block formats; "int8" is that of integer layers.
bool isWeightFormat(llvm::StringRef name);
/// "auto, mxint16, ...", for messages.
std::string weightFormatNames();

/// "FORMAT" or "FORMAT,PATTERN=FORMAT,..." in any order: the format of all weights (auto where none is given) and, for
/// those whose initializer or node a glob pattern names, another. Of several that match, the last one counts.
class WeightFormats {
public:
  /// False with a reason, which names the part at fault.
  bool parse(llvm::StringRef text, std::string &error);

  llvm::StringRef defaultFormat() const { return standard; }
  bool hasRules() const { return !rules.empty(); }
  /// The rule's format for `weight` in its use by `user`; empty when no rule names it. Remembers what each rule took.
  llvm::StringRef ruleFor(mlir::Operation *user, nn::WeightOp weight);

  /// The first pattern that has named nothing, else empty.
  llvm::StringRef unusedPattern() const;
  /// A line for each rule: which weights took its format.
  std::vector<std::string> report() const;

private:
  struct Rule {
    std::string pattern, format;
    llvm::GlobPattern glob;
    llvm::SetVector<llvm::StringRef> taken;
    bool matched = false; // also where a later rule had the last word
  };
  std::string standard = "auto";
  std::vector<Rule> rules;
};

/// The block format that the model stores `weight` in, with its blocks along the contraction (dimension rank - 2 of a
/// stationary operand, rank - 1 of an embedding table): "mxfp4". Empty when it stores something else.
llvm::StringRef storedFormat(nn::WeightOp weight, int64_t contraction);

} // namespace ahm

#endif
