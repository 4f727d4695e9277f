// The onnx dialect: what the exporter wrote, one operation a node. Every node operation carries its row of the operator
// table (domain, opsets, counts), from which the verifier, the importer's errors and the documentation are made.
#ifndef AHM_ONNX_OPS
#define AHM_ONNX_OPS

include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Onnx_Dialect : Dialect {
  let name = "onnx";
  let cppNamespace = "::ahm::onnx";
  let summary = "ONNX graphs as exported, one operation a node";
  let description = [{
    A graph is a `func.func` with the attribute `onnx.opset`; its arguments and results carry `onnx.name` and `onnx.dims`.
    Node names are locations. An absent optional input is the value of `onnx.None`. Large initializers are module-level
    `onnx.Weight` symbols that refer to bytes in a file and are never read here; small ones are `onnx.Constant`.
    Attributes keep their ONNX names: int is i64, float f32, ints and floats are dense arrays, tensors are elements.
  }];
}

class Onnx_Op<string mnemonic, list<Trait> traits = []> : Op<Onnx_Dialect, mnemonic, traits>;

def Onnx_NodeTrait : NativeOpTrait<"NodeTrait"> { let cppNamespace = "::ahm::onnx"; }

// One operator. Counts of -1 mean no upper limit; absent optional inputs in the middle count.
class Onnx_Operator<string domain, string opType, string mnemonic, string what, int since, int last, int minInputs,
    int maxInputs, int minOutputs, int maxOutputs, dag attributes> : Onnx_Op<mnemonic, [Pure, Onnx_NodeTrait]> {
  let summary = what;
  let arguments = !con((ins Variadic<AnyType>:$inputs), attributes);
  let results = (outs Variadic<AnyType>:$outputs);
  let assemblyFormat = "`(` $inputs `)` attr-dict `:` functional-type($inputs, $outputs)";
  let extraClassDeclaration = "static ::ahm::onnx::OperatorInfo getOperatorInfo() { return {\"" # domain # "\", \"" #
      opType # "\", getOperationName(), R\"(" # what # ")\", " # since # ", " # last # ", " # minInputs # ", " #
      !if(!lt(maxInputs, 0), "kUnlimited", !cast<string>(maxInputs)) # ", " # minOutputs # ", " #
      !if(!lt(maxOutputs, 0), "kUnlimited", !cast<string>(maxOutputs)) # ", getAttributeNames()}; }";
}

// An operator of the standard domain: op_type, summary, first and last opset, counts of inputs and outputs, attributes.
class Onnx_Node<string opType, string what, int since, int last, int minInputs, int maxInputs, int minOutputs,
    int maxOutputs, dag attributes = (ins)>
    : Onnx_Operator<"", opType, opType, what, since, last, minInputs, maxInputs, minOutputs, maxOutputs, attributes>;

// An operator of com.microsoft, whose opset is 1.
class Onnx_MsNode<string opType, string what, int minInputs, int maxInputs, int minOutputs, int maxOutputs,
    dag attributes = (ins)>
    : Onnx_Operator<"com.microsoft", opType, "ms." # opType, what, 1, 1, minInputs, maxInputs, minOutputs, maxOutputs,
          attributes>;

//===-- Weights, constants, control flow ----------------------------------------------------------------------------===//

