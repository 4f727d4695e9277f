"""Mixtures of experts: dense exports (every expert computes every token, the routing weights choose), loops over experts, products by the
gathered weights of the chosen ones, and com.microsoft's MoE and QMoE. Router weights stay floats in every storage format."""
import numpy as np

from . import primitives as p
from .graph import MS
from .storage import dequantize_linear, dequantize_rows
from .tensors import FLOAT, FLOAT8E8M0, UINT8, Mxfp4, Quantized, given, interleave


class Parts:
    """The tensors of layer i's experts: gate and up [E, hidden, ffn], down [E, ffn, hidden], biases [E, ·]."""

    def __init__(self, d, i):
        m, e = d.m, d.m.experts
        self.name = name = f"model.layers.{i}.mlp"
        draw = lambda part, k, n, gain=1.0: d.source.normal(f"{name}.experts.{part}", (e.count, k, n), gain * k ** -0.5)
        self.gate, self.up, self.down = draw("gate_proj", m.hidden, e.ffn), draw("up_proj", m.hidden, e.ffn), draw("down_proj", e.ffn, m.hidden)
        bias = lambda part, n: d.source.normal(f"{name}.experts.{part}_bias", (e.count, n), 0.1)
        self.gate_bias, self.up_bias, self.down_bias = bias("gate_proj", e.ffn), bias("up_proj", e.ffn), bias("down_proj", m.hidden)


def mixture(d, i, x):
    """The feed-forward part of layer i on x [b, s, hidden]."""
    m, g, e = d.m, d.g, d.m.experts
    parts = Parts(d, i)
    b, s = d.dims(x) if d.names == "torch" else (None, None)
    flat = g.reshape(x, -1, m.hidden)
    logits = router(d, parts.name, flat)
    if d.names == "genai":
        y = fused(d, parts, x, logits)
    else:
        values, index = chosen(d, parts.name, logits)
        if d.options.moe in ("each", "dense"):
            weights = routing(d, logits, values, index)
            y = (each if d.options.moe == "each" else dense)(d, parts, flat, weights)
        else:
            y = {"loop": loop, "indexadd": index_add, "masked": masked, "gathered": gathered}[d.options.moe](d, parts, flat, values, index)
        y = g.reshape(y, b, s, m.hidden) if b else g.op("Reshape", [y, g.op("Shape", [x])])
    if e.shared:
        y = g.op("Add", [y, d.gated(parts.name + ".shared_experts", x, e.shared * e.ffn)])
    return y


def router(d, name, flat):
    m, g, e = d.m, d.g, d.m.experts
    weight = d.source.normal(name + ".gate.weight", (m.hidden, e.count), 2.0 * m.hidden ** -0.5)
    logits = g.op("MatMul", [flat, g.weight(d.weight_name(name + ".gate"), weight)])
    if e.router_bias:
        logits = g.op("Add", [logits, g.weight(name + ".gate.bias", d.bias(name + ".gate", e.count))])
    return logits


def chosen(d, name, logits):
    """Weights and indices [tokens, top] of the chosen experts."""
    g, e = d.g, d.m.experts
    top = lambda x, k: g.op("TopK", [x, g.ints([k])], 2, axis=-1, largest=1, sorted=1)
    if e.router == "topk":
        values, index = top(logits, e.top)
        return p.softmax(g, values), index
    if e.router == "softmax":
        values, index = top(p.softmax(g, logits), e.top)
        return g.op("Div", [values, g.op("ReduceSum", [values, g.ints([-1])], keepdims=1)]), index
    scores = g.op("Sigmoid", [logits])
    index = top(grouped_choice(d, name, scores), e.top)[1]
    values = g.op("GatherElements", [scores, index], axis=1)
    total = g.op("Add", [g.op("ReduceSum", [values, g.ints([-1])], keepdims=1), g.floats(1e-20)])
    return g.op("Mul", [g.op("Div", [values, total]), g.floats(e.scaling)]), index


def grouped_choice(d, name, scores):
    """Scores with the correction bias, 0 outside the best groups; a group is judged by the sum of its two best."""
    g, e = d.g, d.m.experts
    bias = name + ".gate.e_score_correction_bias"
    biased = g.op("Add", [scores, g.weight(bias, d.source.normal(bias, (e.count,), 0.05))])
    size = e.count // e.groups
    by_group = g.reshape(biased, -1, e.groups, size)
    best = g.op("TopK", [by_group, g.ints([2])], 2, axis=-1, largest=1, sorted=1)[0]
    judged = g.op("ReduceSum", [best, g.ints([-1])], keepdims=0)
    index = g.op("TopK", [judged, g.ints([e.top_groups])], 2, axis=-1, largest=1, sorted=0)[1]
    open_groups = scatter(g, judged, index, g.op("ConstantOfShape", [g.op("Shape", [index])], value=p.float_tensor(g, 1.0)))
    wide = g.op("Expand", [g.unsqueeze(open_groups, 2), g.ints([1, 1, size])])
    mask = g.cast(g.reshape(wide, -1, e.count), 9)
    return g.op("Where", [mask, biased, g.floats(0.0)])


