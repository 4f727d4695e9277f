// The nn dialect: what a transformer means, on tensors.
//
// Every dynamic tensor type carries an affine map as its encoding, from the function's run-time values (symbols, in the
// order of the func.func attribute `nn.values`) to its shape: tensor<1x?x288xf32, affine_map<()[s0] -> (1, s0 floordiv 2, 288)>>.
// Element types are f32, i32, i8, ui8 and i1 (int64 of models becomes i32, range-checked when the program is fed).
#ifndef AHM_NN_OPS
#define AHM_NN_OPS

include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def NN_Dialect : Dialect {
  let name = "nn";
  let cppNamespace = "::ahm::nn";
  let summary = "What a transformer means, on tensors with symbolic shapes";
  let description = [{
    Linear layers, attention over typed KV caches, norms, rotary embedding and the element-wise, reduction and shape
    operations that decompose everything else. Weights and caches are module-level symbols.
  }];
  let hasConstantMaterializer = 0;
}

class NN_Op<string mnemonic, list<Trait> traits = []> : Op<NN_Dialect, mnemonic, traits>;
class NN_PureOp<string mnemonic, list<Trait> traits = []> : NN_Op<mnemonic, !listconcat([Pure], traits)>;

//===-- Module-level symbols ----------------------------------------------------------------------------------------===//