def Onnx_WeightOp : Onnx_Op<"Weight", [Symbol]> {
  let summary = "An initializer's type and where its bytes stand";
  let description = [{
    `file` is empty when the bytes are absent (timing only). Bytes are as ONNX stores them: little endian, row-major, i1 as
    a byte, i4 and ui4 two to a byte, low nibble first.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$type, StrAttr:$file, I64Attr:$offset, I64Attr:$length);
  let assemblyFormat = "$sym_name `:` $type `in` $file `at` $offset `size` $length attr-dict";
  let hasVerifier = 1;
}

def Onnx_UseWeightOp : Onnx_Op<"UseWeight", [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "A weight's value";
  let arguments = (ins FlatSymbolRefAttr:$weight);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$weight attr-dict `:` type($result)";
}

def Onnx_ConstantOp : Onnx_Op<"Constant", [Pure, ConstantLike]> {
  let summary = "A small tensor";
  let arguments = (ins ElementsAttr:$value);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$value attr-dict `:` type($result)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

def Onnx_NoneOp : Onnx_Op<"None", [Pure]> {
  let summary = "An absent optional input";
  let results = (outs NoneType:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
}

def Onnx_YieldOp : Onnx_Op<"Yield", [Pure, ReturnLike, Terminator, HasParent<"IfOp">]> {
  let summary = "The outputs of a branch";
  let arguments = (ins Variadic<AnyTensor>:$values);
  let assemblyFormat = "attr-dict ($values^ `:` type($values))?";
}

def Onnx_IfOp : Onnx_Op<"If", [SingleBlock, RecursiveMemoryEffects]> {
  let summary = "Runs one of two branches; branches use outer values directly";
  let arguments = (ins AnyTensor:$condition);
  let results = (outs Variadic<AnyTensor>:$outputs);
  let regions = (region SizedRegion<1>:$then_branch, SizedRegion<1>:$else_branch);
  let assemblyFormat = [{`(` $condition `)` attr-dict `:` functional-type($condition, $outputs) $then_branch `else`
    $else_branch}];
  let extraClassDeclaration = [{
    static ::ahm::onnx::OperatorInfo getOperatorInfo() {
      return {"", "If", getOperationName(), "Runs one of two branches", 1, 24, 1, 1, 1, kUnlimited, {}};
    }
  }];
  let hasVerifier = 1;
}

//===-- Element-wise arithmetic -----------------------------------------------------------------------------------------===//

def Onnx_AddOp : Onnx_Node<"Add", "a + b, with numpy broadcasting", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$broadcast)>;
def Onnx_SubOp : Onnx_Node<"Sub", "a - b, with numpy broadcasting", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$broadcast)>;
def Onnx_MulOp : Onnx_Node<"Mul", "a * b, with numpy broadcasting", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$broadcast)>;
def Onnx_DivOp : Onnx_Node<"Div", "a / b, with numpy broadcasting; integers truncate", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$broadcast)>;
def Onnx_PowOp : Onnx_Node<"Pow", "a to the power b, element type of a", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$broadcast)>;
def Onnx_ModOp : Onnx_Node<"Mod", "Remainder; fmod = 1 takes the sign of a", 10, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$fmod)>;
def Onnx_MinOp : Onnx_Node<"Min", "Smallest of the inputs, with numpy broadcasting", 6, 24, 1, -1, 1, 1>;
def Onnx_MaxOp : Onnx_Node<"Max", "Largest of the inputs, with numpy broadcasting", 6, 24, 1, -1, 1, 1>;
def Onnx_SumOp : Onnx_Node<"Sum", "Sum of the inputs, with numpy broadcasting", 6, 24, 1, -1, 1, 1>;
def Onnx_MeanOp : Onnx_Node<"Mean", "Mean of the inputs, with numpy broadcasting", 6, 24, 1, -1, 1, 1>;
def Onnx_SqrtOp : Onnx_Node<"Sqrt", "Square root", 6, 24, 1, 1, 1, 1>;
def Onnx_NegOp : Onnx_Node<"Neg", "Negation", 6, 24, 1, 1, 1, 1>;
def Onnx_TanhOp : Onnx_Node<"Tanh", "Hyperbolic tangent", 6, 24, 1, 1, 1, 1>;
def Onnx_SigmoidOp : Onnx_Node<"Sigmoid", "Logistic function", 6, 24, 1, 1, 1, 1>;
def Onnx_ExpOp : Onnx_Node<"Exp", "Exponential", 6, 24, 1, 1, 1, 1>;
def Onnx_LogOp : Onnx_Node<"Log", "Natural logarithm", 6, 24, 1, 1, 1, 1>;
def Onnx_ReciprocalOp : Onnx_Node<"Reciprocal", "1 / x", 6, 24, 1, 1, 1, 1>;
def Onnx_AbsOp : Onnx_Node<"Abs", "Absolute value", 6, 24, 1, 1, 1, 1>;
def Onnx_FloorOp : Onnx_Node<"Floor", "Largest integer not above", 6, 24, 1, 1, 1, 1>;
def Onnx_CeilOp : Onnx_Node<"Ceil", "Smallest integer not below", 6, 24, 1, 1, 1, 1>;
def Onnx_ReluOp : Onnx_Node<"Relu", "max(x, 0)", 6, 24, 1, 1, 1, 1>;
def Onnx_ErfOp : Onnx_Node<"Erf", "Error function", 9, 24, 1, 1, 1, 1>;
def Onnx_RoundOp : Onnx_Node<"Round", "Nearest integer, ties to even", 11, 24, 1, 1, 1, 1>;
def Onnx_SignOp : Onnx_Node<"Sign", "-1, 0 or 1", 9, 24, 1, 1, 1, 1>;
def Onnx_SoftplusOp : Onnx_Node<"Softplus", "log(1 + exp(x))", 1, 24, 1, 1, 1, 1>;
def Onnx_CosOp : Onnx_Node<"Cos", "Cosine", 7, 24, 1, 1, 1, 1>;
def Onnx_SinOp : Onnx_Node<"Sin", "Sine", 7, 24, 1, 1, 1, 1>;
def Onnx_LeakyReluOp : Onnx_Node<"LeakyRelu", "x or alpha * x", 6, 24, 1, 1, 1, 1,
    (ins OptionalAttr<F32Attr>:$alpha)>;