def scatter(g, like, index, values):
    """Zeros in the shape of `like` [n, c] with `values` put at `index` along axis 1."""
    zeros = g.op("ConstantOfShape", [g.op("Shape", [like])], value=p.float_tensor(g, 0.0))
    return g.op("ScatterElements", [zeros, index, values], axis=1)


def routing(d, logits, values, index):
    """Routing weights [tokens, E], 0 for experts that are not chosen."""
    g, e = d.g, d.m.experts
    if d.m.model_type == "mixtral":
        hot = g.op("OneHot", [index, g.ints([e.count]), g.floats([0.0, 1.0])], axis=-1)
        return g.op("ReduceSum", [g.op("Mul", [hot, g.unsqueeze(values, -1)]), g.ints([1])], keepdims=0)
    return scatter(g, logits, index, values)


def activate(d, gate, up):
    g, e = d.g, d.m.experts
    if not e.clamp:
        return g.op("Mul", [d.act(gate), up])
    gate = g.op("Clip", [gate, "", g.floats(e.clamp)])
    up = g.op("Clip", [up, g.floats(-e.clamp), g.floats(e.clamp)])
    glu = g.op("Mul", [gate, g.op("Sigmoid", [g.op("Mul", [gate, g.floats(1.702)])])])
    return g.op("Mul", [g.op("Add", [up, g.floats(1.0)]), glu])


def dense(d, parts, flat, weights):
    """Σ over experts of weight · expert(x), all by batched products."""
    m, g, e = d.m, d.g, d.m.experts
    name = parts.name + ".experts."
    if d.names == "torch":   # hidden_states.repeat(experts, 1).view(experts, -1, hidden)
        repeated = g.op("Tile", [flat, g.ints([e.count, 1])])
        x = g.reshape(repeated, e.count, -1, m.hidden)
    else:
        x = g.unsqueeze(flat, 0)
    product = lambda x, part, lazy: g.op("MatMul", [x, d.matrix(name + part, lazy)])
    biased = lambda y, part, lazy: g.op("Add", [y, g.unsqueeze(g.weight(name + part + "_bias", lazy), 1)]) if e.bias else y
    if e.clamp:   # GPT-OSS keeps gate and up interleaved in one tensor
        both = product(x, "gate_up_proj", interleave(parts.gate, parts.up, 2))
        both = biased(both, "gate_up_proj", interleave(parts.gate_bias, parts.up_bias, 1))
        gate, up = (g.slice(both, 2, start, 2 ** 63 - 1, 2) for start in (0, 1))
    else:
        gate = biased(product(x, "gate_proj", parts.gate), "gate_proj", parts.gate_bias)
        up = biased(product(x, "up_proj", parts.up), "up_proj", parts.up_bias)
    y = biased(product(activate(d, gate, up), "down_proj", parts.down), "down_proj", parts.down_bias)
    scaled = g.op("Mul", [y, g.unsqueeze(g.transpose(weights, 1, 0), -1)])
    return g.op("ReduceSum", [scaled, g.ints([0])], keepdims=0)


def expert(d, parts, k, x):
    """Expert k on x [n, hidden], by weights of its own."""
    g, e, o = d.g, d.m.experts, d.options
    name = f"{parts.name}.experts.{k}."

    def product(x, part, lazy, bias):
        n = f"{name}{part}"
        if o.bits and o.quantize == "nbits" and not o.dequantized:   # a quantiser has replaced MatMul
            matrix = lazy[k].transpose()
            q = Quantized(matrix, o.bits, o.block, o.zero_points)
            zeros = [g.weight(n + ".weight_zp", q.zeros, UINT8, False)] if o.zero_points else []
            g.parameters += matrix.size
            inputs = [x, g.weight(f"{n}.weight_Q{o.bits}", q.packed, UINT8, False), g.weight(n + ".weight_scales", q.scales, None, False)]
            y = g.op("MatMulNBits", inputs + zeros, domain=MS, K=matrix.shape[1], N=matrix.shape[0], bits=o.bits, block_size=o.block)
        else:
            weight = dequantize_linear(g, d.weight_name(n), lazy[k], o, d.opset) if d.qdq else g.weight(d.weight_name(n), d.stored_experts(lazy)[k])
            y = g.op("MatMul", [x, weight])
        return g.op("Add", [g.weight(n + ".bias", bias[k]), y]) if e.bias else y
    gate, up = product(x, "gate_proj", parts.gate, parts.gate_bias), product(x, "up_proj", parts.up, parts.up_bias)
    return product(activate(d, gate, up), "down_proj", parts.down, parts.down_bias)


