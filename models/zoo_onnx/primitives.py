"""Parts of a model in primitive operators, as tracing exporters write them. Shapes: b batch, s new tokens, t = past + s, D head size."""
import numpy as np

from .tensors import BOOL, FLOAT, FLOAT16, INT64


def lowest(g):
    """The most negative finite number of the graph's float type, a scalar."""
    return g.floats(-65504.0 if g.element == FLOAT16 else float(np.finfo(np.float32).min))


def rms_norm(g, x, weight, eps):
    """x·w / sqrt(mean(x²) + eps) over the last axis, in float32."""
    wide = x if g.element == FLOAT else g.cast(x, FLOAT)
    single = lambda v: g.constant(np.asarray(v, np.float32), FLOAT)
    square = g.op("Pow", [wide, single(2.0)])
    mean = reduce_mean(g, square)
    root = g.op("Sqrt", [g.op("Add", [mean, single(eps)])])
    y = g.op("Mul", [wide, g.op("Div", [single(1.0), root])])
    return g.op("Mul", [weight, y if g.element == FLOAT else g.cast(y, g.element)])


def reduce_mean(g, x):
    if getattr(g, "opset", 14) >= 18:
        return g.op("ReduceMean", [x, g.ints([-1])], keepdims=1)
    return g.op("ReduceMean", [x], axes=[-1], keepdims=1)


def layer_norm(g, x, weight, bias, eps):
    """Layer normalisation over the last axis."""
    centred = g.op("Sub", [x, reduce_mean(g, x)])
    variance = reduce_mean(g, g.op("Pow", [centred, g.floats(2.0)]))
    y = g.op("Div", [centred, g.op("Sqrt", [g.op("Add", [variance, g.floats(eps)])])])
    return g.op("Add", [g.op("Mul", [y, weight]), bias])


def silu(g, x):
    return g.op("Mul", [x, g.op("Sigmoid", [x])])


def gelu_erf(g, x):
    erf = g.op("Erf", [g.op("Div", [x, g.floats(2.0 ** 0.5)])])
    y = g.op("Mul", [x, g.op("Add", [erf, g.floats(1.0)])])
    return g.op("Mul", [y, g.floats(0.5)])


def gelu_tanh(g, x):
    cube = g.op("Pow", [x, g.floats(3.0)])
    inner = g.op("Add", [x, g.op("Mul", [cube, g.floats(0.044715)])])
    tanh = g.op("Tanh", [g.op("Mul", [inner, g.floats((2.0 / np.pi) ** 0.5)])])
    return g.op("Mul", [g.op("Mul", [x, g.floats(0.5)]), g.op("Add", [tanh, g.floats(1.0)])])


# --- Rotary embedding ------------------------------------------------------------------------------------------------------------

def rotary_angles(g, position_ids, inverse, factor):
    """cos and sin [b, 1, s, D] computed from position_ids [b, s]."""
    positions = g.cast(g.unsqueeze(position_ids, 2), FLOAT)
    product = g.op("Mul", [positions, g.constant(inverse[None, None, :], FLOAT)])
    angles = g.op("Concat", [product, product], axis=-1)
    both = []
    for function in ("Cos", "Sin"):
        y = g.op(function, [angles])
        if factor != 1.0:
            y = g.op("Mul", [y, g.constant(np.float32(factor), FLOAT)])
        if g.element != FLOAT:
            y = g.cast(y, g.element)
        both.append(g.unsqueeze(y, 1))
    return both