def Onnx_EluOp : Onnx_Node<"Elu", "x or alpha * (exp(x) - 1)", 6, 24, 1, 1, 1, 1,
    (ins OptionalAttr<F32Attr>:$alpha)>;
def Onnx_HardSigmoidOp : Onnx_Node<"HardSigmoid", "max(0, min(1, alpha * x + beta))", 6, 24, 1, 1, 1, 1,
    (ins OptionalAttr<F32Attr>:$alpha, OptionalAttr<F32Attr>:$beta)>;
def Onnx_GeluOp : Onnx_Node<"Gelu", "Gaussian error linear unit; approximate is none or tanh", 20, 24, 1, 1, 1, 1,
    (ins OptionalAttr<StrAttr>:$approximate)>;
def Onnx_SwishOp : Onnx_Node<"Swish", "x * sigmoid(alpha * x)", 24, 24, 1, 1, 1, 1,
    (ins OptionalAttr<F32Attr>:$alpha)>;
def Onnx_ClipOp : Onnx_Node<"Clip", "Limits to [min, max]; limits are inputs from opset 11, attributes before", 6, 24, 1, 3, 1, 1,
    (ins OptionalAttr<F32Attr>:$min, OptionalAttr<F32Attr>:$max)>;
def Onnx_IsNaNOp : Onnx_Node<"IsNaN", "True where not a number", 9, 24, 1, 1, 1, 1>;
def Onnx_IsInfOp : Onnx_Node<"IsInf", "True where infinite", 10, 24, 1, 1, 1, 1,
    (ins OptionalAttr<I64Attr>:$detect_negative, OptionalAttr<I64Attr>:$detect_positive)>;
def Onnx_CastOp : Onnx_Node<"Cast", "Converts to the element type `to`", 6, 24, 1, 1, 1, 1,
    (ins OptionalAttr<I64Attr>:$to, OptionalAttr<I64Attr>:$saturate, OptionalAttr<StrAttr>:$round_mode)>;
def Onnx_CastLikeOp : Onnx_Node<"CastLike", "Converts to the element type of the second input", 15, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$saturate, OptionalAttr<StrAttr>:$round_mode)>;
def Onnx_IdentityOp : Onnx_Node<"Identity", "The input", 1, 24, 1, 1, 1, 1>;
def Onnx_DropoutOp : Onnx_Node<"Dropout", "The input (inference); the mask is all true", 7, 24, 1, 3, 1, 2,
    (ins OptionalAttr<F32Attr>:$ratio, OptionalAttr<I64Attr>:$seed)>;

//===-- Comparison, logic and choice ------------------------------------------------------------------------------------===//

def Onnx_EqualOp : Onnx_Node<"Equal", "a == b, with numpy broadcasting", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$broadcast)>;
def Onnx_GreaterOp : Onnx_Node<"Greater", "a > b, with numpy broadcasting", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$broadcast)>;
def Onnx_LessOp : Onnx_Node<"Less", "a < b, with numpy broadcasting", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$broadcast)>;
def Onnx_GreaterOrEqualOp : Onnx_Node<"GreaterOrEqual", "a >= b, with numpy broadcasting", 12, 24, 2, 2, 1, 1>;
def Onnx_LessOrEqualOp : Onnx_Node<"LessOrEqual", "a <= b, with numpy broadcasting", 12, 24, 2, 2, 1, 1>;
def Onnx_AndOp : Onnx_Node<"And", "a and b, with numpy broadcasting", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$broadcast)>;
def Onnx_OrOp : Onnx_Node<"Or", "a or b, with numpy broadcasting", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$broadcast)>;
def Onnx_XorOp : Onnx_Node<"Xor", "a xor b, with numpy broadcasting", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$broadcast)>;
def Onnx_NotOp : Onnx_Node<"Not", "Logical negation", 1, 24, 1, 1, 1, 1>;
def Onnx_WhereOp : Onnx_Node<"Where", "condition ? a : b, with numpy broadcasting", 9, 24, 3, 3, 1, 1>;

//===-- Products --------------------------------------------------------------------------------------------------------===//

def Onnx_MatMulOp : Onnx_Node<"MatMul", "numpy matmul", 1, 24, 2, 2, 1, 1>;
def Onnx_GemmOp : Onnx_Node<"Gemm", "alpha * a' * b' + beta * c", 1, 24, 2, 3, 1, 1,
    (ins OptionalAttr<F32Attr>:$alpha, OptionalAttr<F32Attr>:$beta, OptionalAttr<I64Attr>:$broadcast, OptionalAttr<I64Attr>:$transA,
        OptionalAttr<I64Attr>:$transB)>;
