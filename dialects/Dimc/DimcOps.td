// The dimc dialect: the card's commands with their waits, operands as regions of tiers. What Emit writes, one to one.
#ifndef AHM_DIMC_OPS
#define AHM_DIMC_OPS

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/SymbolInterfaces.td"

def Dimc_Dialect : Dialect {
  let name = "dimc";
  let cppNamespace = "::ahm::dimc";
  let summary = "Commands of the card on regions of its memories";
  let description = [{
    Each queue (host, dma, gemm, vector) runs its commands in program order; across queues a command awaits those it names.
    Weights and caches stay the module's hmem symbols; their regions are named after them.
  }];
  let useDefaultAttributePrinterParser = 1;
}

def Dimc_OperandAttr : AttrDef<Dimc_Dialect, "Operand"> {
  let mnemonic = "operand";
  let summary = "A typed view of a region; maps are over the entry's run-time values";
  let parameters = (ins "::mlir::StringAttr":$dtype, "::mlir::FlatSymbolRefAttr":$region, "::mlir::AffineMapAttr":$dims,
      OptionalParameter<"::mlir::AffineMapAttr">:$offset);
  let assemblyFormat = "`<` $dtype `,` $region `,` $dims (`,` $offset^)? `>`";
}

// I64Attr reads as unsigned; sizes and offsets are checked for sign here.
def Dimc_Int : TypedSignlessIntegerAttrBase<I64, "int64_t", "64-bit signless integer attribute">;

class Dimc_Op<string mnemonic, list<Trait> traits = []> : Op<Dimc_Dialect, mnemonic, traits>;

def Dimc_RegionOp : Dimc_Op<"region", [Symbol]> {
  let summary = "A reserved range of a tier, as program::Region";
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$owner, StrAttr:$tier, StrAttr:$lifetime, Dimc_Int:$first_unit,
      Dimc_Int:$unit_count, Dimc_Int:$offset, Dimc_Int:$bytes, UnitAttr:$persistent, DefaultValuedAttr<Dimc_Int, "0">:$alias_group);
  let assemblyFormat = "$sym_name $owner $tier $lifetime `units` $first_unit $unit_count `at` $offset `size` $bytes attr-dict";
  let hasVerifier = 1;
}

def Dimc_EntryOp : Dimc_Op<"entry", [Symbol, NoTerminator, SingleBlock]> {
  let summary = "An entry point: its commands in program order";
  let description = [{ `values`: the run-time values its maps refer to. `bindings`: dictionaries {direction, name, dtype, role, operand}.
    `needs`: staging regions whose bytes an earlier call has left there; `leaves`: those that hold theirs when the entry is done. }];
  let arguments = (ins SymbolNameAttr:$sym_name, ArrayAttr:$values, ArrayAttr:$bindings,
      DefaultValuedAttr<Dimc_Int, "0">:$macs, OptionalAttr<FlatSymbolRefArrayAttr>:$needs,
      OptionalAttr<FlatSymbolRefArrayAttr>:$leaves);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$sym_name `values` $values `bindings` $bindings attr-dict-with-keyword $body";
  let hasRegionVerifier = 1;
}

def Dimc_CommandOp : Dimc_Op<"command", [HasParent<"EntryOp">, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "One command; `waits` are indices of earlier commands of the entry";
  let arguments = (ins StrAttr:$opcode, StrAttr:$queue, ArrayAttr:$ins, ArrayAttr:$outs,
      DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$ints, DefaultValuedAttr<DenseF32ArrayAttr, "{}">:$floats,
      DefaultValuedAttr<ArrayAttr, "{}">:$exprs, OptionalAttr<AffineMapAttr>:$repeat, DenseI64ArrayAttr:$waits);
  let assemblyFormat = "$opcode `queue` $queue `ins` $ins `outs` $outs `waits` $waits attr-dict";
  let hasVerifier = 1;
}

#endif
