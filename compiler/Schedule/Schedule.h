// Schedule: after Place has chosen what is resident, inserts an `hmem.transfer` for every use of a streamed weight, as
// early as the ring allows: slot i mod N is refilled right after the last command that read what stood in it. The
// reading command awaits the transfer's token. The first ones stand behind what
// reads DRAM in place at the beginning. A weight that still stands in its slot is not moved again within one
// function.
//
// Where hmem.ring says `on_demand`, a demand cache is what is wanted: the transfer stands right before the command that
// reads it and awaits, through HmemToDimc, what comes before.
//
// Pages of a cache ("CacheFetch", see CachePages.h) are hoisted in the same way, to where their staging slot is free, and
// experts ("ExpertFetch") to where their set of slots is free and it is known which are chosen. What a call's appends
// complete moves to its home where the dma queue is free (PlaceSeals.h).
//
// The transfer's position is also its place in the dma queue; that it does not overwrite a slot in use is made a wait
// by HmemToDimc, from the addresses.
#ifndef AHM_COMPILER_SCHEDULE_SCHEDULE_H
#define AHM_COMPILER_SCHEDULE_SCHEDULE_H

#include "dialects/Hmem/Hmem.h"
#include "mlir/Pass/Pass.h"
#include <memory>

namespace ahm {

/// Argument "hmem-schedule".
std::unique_ptr<mlir::Pass> createSchedulePass();
void registerSchedulePasses();

} // namespace ahm

#endif