def Onnx_EinsumOp : Onnx_Node<"Einsum", "Einstein summation", 12, 24, 1, -1, 1, 1,
    (ins OptionalAttr<StrAttr>:$equation)>;
def Onnx_ConvOp : Onnx_Node<"Conv", "Convolution", 1, 24, 2, 3, 1, 1,
    (ins OptionalAttr<StrAttr>:$auto_pad, OptionalAttr<DenseI64ArrayAttr>:$dilations, OptionalAttr<I64Attr>:$group,
        OptionalAttr<DenseI64ArrayAttr>:$kernel_shape, OptionalAttr<DenseI64ArrayAttr>:$pads,
        OptionalAttr<DenseI64ArrayAttr>:$strides)>;

//===-- Shapes and indexing ---------------------------------------------------------------------------------------------===//

def Onnx_ShapeOp : Onnx_Node<"Shape", "Dimensions as int64, from start to end", 1, 24, 1, 1, 1, 1,
    (ins OptionalAttr<I64Attr>:$start, OptionalAttr<I64Attr>:$end)>;
def Onnx_SizeOp : Onnx_Node<"Size", "Number of elements as int64", 1, 24, 1, 1, 1, 1>;
def Onnx_ReshapeOp : Onnx_Node<"Reshape", "Same elements in the given shape", 5, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$allowzero)>;
def Onnx_FlattenOp : Onnx_Node<"Flatten", "To two dimensions, split at axis", 1, 24, 1, 1, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis)>;
def Onnx_TransposeOp : Onnx_Node<"Transpose", "Permutes dimensions", 1, 24, 1, 1, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$perm)>;
def Onnx_SqueezeOp : Onnx_Node<"Squeeze", "Removes dimensions of size 1; axes are an input from opset 13", 1, 24, 1, 2, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$axes)>;
def Onnx_UnsqueezeOp : Onnx_Node<"Unsqueeze", "Inserts dimensions of size 1; axes are an input from opset 13", 1, 24, 1, 2, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$axes)>;
def Onnx_ConcatOp : Onnx_Node<"Concat", "Joins along axis", 4, 24, 1, -1, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis)>;
def Onnx_SplitOp : Onnx_Node<"Split", "Cuts along axis; sizes are an input from opset 13", 2, 24, 1, 2, 1, -1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<DenseI64ArrayAttr>:$split, OptionalAttr<I64Attr>:$num_outputs)>;
def Onnx_SliceOp : Onnx_Node<"Slice", "Part of a tensor; bounds are inputs from opset 10", 1, 24, 1, 5, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$starts, OptionalAttr<DenseI64ArrayAttr>:$ends,
        OptionalAttr<DenseI64ArrayAttr>:$axes)>;
def Onnx_ExpandOp : Onnx_Node<"Expand", "Broadcasts to the given shape", 8, 24, 2, 2, 1, 1>;
def Onnx_TileOp : Onnx_Node<"Tile", "Repeats along every dimension", 6, 24, 2, 2, 1, 1>;
def Onnx_PadOp : Onnx_Node<"Pad", "Pads; amounts are an input from opset 11", 2, 24, 1, 4, 1, 1,
    (ins OptionalAttr<StrAttr>:$mode, OptionalAttr<DenseI64ArrayAttr>:$pads, OptionalAttr<F32Attr>:$value)>;
def Onnx_ConstantOfShapeOp : Onnx_Node<"ConstantOfShape", "A tensor of one value", 9, 24, 1, 1, 1, 1,
    (ins OptionalAttr<ElementsAttr>:$value)>;
def Onnx_RangeOp : Onnx_Node<"Range", "start, start + delta, ... below limit", 11, 24, 3, 3, 1, 1>;
def Onnx_EyeLikeOp : Onnx_Node<"EyeLike", "Identity matrix of the shape of the input", 9, 24, 1, 1, 1, 1,
    (ins OptionalAttr<I64Attr>:$dtype, OptionalAttr<I64Attr>:$k)>;
def Onnx_TriluOp : Onnx_Node<"Trilu", "Upper or lower triangle", 14, 24, 1, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$upper)>;
def Onnx_GatherOp : Onnx_Node<"Gather", "Slices along axis picked by indices", 1, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis)>;
def Onnx_GatherElementsOp : Onnx_Node<"GatherElements", "Elements along axis picked by indices", 11, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis)>;
def Onnx_GatherNDOp : Onnx_Node<"GatherND", "Slices picked by index tuples", 11, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$batch_dims)>;
def Onnx_ScatterOp : Onnx_Node<"Scatter", "Old name of ScatterElements", 9, 10, 3, 3, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis)>;
def Onnx_ScatterElementsOp : Onnx_Node<"ScatterElements", "Writes elements along axis at indices", 11, 24, 3, 3, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<StrAttr>:$reduction)>;
def Onnx_ScatterNDOp : Onnx_Node<"ScatterND", "Writes slices at index tuples", 11, 24, 3, 3, 1, 1,
    (ins OptionalAttr<StrAttr>:$reduction)>;