def NN_WeightOp : NN_Op<"weight", [Symbol]> {
  let summary = "A weight: type, source and a lazy recipe";
  let description = [{
    `source_type` is the stored type; `file` (relative or absolute path), `offset` and `length` say where the bytes stand;
    an empty file means the bytes are absent (timing only). `recipe` lists steps executed by Emit, in order, each an
    array: ["transpose", p0, p1, ...], ["reshape", d0, ...], ["affine_dequant", scale, zero_point] (f32 = (q-zp)*scale rounded
    once per operation as the model's own graph: cast, mul, add), ["mul", scalar], ["add", scalar], ["cast", "f32"],
    ["slice", axis, begin, end]; of quantised weights also
    ["unpack", bits, d0, d1, ...] (the bytes are unsigned integers of so many bits, low ones first, of this shape) and
    ["block_dequant", {axis, block, zero, scales = SOURCE, zeros = SOURCE} ] (element at index i along `axis`:
    (q - zero point i/block) * scale i/block; only ahead of steps that move elements). A SOURCE is a dictionary {type, file, offset,
    length} or {value}; `zeros` may be absent: then all are `zero`; scales and zeros of `axis` -1 have one element.
    The only step of a recipe may be ["stack", PART, PART, ...]: the weight [E, ..] consists of E tensors, each a SOURCE whose dictionary also has
    its own `recipe` (experts that a model stores one by one); the weight's own source is then absent.
    `value`, where present, stands for the source's bytes. `type` is the logical type after the recipe. `format` is set by Quantize: "f32", "int8",
    "mxint8", "mxint16", "mxint4", "mxfp8", "mxfp6", "mxfp4" and is empty before.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$type, TypeAttr:$source_type, StrAttr:$file,
      I64Attr:$offset, I64Attr:$length, ArrayAttr:$recipe, DefaultValuedStrAttr<StrAttr, "">:$format, OptionalAttr<ElementsAttr>:$value);
  let assemblyFormat = "$sym_name `:` $type `from` $source_type `in` $file `at` $offset `size` $length `recipe` $recipe attr-dict";
  let hasVerifier = 1;
}

def NN_CacheOp : NN_Op<"cache", [Symbol]> {
  let summary = "Typed KV-cache state: [heads][capacity tokens][head_dim], appended in place";
  let description = [{ `slots` sequences stand beside each other: [slots][heads][capacity tokens][head_dim]. `past_input` and `present_output` name the model's tensors that this state replaces. `format` is
    set by Quantize ("bf16", "mxint16", "mxint8", "mxint4"). `cross` marks a cache that is written once a sequence (encoder keys/values). }];
  let arguments = (ins SymbolNameAttr:$sym_name, I64Attr:$heads, I64Attr:$head_dim, I64Attr:$capacity,
      DefaultValuedAttr<I64Attr, "1">:$slots, DefaultValuedStrAttr<StrAttr, "">:$format, DefaultValuedStrAttr<StrAttr, "">:$past_input,
      DefaultValuedStrAttr<StrAttr, "">:$present_output, UnitAttr:$cross);
  let assemblyFormat = "$sym_name `heads` $heads `head_dim` $head_dim `capacity` $capacity attr-dict";
  let hasVerifier = 1;
}

def NN_GetWeightOp : NN_PureOp<"get_weight"> {
  let summary = "A weight's value as a tensor operand";
  let arguments = (ins FlatSymbolRefAttr:$weight);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$weight attr-dict `:` type($result)";
}

def NN_ConstantOp : NN_PureOp<"constant", [ConstantLike]> {
  let summary = "A small constant (at most 4096 elements; larger ones are weights)";
  let arguments = (ins ElementsAttr:$value);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$value attr-dict `:` type($result)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

//===-- Element-wise, reductions, shapes ----------------------------------------------------------------------------===//

def NN_UnaryOp : NN_PureOp<"unary"> {
  let summary = "Element-wise: neg abs sqrt rsqrt exp log erf tanh sigmoid reciprocal sin cos floor ceil round sign not gelu_erf gelu_tanh silu relu softplus round_f16 round_bf16";
  let arguments = (ins StrAttr:$kind, AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$kind $input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_BinaryOp : NN_PureOp<"binary"> {
  let summary = "Element-wise with numpy broadcasting: add sub mul div pow min max mod equal less less_or_equal greater greater_or_equal and or xor";
  let arguments = (ins StrAttr:$kind, AnyRankedTensor:$lhs, AnyRankedTensor:$rhs);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$kind $lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)";
  let hasVerifier = 1;
}
def NN_SelectOp : NN_PureOp<"select"> {
  let summary = "condition ? a : b, with numpy broadcasting";
  let arguments = (ins AnyRankedTensor:$condition, AnyRankedTensor:$lhs, AnyRankedTensor:$rhs);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$condition `,` $lhs `,` $rhs attr-dict `:` type($condition) `,` type($lhs) `,` type($rhs) `->` type($result)";
  let hasVerifier = 1;
}
def NN_ReduceOp : NN_PureOp<"reduce"> {
  let summary = "sum mean max min prod over axes (non-negative, ascending); NUMERICS' order of sums";
  let arguments = (ins StrAttr:$kind, AnyRankedTensor:$input, DenseI64ArrayAttr:$axes, BoolAttr:$keepdims);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$kind $input `axes` $axes `keepdims` $keepdims attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_SoftmaxOp : NN_PureOp<"softmax"> {
  let summary = "Softmax over the last dimension";
  let arguments = (ins AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_CastOp : NN_PureOp<"cast"> {
  let arguments = (ins AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_TransposeOp : NN_PureOp<"transpose"> {
  let arguments = (ins AnyRankedTensor:$input, DenseI64ArrayAttr:$perm);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `perm` $perm attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_ReshapeOp : NN_PureOp<"reshape"> {
  let summary = "Same elements in row-major order, the shape of the result type";
  let arguments = (ins AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_BroadcastOp : NN_PureOp<"broadcast"> {
  let arguments = (ins AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_SliceOp : NN_PureOp<"slice"> {
  let summary = "starts: affine map from run-time values to one start a dimension; sizes are the result's";
  let arguments = (ins AnyRankedTensor:$input, AffineMapAttr:$starts, DenseI64ArrayAttr:$steps);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `starts` $starts `steps` $steps attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_ConcatOp : NN_PureOp<"concat"> {
  let arguments = (ins I64Attr:$axis, Variadic<AnyRankedTensor>:$inputs);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "`axis` $axis $inputs attr-dict `:` functional-type($inputs, $result)";
  let hasVerifier = 1;
}
def NN_IotaOp : NN_PureOp<"iota"> {
  let summary = "start, start+step, ... as i32 [N]; start is an affine map with one result";
  let arguments = (ins AffineMapAttr:$start, I64Attr:$step);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$start `step` $step attr-dict `:` type($result)";
  let hasVerifier = 1;
}
def NN_RuntimeOp : NN_PureOp<"runtime"> {
  let summary = "Run-time numbers as an i32 tensor of rank 0 or 1: one element a result of the affine map";
  let arguments = (ins AffineMapAttr:$map);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$map attr-dict `:` type($result)";
}
def NN_GatherOp : NN_PureOp<"gather"> {
  let summary = "Rows of `table` along `axis` picked by i32 indices (an embedding when the table is a weight)";
  let arguments = (ins AnyRankedTensor:$table, AnyRankedTensor:$indices, I64Attr:$axis);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$table `[` $indices `]` `axis` $axis attr-dict `:` type($table) `,` type($indices) `->` type($result)";
  let hasVerifier = 1;
}
def NN_EmbeddingOp : NN_PureOp<"embedding"> {
  let summary = "Rows of the weight [V,H] picked by i32 ids, from blocks: the ids' shape, then H";
  let description = [{ Put in by Quantize for a gather of rows of a weight that is stored like a stationary operand [H,V]. }];
  let arguments = (ins FlatSymbolRefAttr:$weight, AnyRankedTensor:$ids);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$weight `[` $ids `]` attr-dict `:` type($ids) `->` type($result)";
  let hasVerifier = 1;
}
def NN_ArgMaxOp : NN_PureOp<"argmax"> {
  let summary = "Index of the largest element of the last dimension, i32, lowest on a tie; the last dimension is dropped";
  let arguments = (ins AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def NN_TopKOp : NN_PureOp<"topk"> {
  let summary = "The k largest (or smallest) elements of the last dimension in order, and their positions (i32); lowest position first on a tie";
  let arguments = (ins AnyRankedTensor:$input, BoolAttr:$largest);
  let results = (outs AnyRankedTensor:$values, AnyRankedTensor:$indices);
  let assemblyFormat = "$input `largest` $largest attr-dict `:` type($input) `->` type($values) `,` type($indices)";
  let hasVerifier = 1;
}
def NN_CumSumOp : NN_PureOp<"cumsum"> {
  let summary = "Running sum along the last dimension; exclusive: without the element itself; reverse: from the end";
  let arguments = (ins AnyRankedTensor:$input, BoolAttr:$exclusive, BoolAttr:$reverse);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `exclusive` $exclusive `reverse` $reverse attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_ScatterOp : NN_PureOp<"scatter"> {
  let summary = "data[P,R] with row indices[i] replaced by (or combined with: add mul min max) row i of updates[N,R], in order";
  let arguments = (ins StrAttr:$kind, AnyRankedTensor:$data, AnyRankedTensor:$indices, AnyRankedTensor:$updates);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{$kind $data `[` $indices `]` `=` $updates attr-dict `:` type($data) `,` type($indices) `,` type($updates)
    `->` type($result)}];
  let hasVerifier = 1;
}

//===-- Products ----------------------------------------------------------------------------------------------------===//

def NN_MatMulOp : NN_PureOp<"matmul"> {
  let summary = "Batched product of two run-time tensors, numpy matmul semantics; runs in mxint16";
  let arguments = (ins AnyRankedTensor:$lhs, AnyRankedTensor:$rhs);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)";
  let hasVerifier = 1;
}
def NN_LinearOp : NN_PureOp<"linear"> {
  let summary = "x[..,K] times weight[K,N] plus optional bias[N]";
  let arguments = (ins AnyRankedTensor:$input, FlatSymbolRefAttr:$weight, Optional<AnyRankedTensor>:$bias,
      DefaultValuedStrAttr<StrAttr, "">:$activations);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `,` $weight (`bias` $bias^ `:` type($bias))? attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_ExpertMatMulOp : NN_PureOp<"expert_matmul"> {
  let summary = "Rows times the weights of experts that a run-time value chooses: y[t,j] = x[t] (or x[t,j]) times weight[ids[t,j]]";
  let description = [{ x [T..,K] or [T..,k,K], ids i32 [T..,k], weight [E,K,N], y [T..,k,N]. The ids of one token differ. Recognition makes it
    nn.expert_linear where the weight is stored. }];
  let arguments = (ins AnyRankedTensor:$input, AnyRankedTensor:$ids, AnyRankedTensor:$weight);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `[` $ids `]` `,` $weight attr-dict `:` type($input) `,` type($ids) `,` type($weight) `->` type($result)";
  let hasVerifier = 1;
}
def NN_ExpertLinearOp : NN_PureOp<"expert_linear"> {
  let summary = "nn.expert_matmul of a stored weight [E,K,N]: only the chosen experts' weights are read";
  let arguments = (ins AnyRankedTensor:$input, AnyRankedTensor:$ids, FlatSymbolRefAttr:$weight,
      DefaultValuedStrAttr<StrAttr, "">:$activations);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `[` $ids `]` `,` $weight attr-dict `:` type($input) `,` type($ids) `->` type($result)";
  let hasVerifier = 1;
}
def NN_DynamicQuantizeOp : NN_PureOp<"dynamic_quantize"> {
  let summary = "ONNX DynamicQuantizeLinear: ui8 tensor, f32 scale (rank 0), ui8 zero point (rank 0)";
  let arguments = (ins AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$quantized, AnyRankedTensor:$scale, AnyRankedTensor:$zero_point);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($quantized) `,` type($scale) `,` type($zero_point)";
  let hasVerifier = 1;
}
def NN_Int8LinearOp : NN_PureOp<"int8_linear"> {
  let summary = "float(sum (q-zero_point)*(w-weight_zero_point)) * (scale*weight_scale), exact in int32; weight is [K,N] int8 or uint8";
  let arguments = (ins AnyRankedTensor:$quantized, AnyRankedTensor:$scale, AnyRankedTensor:$zero_point,
      FlatSymbolRefAttr:$weight, F32Attr:$weight_scale, I64Attr:$weight_zero_point);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{$quantized `scale` $scale `zero_point` $zero_point `,` $weight `weight_scale` $weight_scale
    `weight_zero_point` $weight_zero_point attr-dict `:` type($quantized) `,` type($scale) `,` type($zero_point) `->` type($result)}];
  let hasVerifier = 1;
}
def NN_MatMulIntegerOp : NN_PureOp<"matmul_integer", [AttrSizedOperandSegments]> {
  let summary = "ONNX MatMulInteger as written: i32 result; every use that is not an int8 linear layer";
  let arguments = (ins AnyRankedTensor:$lhs, AnyRankedTensor:$rhs, Optional<AnyRankedTensor>:$lhs_zero_point, Optional<AnyRankedTensor>:$rhs_zero_point);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{$lhs `,` $rhs (`lhs_zero_point` $lhs_zero_point^ `:` type($lhs_zero_point))?
    (`rhs_zero_point` $rhs_zero_point^ `:` type($rhs_zero_point))? attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)}];
}
def NN_ConvOp : NN_PureOp<"conv"> {
  let summary = "x[1,Ci,L] with run-time weight[Co,Ci,k] plus optional bias[Co], as the exporter wrote it; recognition turns it into conv1d";
  let arguments = (ins AnyRankedTensor:$input, AnyRankedTensor:$weight, Optional<AnyRankedTensor>:$bias, I64Attr:$stride,
      I64Attr:$dilation, I64Attr:$pad_begin, I64Attr:$pad_end);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{$input `,` $weight (`bias` $bias^ `:` type($bias))? `stride` $stride `dilation` $dilation
    `pads` $pad_begin $pad_end attr-dict `:` type($input) `,` type($weight) `->` type($result)}];
}
def NN_Conv1dOp : NN_PureOp<"conv1d"> {
  let summary = "x[1,Ci,L] with weight[Co,Ci,k] plus optional bias[Co]; group 1; runs in mxint16 over patches (ci,k)";
  let arguments = (ins AnyRankedTensor:$input, FlatSymbolRefAttr:$weight, Optional<AnyRankedTensor>:$bias, I64Attr:$kernel,
      I64Attr:$stride, I64Attr:$dilation, I64Attr:$pad_begin, I64Attr:$pad_end);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{$input `,` $weight (`bias` $bias^ `:` type($bias))? `kernel` $kernel `stride` $stride `dilation` $dilation
    `pads` $pad_begin $pad_end attr-dict `:` type($input) `->` type($result)}];
  let hasVerifier = 1;
}

//===-- Transformer blocks ------------------------------------------------------------------------------------------===//

def NN_LayerNormOp : NN_PureOp<"layer_norm", [AttrSizedOperandSegments]> {
  let summary = "Over the last dimension";
  let arguments = (ins AnyRankedTensor:$input, Optional<AnyRankedTensor>:$gamma, Optional<AnyRankedTensor>:$beta, F32Attr:$epsilon);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{$input (`gamma` $gamma^ `:` type($gamma))? (`beta` $beta^ `:` type($beta))? `epsilon` $epsilon attr-dict
    `:` type($input) `->` type($result)}];
  let hasVerifier = 1;
}
def NN_RmsNormOp : NN_PureOp<"rms_norm"> {
  let arguments = (ins AnyRankedTensor:$input, Optional<AnyRankedTensor>:$gamma, F32Attr:$epsilon);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input (`gamma` $gamma^ `:` type($gamma))? `epsilon` $epsilon attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_GroupNormOp : NN_PureOp<"group_norm"> {
  let summary = "x[N,C,L], groups of C/groups channels, no affine part (instance norm: groups == C)";
  let arguments = (ins AnyRankedTensor:$input, I64Attr:$groups, F32Attr:$epsilon);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `groups` $groups `epsilon` $epsilon attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}
def NN_RotaryOp : NN_PureOp<"rotary"> {
  let summary = "Rotary embedding of x[1,H,T,D] by cos/sin[..,T,R/2]; the first R elements turn, the rest passes";
  let description = [{ Half split: pairs (i, i+R/2); interleaved: pairs (2i, 2i+1). cos and sin have R/2 columns. }];
  let arguments = (ins AnyRankedTensor:$input, AnyRankedTensor:$cos, AnyRankedTensor:$sin, BoolAttr:$interleaved);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input `,` $cos `,` $sin `interleaved` $interleaved attr-dict `:` type($input) `,` type($cos) `,` type($sin) `->` type($result)";
  let hasVerifier = 1;
}
def NN_CacheAppendOp : NN_Op<"cache_append"> {
  let summary = "Quantises x[1,H,T,D] along D and appends it in place; position: affine map with one result";
  let description = [{ `slot`: which sequence of the cache, 0 when absent. `per_row`: the T rows are one token each of T sequences, and
    position and slot are those of the row: they may depend on values of kind "per_row". }];
  let arguments = (ins FlatSymbolRefAttr:$cache, AnyRankedTensor:$input, AffineMapAttr:$position, OptionalAttr<AffineMapAttr>:$slot,
      UnitAttr:$per_row);
  let assemblyFormat = "$cache `,` $input `at` $position attr-dict `:` type($input)";
  let hasVerifier = 1;
}
def NN_AttentionOp : NN_Op<"attention", [AttrSizedOperandSegments]> {
  let summary = "Attention of q[1,H,T,D] over cached keys and values (grouped when the cache has fewer heads)";
  let description = [{ `length`: valid tokens of the cache, this call's included; `position`: that of the first query row
    (for `causal`: query i sees tokens j <= position + i; `window` > 0: also j > position + i - window). A scaled score s becomes
    softcap * tanh(s / softcap) where `softcap` > 0; then `mask`, f32 that broadcasts to [1,H,T,length], is added. `sinks`, f32 [H],
    holds a logit a head that joins the softmax without a value. The head size of the values may be another than the keys'. Where
    `value_cache` is `key_cache` the value is the first elements of each key row, as many as the result has (a latent cache).
    `activations`, set by Quantize, is what queries are quantised to; empty: the key cache's format.
    `slot` and `per_row` as in nn.cache_append: with `per_row` each row is the newest token of its own sequence. }];
  let arguments = (ins AnyRankedTensor:$query, Optional<AnyRankedTensor>:$mask, Optional<AnyRankedTensor>:$sinks,
      FlatSymbolRefAttr:$key_cache, FlatSymbolRefAttr:$value_cache, AffineMapAttr:$length, AffineMapAttr:$position, F32Attr:$scale,
      BoolAttr:$causal, DefaultValuedAttr<I64Attr, "0">:$window, DefaultValuedAttr<F32Attr, "0.0f">:$softcap,
      DefaultValuedStrAttr<StrAttr, "">:$activations, OptionalAttr<AffineMapAttr>:$slot, UnitAttr:$per_row);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{$query `,` $key_cache `,` $value_cache (`mask` $mask^ `:` type($mask))? (`sinks` $sinks^ `:` type($sinks))?
    `length` $length `position` $position `scale` $scale `causal` $causal attr-dict `:` type($query) `->` type($result)}];
  let hasVerifier = 1;
}

//===-- Between cards -----------------------------------------------------------------------------------------------===//

def NN_AllReduceOp : NN_PureOp<"all_reduce"> {
  let summary = "The sum over cards of a product whose contraction they share; put in by nn-shard";
  let arguments = (ins AnyRankedTensor:$input);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

#endif
