// Where the pages that a call completes move to their homes ("CacheSeal"): part of hmem-schedule, once the transfers
// have their places.
//
// What commands share is granted in program order, so a seal that waits in the dma queue behind a long transfer keeps
// the stash from everything behind it. Each therefore stands where the queue is free: right behind the last reader of
// its cache when what the queue moved before has been read by then; otherwise behind the first command that reads the
// last transfer, or before the next transfer where that comes first.
#ifndef AHM_COMPILER_SCHEDULE_PLACESEALS_H
#define AHM_COMPILER_SCHEDULE_PLACESEALS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace ahm {

void placeSeals(mlir::func::FuncOp function);

} // namespace ahm

#endif
