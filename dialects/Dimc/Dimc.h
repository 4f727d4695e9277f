// The dimc dialect's C++ face: regions, entries and commands. See DimcOps.td.
#ifndef AHM_DIALECTS_DIMC_DIMC_H
#define AHM_DIALECTS_DIMC_DIMC_H

#include "dialects/Hmem/Hmem.h"

#include "dialects/Dimc/DimcDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Dimc/DimcAttrs.h.inc"
#define GET_OP_CLASSES
#include "dialects/Dimc/DimcOps.h.inc"

#endif // AHM_DIALECTS_DIMC_DIMC_H