def Onnx_TensorScatterOp : Onnx_Node<"TensorScatter", "Writes an update into a cache at write indices", 24, 24, 2, 3, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<StrAttr>:$mode)>;
def Onnx_OneHotOp : Onnx_Node<"OneHot", "One-hot rows", 9, 24, 3, 3, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis)>;
def Onnx_NonZeroOp : Onnx_Node<"NonZero", "Indices of non-zero elements", 9, 24, 1, 1, 1, 1>;
def Onnx_CumSumOp : Onnx_Node<"CumSum", "Running sum along an axis", 11, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$exclusive, OptionalAttr<I64Attr>:$reverse)>;
def Onnx_TopKOp : Onnx_Node<"TopK", "Largest or smallest k along axis", 1, 24, 1, 2, 2, 2,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$k, OptionalAttr<I64Attr>:$largest,
        OptionalAttr<I64Attr>:$sorted)>;

//===-- Reductions and norms --------------------------------------------------------------------------------------------===//

def Onnx_ReduceMeanOp : Onnx_Node<"ReduceMean", "Mean over axes; axes are an input from opset 13 (ReduceSum) or 18", 1, 24, 1, 2, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$axes, OptionalAttr<I64Attr>:$keepdims,
        OptionalAttr<I64Attr>:$noop_with_empty_axes)>;
def Onnx_ReduceSumOp : Onnx_Node<"ReduceSum", "Sum over axes; axes are an input from opset 13 (ReduceSum) or 18", 1, 24, 1, 2, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$axes, OptionalAttr<I64Attr>:$keepdims,
        OptionalAttr<I64Attr>:$noop_with_empty_axes)>;
def Onnx_ReduceMaxOp : Onnx_Node<"ReduceMax", "Maximum over axes; axes are an input from opset 13 (ReduceSum) or 18", 1, 24, 1, 2, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$axes, OptionalAttr<I64Attr>:$keepdims,
        OptionalAttr<I64Attr>:$noop_with_empty_axes)>;
def Onnx_ReduceMinOp : Onnx_Node<"ReduceMin", "Minimum over axes; axes are an input from opset 13 (ReduceSum) or 18", 1, 24, 1, 2, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$axes, OptionalAttr<I64Attr>:$keepdims,
        OptionalAttr<I64Attr>:$noop_with_empty_axes)>;
def Onnx_ReduceProdOp : Onnx_Node<"ReduceProd", "Product over axes; axes are an input from opset 13 (ReduceSum) or 18", 1, 24, 1, 2, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$axes, OptionalAttr<I64Attr>:$keepdims,
        OptionalAttr<I64Attr>:$noop_with_empty_axes)>;
def Onnx_ReduceL1Op : Onnx_Node<"ReduceL1", "Sum of absolute values over axes; axes are an input from opset 13 (ReduceSum) or 18", 1, 24, 1, 2, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$axes, OptionalAttr<I64Attr>:$keepdims,
        OptionalAttr<I64Attr>:$noop_with_empty_axes)>;
def Onnx_ReduceL2Op : Onnx_Node<"ReduceL2", "Square root of the sum of squares over axes; axes are an input from opset 13 (ReduceSum) or 18", 1, 24, 1, 2, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$axes, OptionalAttr<I64Attr>:$keepdims,
        OptionalAttr<I64Attr>:$noop_with_empty_axes)>;
def Onnx_ReduceSumSquareOp : Onnx_Node<"ReduceSumSquare", "Sum of squares over axes; axes are an input from opset 13 (ReduceSum) or 18", 1, 24, 1, 2, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$axes, OptionalAttr<I64Attr>:$keepdims,
        OptionalAttr<I64Attr>:$noop_with_empty_axes)>;
def Onnx_ReduceLogSumExpOp : Onnx_Node<"ReduceLogSumExp", "Logarithm of the sum of exponentials over axes; axes are an input from opset 13 (ReduceSum) or 18", 1, 24, 1, 2, 1, 1,
    (ins OptionalAttr<DenseI64ArrayAttr>:$axes, OptionalAttr<I64Attr>:$keepdims,
        OptionalAttr<I64Attr>:$noop_with_empty_axes)>;