def one_hot(d, index):
    """[E, top, tokens], or [E, tokens, top] as DeepSeek's code has it."""
    g, e = d.g, d.m.experts
    hot = g.op("OneHot", [index, g.ints([e.count]), g.ints([0, 1])], axis=-1)
    return g.transpose(hot, *((2, 0, 1) if d.m.latent else (2, 1, 0)))


def each(d, parts, flat, weights):
    """Expert after expert computes all tokens, scaled by its column of the routing weights [tokens, E]."""
    g, result, scope = d.g, None, d.g.scope
    for k in range(d.m.experts.count):
        with g.within(f"{scope}/experts.{k}"):
            column = g.unsqueeze(g.op("Gather", [weights, g.ints(k)], axis=1), 1)
            y = g.op("Mul", [expert(d, parts, k, flat), column])
            result = g.op("Add", [result, y]) if result else y
    return result


def masked(d, parts, flat, values, index):
    """The same, each expert's routing weights being the sum over the choices that are it."""
    g, result, scope = d.g, zeros_like(d, flat), d.g.scope
    for k in range(d.m.experts.count):
        with g.within(f"{scope}/experts.{k}"):
            mine = g.cast(g.op("Equal", [index, g.ints(k)]), g.element)
            weight = g.op("ReduceSum", [g.op("Mul", [mine, values]), g.ints([-1])], keepdims=1)
            result = g.op("Add", [result, g.op("Mul", [expert(d, parts, k, flat), weight])])
    return result


def zeros_like(d, like):
    """Zeros in the shape of `like`."""
    return d.g.op("ConstantOfShape", [d.g.op("Shape", [like])], value=p.float_tensor(d.g, 0.0))


def loop(d, parts, flat, values, index):
    """Expert after expert: the tokens that chose it are gathered, computed, and added where they came from."""
    g, e = d.g, d.m.experts
    result, hot, scope = zeros_like(d, flat), one_hot(d, index), g.scope
    for k in range(e.count):
        with g.within(f"{scope}/experts.{k}"):
            places = g.op("NonZero", [g.op("Gather", [hot, g.ints(k)], axis=0)])          # [2, n]
            pair = [g.op("Squeeze", [y, g.ints([0])]) for y in g.op("Split", [places, g.ints([1, 1])], 2, axis=0)]
            token, rank = pair if d.m.latent else pair[::-1]
            y = expert(d, parts, k, g.op("Gather", [flat, token], axis=0))
            weight = g.op("GatherND", [values, g.op("Concat", [g.unsqueeze(token, 1), g.unsqueeze(rank, 1)], axis=1)])
            y = g.op("Mul", [y, g.unsqueeze(weight, 1)])
            result = g.op("ScatterND", [result, g.unsqueeze(token, 1), y], reduction="add")
    return result


def index_add(d, parts, flat, values, index):
    """The same as TorchScript traces torch.where, indices of several tensors and index_add_: positions in the flattened weights, rows put
    into zeros by an index for every element, and a sum."""
    g, e, hidden = d.g, d.m.experts, d.m.hidden
    result, hot, scope = zeros_like(d, flat), one_hot(d, index), g.scope
    batched = g.unsqueeze(flat, 0)
    for k in range(e.count):
        with g.within(f"{scope}/experts.{k}"):
            mask = g.cast(g.op("Gather", [hot, g.ints(k)], axis=0), 9)
            places = g.transpose(g.op("NonZero", [mask]), 1, 0)
            pair = [g.op("Squeeze", [y, g.ints([1])]) for y in g.op("Split", [places, g.ints([1, 1])], 2, axis=1)]
            token, rank = pair if d.m.latent else pair[::-1]
            y = expert(d, parts, k, g.reshape(g.op("Gather", [batched, token], axis=1), -1, hidden))
            lifted = g.unsqueeze(values, 2)
            place = g.op("Add", [rank, g.op("Mul", [token, g.dim(lifted, 1)])])
            weight = g.reshape(g.op("Gather", [g.op("Flatten", [lifted], axis=2), place], axis=0), -1, 1)
            y = g.op("Mul", [y, weight])
            y = g.op("Expand", [y, g.op("Shape", [g.slice(result, 0, 0, 1)])])
            rows = g.op("Expand", [g.unsqueeze(token, 1), g.op("Shape", [y])])
            result = g.op("Add", [result, g.op("ScatterElements", [zeros_like(d, flat), rows, y], axis=0)])
    return result