def rotate_half(g, x, dim):
    if g.names == "torch":   # x.shape[-1] // 2 is traced
        half = g.cast(g.op("Div", [g.dim(x, 3), g.ints(2)]), INT64)
        high = g.slice(x, 3, g.unsqueeze(half, 0), 2 ** 63 - 1)
        low = g.slice(x, 3, 0, g.unsqueeze(half, 0))
    else:
        low, high = g.op("Split", [x, g.ints([dim // 2, dim // 2])], 2, axis=-1)
    return g.op("Concat", [g.op("Neg", [high]), low], axis=-1)


def rotary(g, x, cos, sin, dim):
    return g.op("Add", [g.op("Mul", [x, cos]), g.op("Mul", [rotate_half(g, x, dim), sin])])


def deinterleave(g, x, heads, dim):
    """[b, heads, s, dim] with pairs side by side → first components, then second ones."""
    pairs = g.reshape(x, g.dim(x, 0), heads, g.dim(x, 2), dim // 2, 2)
    return g.reshape(g.transpose(pairs, 0, 1, 2, 4, 3), g.dim(x, 0), heads, g.dim(x, 2), dim)


# --- Masks -----------------------------------------------------------------------------------------------------------------------

def causal_bool(g, s, past, total, attention_mask, window=None):
    """Boolean [b, 1, s, t]: a token sees what attention_mask [b, t] allows, up to itself and no further back than the window."""
    slots = g.unsqueeze(g.range(0, total), 0)
    own = g.unsqueeze(g.range(past, total), 1)
    seen = g.op("LessOrEqual", [slots, own])
    if window:
        seen = g.op("And", [seen, g.op("Greater", [slots, g.op("Sub", [own, g.ints(window)])])])
    seen = g.unsqueeze(g.unsqueeze(seen, 0), 1)
    return g.op("And", [seen, g.cast(g.unsqueeze(g.unsqueeze(attention_mask, 1), 2), BOOL)])


def expand(g, x, *dims):
    """Tensor.expand as traced: −1 would keep a dimension, so the shape passes through a Where."""
    shape = g.op("Reshape", [g.shape_of(*dims), g.ints([-1])])
    ones = g.op("ConstantOfShape", [g.op("Shape", [shape])], value=int64_tensor([1]))
    keep = g.op("Equal", [shape, g.op("Mul", [ones, g.ints(-1)])])
    return g.op("Expand", [x, g.op("Where", [keep, ones, shape])])


def int64_tensor(values):
    from onnx import TensorProto
    values = np.asarray(values, np.int64)
    return TensorProto(data_type=INT64, dims=values.shape, raw_data=values.tobytes())


def float_tensor(g, value):
    from onnx import TensorProto
    from .tensors import to_bytes
    return TensorProto(data_type=g.element, dims=[1], raw_data=to_bytes(np.asarray([value], np.float32), g.element))


def additive_mask(g, form, b, s, past, total, attention_mask, window=None):
    """Float [b, 1, s, t] that is added to scores, in one of the forms in which models' code builds it."""
    minimum, zero = lowest(g), g.floats(0.0)
    if form == "bool" or window:
        return g.op("Where", [causal_bool(g, s, past, total, attention_mask, window), zero, minimum])
    lowest_value = -65504.0 if g.element == FLOAT16 else float(np.finfo(np.float32).min)
    if form == "less":
        index = g.range(0, s)
        after = g.reshape(g.op("Add", [index, g.ints(1)]), s, 1)
        full = g.op("ConstantOfShape", [g.shape_of(s, s)], value=float_tensor(g, lowest_value))
        square = g.op("Where", [g.op("Less", [index, after]), zero, full])
        before = g.op("ConstantOfShape", [g.shape_of(s, past)], value=float_tensor(g, 0.0))
        causal = g.op("Concat", [before, square], axis=-1)
        causal = expand(g, g.unsqueeze(g.unsqueeze(causal, 0), 1), b, 1, s, total)
        padding = expand(g, g.unsqueeze(g.unsqueeze(attention_mask, 1), 2), b, 1, s, total)
        inverted = g.op("Sub", [g.floats(1.0), g.cast(padding, g.element)])
        return g.op("Where", [g.cast(inverted, BOOL), minimum, causal])
    full = g.op("ConstantOfShape", [g.shape_of(s, total)], value=float_tensor(g, lowest_value))
    upper = g.op("Trilu", [full, g.ints(1)], upper=1)
    later = g.op("Greater", [g.range(0, total), g.reshape(g.range(past, total), -1, 1)])
    causal = g.op("Mul", [upper, g.cast(later, g.element)])
    causal = expand(g, g.unsqueeze(g.unsqueeze(causal, 0), 1), b, 1, s, total)
    padding = g.cast(g.unsqueeze(g.unsqueeze(attention_mask, 1), 2), g.element)
    masked = g.op("Equal", [g.op("Add", [causal, padding]), zero])
    return g.op("Where", [masked, minimum, causal])


# --- Attention -------------------------------------------------------------------------------------------------------------------

def split_heads(g, x, b, s, heads, dim):
    """[b, s, heads·D] → [b, heads, s, D]."""
    return g.transpose(g.reshape(x, b, s, heads, dim), 0, 2, 1, 3)


def merge_heads(g, x, b, s, width):
    return g.reshape(g.transpose(x, 0, 2, 1, 3), b, s, width)


def repeat_kv(g, x, b, kv_heads, group, dim):
    """[b, kv, t, D] → [b, kv·group, t, D], each head `group` times."""
    if group == 1:
        return x
    total = g.dim(x, 2)
    wide = expand(g, g.unsqueeze(x, 2), b, kv_heads, group, total, dim)
    return g.reshape(wide, b, kv_heads * group, total, dim)


def softmax(g, scores):
    wide = scores if g.element == FLOAT else g.cast(scores, FLOAT)
    y = g.op("Softmax", [wide], axis=-1)
    return y if g.element == FLOAT else g.cast(y, g.element)


def attend(g, q, k, v, mask, scale, form="eager", sink=None):
    """softmax(q·kᵀ·scale + mask)·v on [b, heads, …, D]. `sink` [1, heads, 1, 1] joins the softmax as one more column."""
    if form == "sdpa":
        root = g.op("Sqrt", [g.floats(scale)])
        q = g.op("Mul", [q, root])
        k = g.op("Mul", [g.transpose(k, 0, 1, 3, 2), root])
        scores = g.op("MatMul", [q, k])
    else:
        scores = g.op("MatMul", [q, g.transpose(k, 0, 1, 3, 2)])
        scores = g.op("Mul", [scores, g.floats(scale)]) if form == "eager" else g.op("Div", [scores, g.floats(1.0 / scale)])
    if mask:
        scores = g.op("Add", [scores, mask])
    if sink is None:
        return g.op("MatMul", [softmax(g, scores), v])
    shape = g.op("Shape", [scores])
    rows = g.op("Concat", [g.slice(shape, 0, 0, 3), g.ints([1])], axis=0)
    joined = g.op("Concat", [scores, g.op("Expand", [sink, rows])], axis=-1)
    axes = dict(axes=[-1]) if getattr(g, "opset", 14) < 18 else {}
    top = g.op("ReduceMax", [joined] + ([] if axes else [g.ints([-1])]), keepdims=1, **axes)
    probabilities = softmax(g, g.op("Sub", [joined, top]))
    return g.op("MatMul", [g.slice(probabilities, 3, 0, -1), v])
