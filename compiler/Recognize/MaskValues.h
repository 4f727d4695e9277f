// Tensors of masks as forms of their own indices and the run-time values: the abstract values that prove what a mask
// means.
#ifndef AHM_COMPILER_RECOGNIZE_MASKVALUES_H
#define AHM_COMPILER_RECOGNIZE_MASKVALUES_H

#include "mlir/IR/AffineExpr.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"

#include <optional>

namespace ahm::recognize {

/// sum coefficients[d] * index[d] + offset.
struct LinearForm {
  llvm::SmallVector<int64_t> coefficients;
  mlir::AffineExpr offset;
};

/// An integer linear form (`integer`), or `below` where every form is <= 0 and `above` elsewhere (no forms: always
/// `below`).
struct MaskValue {
  bool integer = false;
  LinearForm form;
  llvm::SmallVector<LinearForm, 2> forms;
  double below = 0, above = 0;
  bool isConstant() const { return !integer && forms.empty(); }
  void forEach(llvm::function_ref<void(LinearForm &)> change) {
    if (integer)
      change(form);
    else
      for (LinearForm &each : forms)
        change(each);
  }
};

/// Numbers below this hide a key: exp of it next to any real score is zero in float.
constexpr double kHidden = -1e4;

/// The abstract value of `value`; empty when it is none. A function argument with nn.role "mask" counts as all ones.
std::optional<MaskValue> evaluateMask(mlir::Value value, unsigned symbols);

} // namespace ahm::recognize

#endif