def gathered(d, parts, flat, values, index):
    """The chosen experts' matrices are gathered for every pair of token and choice, and multiplied in a batch."""
    g, m, e = d.g, d.m, d.m.experts
    name = parts.name + ".experts."
    pairs = g.reshape(index, -1)
    tokens = g.op("Range", [g.ints(0), g.dim(flat, 0), g.ints(1)])
    tokens = g.reshape(g.op("Expand", [g.unsqueeze(tokens, 1), g.op("Shape", [index])]), -1)
    x = g.op("Gather", [flat, tokens], axis=0)

    def product(x, part, lazy, bias):   # stored [E, out, in]
        rows = d.stored_experts(lazy).transpose(0, 2, 1)
        matrix = g.op("Gather", [g.weight(name + part, rows), pairs], axis=0)
        y = g.op("Squeeze", [g.op("MatMul", [matrix, g.unsqueeze(x, -1)]), g.ints([-1])])
        return g.op("Add", [y, g.op("Gather", [g.weight(name + part + "_bias", bias), pairs], axis=0)]) if e.bias else y
    gate, up = product(x, "gate_proj", parts.gate, parts.gate_bias), product(x, "up_proj", parts.up, parts.up_bias)
    y = product(activate(d, gate, up), "down_proj", parts.down, parts.down_bias)
    y = g.op("Mul", [y, g.reshape(values, -1, 1)])
    return g.op("ReduceSum", [g.reshape(y, -1, e.top, m.hidden), g.ints([1])], keepdims=0)


def fused(d, parts, x, logits):
    """com.microsoft MoE, or QMoE over weights in blocks; gate and up are interleaved rows of one matrix [E, 2·ffn, hidden]."""
    g, e, o = d.g, d.m.experts, d.options
    first = interleave(parts.gate.transpose(0, 2, 1), parts.up.transpose(0, 2, 1), 1)
    first_bias, second = interleave(parts.gate_bias, parts.up_bias, 1), parts.down.transpose(0, 2, 1)
    name = parts.name + ".experts."
    if e.router == "grouped":   # the operator's softmax over log-scores of the chosen ones is their normalisation
        scores = g.op("Sigmoid", [logits])
        index = g.op("TopK", [grouped_choice(d, parts.name, scores), g.ints([e.top])], 2, axis=-1, largest=1, sorted=1)[1]
        ones = g.op("ConstantOfShape", [g.op("Shape", [index])], value=p.float_tensor(g, 1.0))
        taken = g.cast(scatter(g, scores, index, ones), 9)
        logits = g.op("Where", [taken, g.op("Log", [scores]), p.lowest(g)])
    biases = [g.weight(name + "gate_up_proj.bias", first_bias), g.weight(name + "down_proj.bias", parts.down_bias)] if e.bias else ["", ""]
    attributes = dict(k=e.top, activation_type="swiglu", swiglu_fusion=1, normalize_routing_weights=1, use_sparse_mixer=0,
                      activation_alpha=1.702 if e.clamp else 1.0, activation_beta=1.0 if e.clamp else 0.0)
    if e.clamp:
        attributes["swiglu_limit"] = float(e.clamp)
    if o.quantize == "mxfp4" and not o.dequantized:
        inputs = [x, logits]
        for part, matrix, bias in (("gate_up_proj", first, biases[0]), ("down_proj", second, biases[1])):
            q = Mxfp4(matrix)
            g.parameters += matrix.size
            inputs += [g.weight(f"{name}{part}.weight_MXFP4", q.packed, UINT8, False),
                       g.weight(f"{name}{part}.weight_scales", q.scales, FLOAT8E8M0, False), bias]
        ones = g.weight(name + "global_scales", given(np.ones(e.count, np.float32)), FLOAT, False)
        y = g.op("QMoE", inputs + [""] * 7 + [ones, ones], domain=MS, expert_weight_bits=4, block_size=32, quant_type="fp4", **attributes)
    elif d.nbits:
        inputs = [x, logits]
        for part, matrix, bias in (("gate_up_proj", first, biases[0]), ("down_proj", second, biases[1])):
            packed, scales, _ = d.quantized_experts(name + part, matrix)
            inputs += [packed, scales, bias]
        y = g.op("QMoE", inputs, domain=MS, expert_weight_bits=o.bits, block_size=o.block, **attributes)
    else:
        def rows(part, matrix):
            if d.qdq:
                return dequantize_rows(g, f"{name}{part}.weight", matrix, o)
            return g.weight(f"{name}{part}.weight", d.stored_experts(matrix.transpose(0, 2, 1)).transpose(0, 2, 1))
        weights = [rows("gate_up_proj", first), rows("down_proj", second)]
        inputs = [x, logits, weights[0], biases[0], weights[1]] + ([biases[1]] if biases[1] else [])
        y = g.op("MoE", inputs, domain=MS, **attributes)
    if e.scaling != 1.0:
        y = g.op("Mul", [y, g.floats(e.scaling)])
    return y
