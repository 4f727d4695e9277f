// The hmem dialect: what lives where and when. Weights and caches are module-level symbols, activations are allocations
// in a tier, commands are `hmem.exec` on typed views, and weights that do not stay in SRAM arrive by `hmem.transfer`.
//
// Tile creates it without addresses, Place adds residency and addresses, Schedule adds the transfers.
#ifndef AHM_HMEM_OPS
#define AHM_HMEM_OPS

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Hmem_Dialect : Dialect {
  let name = "hmem";
  let cppNamespace = "::ahm::hmem";
  let summary = "Memory placement: tiers, residency, transfers and lifetimes";
  let description = [{
    Tiers are `sram` (beside the arrays), `stash` (activations, caches), `dram` and `host`; `#hmem.tier<stash>` is usable as the
    memory space of any memref. Buffers are byte memrefs of their largest size; what a command reads is stated by
    `#hmem.view`, whose dims are an affine map from the function's run-time values (`nn.values`) to the logical shape.
    The module attribute `hmem.ring` = {slots, slot_bytes, sram_offset} describes the staging ring of streamed weights
    (`on_demand`: a transfer waits until its product is next; `cyclic`: calls find slots filled and leave them so),
    `hmem.expert_ring` = {sets, set_bytes, sram_offset} the sets of slots that fetched experts share, `hmem.expert_tables` their places,
    `hmem.kv_ring` = {slots, slot_bytes, sram_offset, pages, chiplet_cores} that of cache pages (`pages` a slot).
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
}

def Hmem_Tier : I32EnumAttr<"Tier", "memory tier", [
    I32EnumAttrCase<"Sram", 0, "sram">, I32EnumAttrCase<"Stash", 1, "stash">, I32EnumAttrCase<"Dram", 2, "dram">,
    I32EnumAttrCase<"Host", 3, "host">]> {
  let cppNamespace = "::ahm::hmem";
  let genSpecializedAttr = 0;
}
def Hmem_LifetimeClass : I32EnumAttr<"LifetimeClass", "lifetime class", [
    I32EnumAttrCase<"Weight", 0, "weight">, I32EnumAttrCase<"Kv", 1, "kv">, I32EnumAttrCase<"Activation", 2, "activation">,
    I32EnumAttrCase<"Staging", 3, "staging">, I32EnumAttrCase<"Io", 4, "io">]> {
  let cppNamespace = "::ahm::hmem";
  let genSpecializedAttr = 0;
}
def Hmem_TierAttr : EnumAttr<Hmem_Dialect, Hmem_Tier, "tier"> { let assemblyFormat = "`<` $value `>`"; }
def Hmem_LifetimeClassAttr : EnumAttr<Hmem_Dialect, Hmem_LifetimeClass, "lifetime"> { let assemblyFormat = "`<` $value `>`"; }

def Hmem_ViewAttr : AttrDef<Hmem_Dialect, "View"> {
  let mnemonic = "view";
  let summary = "A typed view of a buffer operand (its index) or of a weight or cache (its symbol)";
  let description = [{
    `dtype`: f32 i32 i8 u8 bool bf16 mx_rows4 mx_rows8 mx_rows16 tiles_mx4 tiles_mx8 tiles_mx16 tiles_int8 tiles_fp4 tiles_fp6
    tiles_fp8. `dims`: the logical shape.
    `offset`: bytes from the start, 0 when absent. `part`: which home of a cache in pages: "sram", "dram", or "slotN" of the
    staging ring; absent: what stands in the stash. Of a weight: "dram" for its home, wherever else it stands, "setN" for the slots of
    fetched experts.
  }];
  let parameters = (ins "::mlir::StringAttr":$dtype, "::mlir::Attribute":$target, "::mlir::AffineMapAttr":$dims,
      OptionalParameter<"::mlir::AffineMapAttr">:$offset, OptionalParameter<"::mlir::StringAttr">:$part);
  let builders = [AttrBuilder<(ins "::mlir::StringAttr":$dtype, "::mlir::Attribute":$target, "::mlir::AffineMapAttr":$dims,
      "::mlir::AffineMapAttr":$offset), [{ return $_get($_ctxt, dtype, target, dims, offset, ::mlir::StringAttr()); }]>];
  let assemblyFormat = "`<` $dtype `,` $target `,` $dims (`,` $offset^)? (`part` $part^)? `>`";
}
def Hmem_Token : TypeDef<Hmem_Dialect, "Token"> {
  let mnemonic = "token";
  let summary = "The arrival of a transfer";
}

// I64Attr reads as unsigned; sizes and offsets are checked for sign here.
def Hmem_Int : TypedSignlessIntegerAttrBase<I64, "int64_t", "64-bit signless integer attribute">;

class Hmem_Op<string mnemonic, list<Trait> traits = []> : Op<Hmem_Dialect, mnemonic, traits>;

def Hmem_WeightOp : Hmem_Op<"weight", [Symbol]> {
  let summary = "One placeable object of weight bytes: a column chunk of a stationary operand, a vector or a table";
  let description = [{
    `kind`: "tiles" (stationary operand in the normative tile layout: `type` is the whole [K,N] after the recipe, this chunk is columns
    [first_column, first_column+columns); of experts the whole is [E,K,N] and the chunk those columns of each expert, as E equal runs of whole
    tiles one behind the other), "vector" (dense, copied to the stash by `load`), "table" (stays in DRAM; dense, or with another format than "dense" in tiles like a stationary
    operand, of which columns are gathered).
    Source, recipe and format are the nn weight's; `value` holds a constant's elements instead of a source.
    `tiles` tiles of `tile_bytes` are dealt round robin over `cores_count` consecutive cores. `bytes` is the size in the
    weights file. Place sets `residency` ("resident", "streamed"), `cores_first`, `sram_offset` (resident), `ring_slot`
    (streamed, optional), `dram_chiplet`, `dram_chiplets`, `dram_offset`, and for vectors `stash_offset`.
    Of experts a weight may hold some, `held` in the order of their runs, and be "fetched": chosen ones move to slots; its tiles are
    then dealt as runtime/program/ExpertPlaces.h says, padding counted among `tiles`.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$kind, TypeAttr:$type, TypeAttr:$source_type, StrAttr:$file,
      Hmem_Int:$offset, Hmem_Int:$length, ArrayAttr:$recipe, StrAttr:$format, Hmem_Int:$bytes,
      DefaultValuedAttr<Hmem_Int, "0">:$first_column, DefaultValuedAttr<Hmem_Int, "0">:$columns,
      DefaultValuedAttr<Hmem_Int, "0">:$tiles, DefaultValuedAttr<Hmem_Int, "0">:$tile_bytes,
      DefaultValuedAttr<Hmem_Int, "0">:$cores_count, DefaultValuedAttr<Hmem_Int, "0">:$macs,
      OptionalAttr<ElementsAttr>:$value, OptionalAttr<StrAttr>:$residency, OptionalAttr<Hmem_Int>:$cores_first,
      OptionalAttr<Hmem_Int>:$sram_offset, OptionalAttr<Hmem_Int>:$ring_slot, OptionalAttr<Hmem_Int>:$dram_chiplet,
      OptionalAttr<Hmem_Int>:$dram_chiplets, OptionalAttr<Hmem_Int>:$dram_offset, OptionalAttr<Hmem_Int>:$stash_offset,
      OptionalAttr<DenseI64ArrayAttr>:$held);
  let assemblyFormat = "$sym_name $kind `:` $type `from` $source_type `in` $file `at` $offset `size` $length `recipe` $recipe `format` $format `bytes` $bytes attr-dict";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    bool isTiles() { return getKind() == "tiles"; }
    /// Tiles, or a table that is stored like them.
    bool isTiled() { return isTiles() || (getKind() == "table" && getFormat() != "dense"); }
    /// Of tiles: [experts, K, N], or [K, N] of one; those that are held.
    int64_t getExperts() {
      if (auto held = getHeld())
        return held->size();
      auto type = ::llvm::cast<::mlir::RankedTensorType>(getType());
      return type.getRank() == 3 ? type.getDimSize(0) : 1;
    }
    int64_t getContraction() {
      auto type = ::llvm::cast<::mlir::RankedTensorType>(getType());
      return type.getDimSize(type.getRank() - 2);
    }
    /// Columns of the chunk as a view of its tiles has them: those of each expert fill whole tiles.
    int64_t getTileColumns() {
      int64_t width = findTileShape(getFormat())->columns;
      if (isFetched()) // a list of tiles
        return getTiles() * width;
      return getExperts() == 1 ? getColumns() : getExperts() * ((getColumns() + width - 1) / width * width);
    }
    bool isVector() { return getKind() == "vector"; }
    int64_t getTileRows() { return isFetched() ? 64 : getContraction(); }
    /// Tiles of one expert, without padding.
    int64_t getTilesOfExpert() {
      int64_t width = findTileShape(getFormat())->columns;
      return (getContraction() + 63) / 64 * ((getColumns() + width - 1) / width);
    }
    bool isFetched() { return getResidency() && *getResidency() == "fetched"; }
    bool isStreamed() { return getResidency() && *getResidency() == "streamed"; }
    /// ceil(tiles / cores) * tile_bytes: what it takes of each core's SRAM.
    int64_t getLocalBytes() {
      return getCoresCount() ? (getTiles() + getCoresCount() - 1) / getCoresCount() * getTileBytes() : 0;
    }
  }];
}

def Hmem_CacheOp : Hmem_Op<"cache", [Symbol]> {
  let summary = "A KV cache for `slots` sequences of up to `capacity` tokens";
  let description = [{
    Flat (`open_pages` 0): [slots][heads][capacity][row of head_dim] in the stash. In pages of 64 tokens, as Place decides
    (runtime/program/KvPages.h): a ring of `open_pages` in the stash, and places for complete pages: `sram_pages` of them in SRAM,
    dealt over `cores_count` cores from `cores_first`, `dram_pages` in the DRAM of `dram_chiplets` chiplets. `bytes`: all tokens, one sequence.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, Hmem_Int:$heads, Hmem_Int:$head_dim, Hmem_Int:$capacity, StrAttr:$format,
      Hmem_Int:$bytes, UnitAttr:$cross, OptionalAttr<Hmem_Int>:$stash_offset, DefaultValuedAttr<Hmem_Int, "1">:$slots,
      DefaultValuedAttr<Hmem_Int, "0">:$open_pages, DefaultValuedAttr<Hmem_Int, "0">:$sram_pages,
      DefaultValuedAttr<Hmem_Int, "0">:$dram_pages, OptionalAttr<Hmem_Int>:$cores_first, OptionalAttr<Hmem_Int>:$cores_count,
      OptionalAttr<Hmem_Int>:$sram_offset, OptionalAttr<Hmem_Int>:$dram_chiplet, OptionalAttr<Hmem_Int>:$dram_chiplets,
      OptionalAttr<Hmem_Int>:$dram_offset);
  let assemblyFormat = "$sym_name `heads` $heads `head_dim` $head_dim `capacity` $capacity `format` $format `bytes` $bytes attr-dict";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    bool isPaged() { return getOpenPages() > 0; }
    int64_t getHomePages() { return getSramPages() + getDramPages(); }
    /// One head's part of a page.
    int64_t getBlockBytes();
    /// In the stash; on each core; on each chiplet: all sequences.
    int64_t getStashBytes();
    int64_t getSramLocalBytes();
    int64_t getDramLocalBytes();
  }];
}