def Onnx_ArgMaxOp : Onnx_Node<"ArgMax", "Index of the largest element along axis", 1, 24, 1, 1, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$keepdims, OptionalAttr<I64Attr>:$select_last_index)>;
def Onnx_ArgMinOp : Onnx_Node<"ArgMin", "Index of the smallest element along axis", 1, 24, 1, 1, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$keepdims, OptionalAttr<I64Attr>:$select_last_index)>;
def Onnx_SoftmaxOp : Onnx_Node<"Softmax", "Softmax along axis (over the flattened rest before opset 13)", 1, 24, 1, 1, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis)>;
def Onnx_LogSoftmaxOp : Onnx_Node<"LogSoftmax", "Logarithm of the softmax along axis", 1, 24, 1, 1, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis)>;
def Onnx_LayerNormalizationOp : Onnx_Node<"LayerNormalization", "Normalises over the last dimensions, from axis", 1, 24, 2, 3, 1, 3,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<F32Attr>:$epsilon, OptionalAttr<I64Attr>:$stash_type)>;
def Onnx_RMSNormalizationOp : Onnx_Node<"RMSNormalization", "x / rms(x) * scale over the last dimensions, from axis", 23, 24, 2, 2, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<F32Attr>:$epsilon, OptionalAttr<I64Attr>:$stash_type)>;
def Onnx_SimplifiedLayerNormalizationOp : Onnx_Node<"SimplifiedLayerNormalization", "ONNX Runtime's RMSNormalization, in the standard domain", 1, 24, 2, 2, 1, 2,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<F32Attr>:$epsilon, OptionalAttr<I64Attr>:$stash_type)>;
def Onnx_InstanceNormalizationOp : Onnx_Node<"InstanceNormalization", "Normalises every channel of every sample", 6, 24, 3, 3, 1, 1,
    (ins OptionalAttr<F32Attr>:$epsilon)>;
def Onnx_GroupNormalizationOp : Onnx_Node<"GroupNormalization", "Normalises groups of channels", 18, 24, 3, 3, 1, 1,
    (ins OptionalAttr<F32Attr>:$epsilon, OptionalAttr<I64Attr>:$num_groups, OptionalAttr<I64Attr>:$stash_type)>;
def Onnx_BatchNormalizationOp : Onnx_Node<"BatchNormalization", "Normalises with stored mean and variance (inference)", 7, 24, 5, 5, 1, 5,
    (ins OptionalAttr<F32Attr>:$epsilon, OptionalAttr<F32Attr>:$momentum, OptionalAttr<I64Attr>:$training_mode,
        OptionalAttr<I64Attr>:$spatial)>;
def Onnx_LpNormalizationOp : Onnx_Node<"LpNormalization", "Divides by the p-norm along axis", 1, 24, 1, 1, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$p)>;

//===-- Attention -------------------------------------------------------------------------------------------------------===//

def Onnx_AttentionOp : Onnx_Node<"Attention", "Scaled dot-product attention over q, k, v, mask, past key, past value, valid lengths", 23, 24, 3, 7, 1, 4,
    (ins OptionalAttr<I64Attr>:$is_causal, OptionalAttr<I64Attr>:$kv_num_heads, OptionalAttr<I64Attr>:$q_num_heads,
        OptionalAttr<I64Attr>:$qk_matmul_output_mode, OptionalAttr<F32Attr>:$scale, OptionalAttr<F32Attr>:$softcap,
        OptionalAttr<I64Attr>:$softmax_precision)>;
def Onnx_RotaryEmbeddingOp : Onnx_Node<"RotaryEmbedding", "Rotary position embedding by cos and sin caches", 23, 24, 3, 4, 1, 1,
    (ins OptionalAttr<I64Attr>:$interleaved, OptionalAttr<I64Attr>:$num_heads,
        OptionalAttr<I64Attr>:$rotary_embedding_dim)>;

//===-- Quantisation ----------------------------------------------------------------------------------------------------===//

def Onnx_QuantizeLinearOp : Onnx_Node<"QuantizeLinear", "x / scale + zero point, rounded and saturated", 10, 24, 2, 3, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$saturate, OptionalAttr<I64Attr>:$block_size,
        OptionalAttr<I64Attr>:$output_dtype, OptionalAttr<I64Attr>:$precision)>;
