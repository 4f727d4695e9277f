// Registration of AHM's dialects and passes.
#include "compiler/Pipeline/Register.h"

#include "compiler/Batch/Batch.h"
#include "compiler/Emit/Emit.h"
#include "compiler/HmemToDimc/HmemToDimc.h"
#include "compiler/OnnxToNN/OnnxToNN.h"
#include "compiler/Place/Place.h"
#include "compiler/Quantize/Quantize.h"
#include "compiler/Recognize/Recognize.h"
#include "compiler/Schedule/Schedule.h"
#include "compiler/Shard/Shard.h"
#include "compiler/Tile/Tile.h"
#include "dialects/Dimc/Dimc.h"
#include "dialects/Hmem/Hmem.h"
#include "dialects/NN/NN.h"
#include "dialects/Onnx/Onnx.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Transforms/Passes.h"

namespace ahm {

void registerDialects(mlir::DialectRegistry &registry) {
  registry.insert<onnx::OnnxDialect, nn::NNDialect, hmem::HmemDialect, dimc::DimcDialect, mlir::func::FuncDialect>();
}

void registerPasses() {
  registerOnnxToNNPasses();
  registerRecognizePasses();
  registerBatchPasses();
  registerQuantizePasses();
  registerShardPasses();
  registerTilePasses();
  registerPlacePasses();
  registerSchedulePasses();
  registerHmemToDimcPasses();
  registerEmitPasses();
  mlir::registerTransformsPasses();
}

} // namespace ahm