def Hmem_AllocOp : Hmem_Op<"alloc", [MemoryEffects<[MemAlloc]>]> {
  let summary = "A buffer of the type's bytes (its largest size) in the type's tier: stash or host";
  let description = [{ `offset` is set by Place. Host buffers carry `binding` = {direction = "input"|"output", name, dtype, role,
    view}: what the session feeds or reads there. }];
  let arguments = (ins StrAttr:$name, Hmem_LifetimeClassAttr:$lifetime, OptionalAttr<DictionaryAttr>:$binding,
      OptionalAttr<Hmem_Int>:$offset);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = "$name $lifetime attr-dict `:` type($result)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    int64_t getBytes() { return ::llvm::cast<::mlir::MemRefType>(getResult().getType()).getDimSize(0); }
    Tier getTier() { return ::llvm::cast<TierAttr>(::llvm::cast<::mlir::MemRefType>(getResult().getType()).getMemorySpace()).getValue(); }
  }];
}

def Hmem_ExecOp : Hmem_Op<"exec", [AttrSizedOperandSegments, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "One command of the card (opcodes of runtime/program/Opcodes.h) on views of buffers, weights and caches";
  let description = [{ A view's target is an index into `buffers` or a symbol. `tokens`: transfers awaited. `exprs`: affine maps with one
    result each. `repeat`: how often the command runs, once a row with the row's values; absent: once. }];
  let arguments = (ins StrAttr:$opcode, Variadic<AnyMemRef>:$buffers, Variadic<Hmem_Token>:$tokens, ArrayAttr:$ins, ArrayAttr:$outs,
      DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$ints, DefaultValuedAttr<DenseF32ArrayAttr, "{}">:$floats,
      DefaultValuedAttr<ArrayAttr, "{}">:$exprs, OptionalAttr<AffineMapAttr>:$repeat);
  let assemblyFormat = [{$opcode (`(` $buffers^ `:` type($buffers) `)`)? (`tokens` `(` $tokens^ `)`)? `ins` $ins `outs` $outs
    attr-dict}];
  let hasVerifier = 1;
}

def Hmem_TransferOp : Hmem_Op<"transfer", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Starts moving a streamed weight from its DRAM home to a slot of the ring; the token is its arrival";
  let description = [{
    In a cyclic ring (`cyclic` in `hmem.ring`) a call finds in its slots what an earlier one has moved: a transfer with `earlier_call` gives that
    arrival and is no command of the function. One with `next_call` fills a slot again for the call to come.
  }];
  let arguments = (ins FlatSymbolRefAttr:$weight, Hmem_Int:$slot);
  let results = (outs Hmem_Token:$token);
  let assemblyFormat = "$weight `slot` $slot attr-dict";
}

#endif