def Onnx_DequantizeLinearOp : Onnx_Node<"DequantizeLinear", "(x - zero point) * scale", 10, 24, 2, 3, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$block_size, OptionalAttr<I64Attr>:$output_dtype)>;
def Onnx_DynamicQuantizeLinearOp : Onnx_Node<"DynamicQuantizeLinear", "To uint8 by the range of the tensor: values, scale, zero point", 11, 24, 1, 1, 3, 3>;
def Onnx_MatMulIntegerOp : Onnx_Node<"MatMulInteger", "Integer matmul with zero points, int32", 10, 24, 2, 4, 1, 1>;
def Onnx_ConvIntegerOp : Onnx_Node<"ConvInteger", "Integer convolution with zero points, int32", 10, 24, 2, 4, 1, 1,
    (ins OptionalAttr<StrAttr>:$auto_pad, OptionalAttr<DenseI64ArrayAttr>:$dilations, OptionalAttr<I64Attr>:$group,
        OptionalAttr<DenseI64ArrayAttr>:$kernel_shape, OptionalAttr<DenseI64ArrayAttr>:$pads,
        OptionalAttr<DenseI64ArrayAttr>:$strides)>;

//===-- ONNX Runtime's operators (com.microsoft) ------------------------------------------------------------------------===//

def Onnx_MsMatMulNBitsOp : Onnx_MsNode<"MatMulNBits", "x times a weight of 2 to 8 bits in blocks along K: data, scales, zero points, g_idx, bias", 3, 6, 1, 1,
    (ins OptionalAttr<I64Attr>:$K, OptionalAttr<I64Attr>:$N, OptionalAttr<I64Attr>:$accuracy_level,
        OptionalAttr<I64Attr>:$bits, OptionalAttr<I64Attr>:$block_size, OptionalAttr<I64Attr>:$weight_prepacked)>;
def Onnx_MsGatherBlockQuantizedOp : Onnx_MsNode<"GatherBlockQuantized", "Gather from a block-quantised table: data, indices, scales, zero points", 3, 4, 1, 1,
    (ins OptionalAttr<I64Attr>:$bits, OptionalAttr<I64Attr>:$block_size, OptionalAttr<I64Attr>:$gather_axis,
        OptionalAttr<I64Attr>:$quantize_axis)>;
def Onnx_MsFusedMatMulOp : Onnx_MsNode<"FusedMatMul", "alpha * a' * b'", 2, 2, 1, 1,
    (ins OptionalAttr<F32Attr>:$alpha, OptionalAttr<I64Attr>:$transA, OptionalAttr<I64Attr>:$transB,
        OptionalAttr<I64Attr>:$transBatchA, OptionalAttr<I64Attr>:$transBatchB)>;
def Onnx_MsSkipLayerNormalizationOp : Onnx_MsNode<"SkipLayerNormalization", "Layer norm of input + skip + bias; the sum is output 3", 3, 5, 1, 4,
    (ins OptionalAttr<F32Attr>:$epsilon)>;
def Onnx_MsSkipSimplifiedLayerNormalizationOp : Onnx_MsNode<"SkipSimplifiedLayerNormalization", "RMS norm of input + skip + bias; the sum is output 3", 3, 4, 1, 4,
    (ins OptionalAttr<F32Attr>:$epsilon)>;
def Onnx_MsSimplifiedLayerNormalizationOp : Onnx_MsNode<"SimplifiedLayerNormalization", "RMS norm over the last dimensions, from axis", 2, 2, 1, 2,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<F32Attr>:$epsilon, OptionalAttr<I64Attr>:$stash_type)>;
def Onnx_MsEmbedLayerNormalizationOp : Onnx_MsNode<"EmbedLayerNormalization", "Sum of word, position and segment embeddings, then layer norm", 7, 9, 1, 3,
    (ins OptionalAttr<F32Attr>:$epsilon, OptionalAttr<I64Attr>:$mask_index_type)>;
def Onnx_MsGeluOp : Onnx_MsNode<"Gelu", "Gaussian error linear unit", 1, 1, 1, 1>;
def Onnx_MsFastGeluOp : Onnx_MsNode<"FastGelu", "Gelu by tanh of x + bias", 1, 2, 1, 1>;
def Onnx_MsQuickGeluOp : Onnx_MsNode<"QuickGelu", "x * sigmoid(alpha * x)", 1, 1, 1, 1,
    (ins OptionalAttr<F32Attr>:$alpha)>;
def Onnx_MsBiasGeluOp : Onnx_MsNode<"BiasGelu", "Gelu of x + bias", 2, 2, 1, 1>;
def Onnx_MsRotaryEmbeddingOp : Onnx_MsNode<"RotaryEmbedding", "Rotary position embedding: x, position ids, cos cache, sin cache", 4, 4, 1, 1,
    (ins OptionalAttr<I64Attr>:$interleaved, OptionalAttr<I64Attr>:$is_packed_batching,
        OptionalAttr<I64Attr>:$num_heads, OptionalAttr<I64Attr>:$rotary_embedding_dim, OptionalAttr<F32Attr>:$scale)>;
