// The steps of recognition, internal to compiler/Recognize.
#ifndef AHM_COMPILER_RECOGNIZE_PATTERNS_H
#define AHM_COMPILER_RECOGNIZE_PATTERNS_H

#include "compiler/Recognize/Recognize.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/PatternMatch.h"

namespace ahm::recognize {

class StackedWeights;
class WeightFolder;

/// Greedy patterns, one family each.
void addNormPatterns(mlir::RewritePatternSet &patterns);
void addActivationPatterns(mlir::RewritePatternSet &patterns);
void addRotaryPatterns(mlir::RewritePatternSet &patterns);
void addLinearPatterns(mlir::RewritePatternSet &patterns, WeightFolder &folder);
void addExpertPatterns(mlir::RewritePatternSet &patterns, WeightFolder &folder);
/// Experts that all compute every token, summed by routing weights, become products by the chosen experts.
void recogniseMixtures(mlir::func::FuncOp function);
/// The same of experts that have weights of their own, which are stacked.
void recogniseSeparateMixtures(mlir::func::FuncOp function, StackedWeights &weights);
/// Batched products by weights that are no mixture of experts.
void addHeadProductPatterns(mlir::RewritePatternSet &patterns, WeightFolder &folder);
void addConvPatterns(mlir::RewritePatternSet &patterns, WeightFolder &folder);

/// Attention over [heads, tokens, size] gets its fourth dimension.
void addFlatHeadPatterns(mlir::RewritePatternSet &patterns);

/// Exact simplifications that bring structure to light.
void addSimplifications(mlir::RewritePatternSet &patterns);

/// What is left of integer products becomes exact float products, or sums of products where the length is a run-time
/// value.
void lowerIntegerProducts(mlir::func::FuncOp function);

/// Past/present pairs become nn.cache symbols and nn.cache_append.
mlir::LogicalResult recogniseCaches(mlir::ModuleOp module, const RecognizeOptions &options);

/// Two caches that are parts of the same rows (a latent and a rotated part) become one.
mlir::LogicalResult joinLatentCaches(mlir::ModuleOp module, const RecognizeOptions &options);

/// softmax(QK)V over cached keys and values becomes nn.attention.
mlir::LogicalResult recogniseAttention(mlir::func::FuncOp function, const RecognizeOptions &options);

/// An encoder's keys and values that the decoder takes with every call stay on the card between its calls.
void keepCrossCaches(mlir::ModuleOp module);

/// The last row's logits, next_ids, dead code and unused arguments.
mlir::LogicalResult finishOutputs(mlir::ModuleOp module, const RecognizeOptions &options);

/// Removes entries of nn.values that no shape and no position of the function uses, and renumbers the others.
void dropUnusedValues(mlir::func::FuncOp function);

} // namespace ahm::recognize

#endif