def Onnx_MsMultiHeadAttentionOp : Onnx_MsNode<"MultiHeadAttention", "Attention over q, k, v, bias, key padding mask, attention bias, past key, past value, past length, cache indirection", 1, 10, 1, 4,
    (ins OptionalAttr<F32Attr>:$mask_filter_value, OptionalAttr<I64Attr>:$num_heads, OptionalAttr<F32Attr>:$scale,
        OptionalAttr<I64Attr>:$unidirectional)>;
def Onnx_MsAttentionOp : Onnx_MsNode<"Attention", "Attention over a packed QKV projection: x, weights, bias, mask, past, attention bias, past length", 2, 7, 1, 2,
    (ins OptionalAttr<I64Attr>:$do_rotary, OptionalAttr<F32Attr>:$mask_filter_value,
        OptionalAttr<I64Attr>:$num_heads, OptionalAttr<I64Attr>:$past_present_share_buffer,
        OptionalAttr<DenseI64ArrayAttr>:$qkv_hidden_sizes, OptionalAttr<I64Attr>:$rotary_embedding_dim,
        OptionalAttr<F32Attr>:$scale, OptionalAttr<I64Attr>:$unidirectional)>;
def Onnx_MsGroupQueryAttentionOp : Onnx_MsNode<"GroupQueryAttention", "Grouped attention with cache: q, k, v, past key, past value, seqlens_k, total length, cos, sin, position ids, attention bias, head sink, k scale, v scale, q norm weight, k norm weight", 7, 16, 1, 4,
    (ins OptionalAttr<I64Attr>:$do_rotary, OptionalAttr<StrAttr>:$k_quant_type,
        OptionalAttr<I64Attr>:$kv_cache_bit_width, OptionalAttr<I64Attr>:$kv_num_heads,
        OptionalAttr<I64Attr>:$local_window_size, OptionalAttr<I64Attr>:$num_heads,
        OptionalAttr<F32Attr>:$qk_norm_epsilon, OptionalAttr<I64Attr>:$qk_output,
        OptionalAttr<I64Attr>:$rotary_interleaved, OptionalAttr<F32Attr>:$scale,
        OptionalAttr<I64Attr>:$smooth_softmax, OptionalAttr<F32Attr>:$softcap, OptionalAttr<StrAttr>:$v_quant_type)>;
def Onnx_MsMoEOp : Onnx_MsNode<"MoE", "Mixture of experts: x, router, fc1, bias, fc2, bias, fc3, bias", 4, 8, 1, 1,
    (ins OptionalAttr<F32Attr>:$activation_alpha, OptionalAttr<F32Attr>:$activation_beta,
        OptionalAttr<StrAttr>:$activation_type, OptionalAttr<I64Attr>:$k,
        OptionalAttr<I64Attr>:$normalize_routing_weights, OptionalAttr<I64Attr>:$swiglu_fusion,
        OptionalAttr<F32Attr>:$swiglu_limit, OptionalAttr<I64Attr>:$use_sparse_mixer)>;
def Onnx_MsQMoEOp : Onnx_MsNode<"QMoE", "Mixture of quantised experts: x, router, then weights, scales and biases of fc1, fc2, fc3, their zero points, routing weights, global scales", 7, 18, 1, 1,
    (ins OptionalAttr<F32Attr>:$activation_alpha, OptionalAttr<F32Attr>:$activation_beta,
        OptionalAttr<StrAttr>:$activation_type, OptionalAttr<I64Attr>:$block_size,
        OptionalAttr<I64Attr>:$expert_weight_bits, OptionalAttr<I64Attr>:$k,
        OptionalAttr<I64Attr>:$normalize_routing_weights, OptionalAttr<StrAttr>:$quant_type,
        OptionalAttr<I64Attr>:$swiglu_fusion, OptionalAttr<F32Attr>:$swiglu_limit,
        OptionalAttr<I64Attr>:$use_sparse_mixer)>;
def Onnx_MsQuantizeLinearOp : Onnx_MsNode<"QuantizeLinear", "x / scale + zero point, rounded and saturated", 2, 3, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$block_size)>;
def Onnx_MsDequantizeLinearOp : Onnx_MsNode<"DequantizeLinear", "(x - zero point) * scale", 2, 3, 1, 1,
    (ins OptionalAttr<I64Attr>:$axis, OptionalAttr<I64Attr>:$block_size)>;
def Onnx_MsDynamicQuantizeMatMulOp : Onnx_MsNode<"DynamicQuantizeMatMul", "Dynamic quantisation, integer product and scaling in one", 3, 5, 1, 1>;
def Onnx_MsMatMulIntegerToFloatOp : Onnx_MsNode<"MatMulIntegerToFloat", "Integer product scaled to float", 4, 7, 1, 1>;

#endif
