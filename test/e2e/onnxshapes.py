"""Concrete shapes of an ONNX graph for given dimensions: an evaluator of its own, independent of the compiler.

evaluate() walks the graph once. Every tensor gets its shape; small tensors whose elements follow from dimensions and initializers
get their value too, which is what shape arithmetic needs. An operator without a rule here is an error that names the node: nothing
is guessed. Subgraphs of If are walked in place, the branch that the condition's value chooses.
"""
import numpy as np
import onnx
from onnx import numpy_helper

SMALL = 4096  # elements; larger tensors are known by shape only

DTYPES = {onnx.TensorProto.FLOAT: np.float32, onnx.TensorProto.INT64: np.int64, onnx.TensorProto.INT32: np.int32,
          onnx.TensorProto.UINT8: np.uint8, onnx.TensorProto.INT8: np.int8, onnx.TensorProto.BOOL: np.bool_,
          onnx.TensorProto.DOUBLE: np.float64, onnx.TensorProto.FLOAT16: np.float16}


class Tensor:
    """One value of the graph. constant: follows from initializers alone. fixed: the same in every call, so that a compiler can fold it.
    producer: the node that computes it, or None."""

    def __init__(self, name, shape, dtype, value=None, constant=False, producer=None):
        self.name, self.shape, self.dtype = name, tuple(int(d) for d in shape), np.dtype(dtype)
        self.value, self.constant, self.producer = value, constant, producer
        self.consumers, self.fixed = [], constant

    @property
    def elements(self):
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self):
        """As the card holds it densely: float and every wider integer in 4 bytes."""
        return self.elements * min(4, self.dtype.itemsize)


class Node:
    def __init__(self, proto, inputs):
        self.name, self.op, self.inputs = proto.name, proto.op_type, inputs
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute if a.type != onnx.AttributeProto.GRAPH}
        self.outputs = []

    def __repr__(self):
        return f"{self.op} '{self.name}'"


class Evaluation:
    """inputs, outputs: tensors of the graph's interface by name. nodes: those that an output needs, in order."""

    def __init__(self):
        self.inputs, self.outputs, self.nodes = {}, {}, []


def evaluate(path, shapes, values=None, probe=None):
    """shapes: each graph input's dimensions by name. values: arrays for inputs whose elements the walk needs (an If's condition).
    probe: other shapes that a call may have; a value that is the same under both is marked fixed."""
    model = onnx.load(str(path), load_external_data=False)
    result = Evaluation()
    scope, nodes = {}, []
    _initializers(model.graph, scope)
    for info in model.graph.input:
        if info.name in scope:
            continue
        value = (values or {}).get(info.name)
        shape = value.shape if value is not None else shapes[info.name]
        scope[info.name] = result.inputs[info.name] = Tensor(info.name, shape, DTYPES[info.type.tensor_type.elem_type], value)
    _walk(model.graph, scope, nodes)
    result.outputs = {info.name: scope[info.name] for info in model.graph.output}
    needed, work = set(), [t for t in result.outputs.values()]
    while work:
        tensor = work.pop()
        if tensor.producer is not None and id(tensor.producer) not in needed:
            needed.add(id(tensor.producer))
            work.extend(t for t in tensor.producer.inputs if t is not None)
    if probe is not None:
        other = {t.name: t for n in evaluate(path, probe, values).nodes for t in n.outputs}
        for node in nodes:
            for tensor in node.outputs:
                twin = other.get(tensor.name)
                if tensor.value is not None and twin is not None and twin.value is not None and tensor.shape == twin.shape:
                    tensor.fixed = tensor.fixed or bool(np.array_equal(tensor.value, twin.value))
    result.nodes = [n for n in nodes if id(n) in needed]
    for node in result.nodes:
        for tensor in node.inputs:
            if tensor is not None:
                tensor.consumers.append(node)
    return result


def all_nodes(graph):
    """The graph's nodes and those of its subgraphs."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from all_nodes(attribute.g)


def _initializers(graph, scope):
    for proto in graph.initializer:
        external = proto.data_location == onnx.TensorProto.EXTERNAL
        small = int(np.prod(proto.dims, dtype=np.int64)) <= SMALL and not external
        scope[proto.name] = Tensor(proto.name, proto.dims, DTYPES[proto.data_type], numpy_helper.to_array(proto) if small else None, True)


def _walk(graph, scope, nodes):
    for proto in graph.node:
        if proto.op_type == "If":
            condition = scope[proto.input[0]].value
            assert condition is not None, f"If '{proto.name}': the condition's value is not known"
            branch = next(a.g for a in proto.attribute if a.name == ("then_branch" if condition.reshape(-1)[0] else "else_branch"))
            inner = dict(scope)
            _initializers(branch, inner)
            _walk(branch, inner, nodes)
            for name, info in zip(proto.output, branch.output):
                scope[name] = inner[info.name]
            continue
        node = Node(proto, [scope[i] if i else None for i in proto.input])
        rule = RULES.get(proto.op_type)
        assert rule is not None, f"{node}: no shape rule for this operator"
        given = [t for t in node.inputs if t is not None]
        constant = proto.op_type == "Constant" or (bool(given) and all(t.constant for t in given))
        try:
            results = rule(node, *node.inputs)
        except Exception as error:
            raise AssertionError(f"{node}: {error}") from error
        for name, (shape, dtype, value) in zip(proto.output, results):
            if value is not None:
                value = np.asarray(value)
                assert tuple(value.shape) == tuple(shape), f"{node}: value of shape {value.shape}, expected {shape}"
                if value.size > SMALL:
                    value = None
            tensor = Tensor(name, shape, dtype, value, constant, node)
            node.outputs.append(tensor)
            if name:
                scope[name] = tensor
        nodes.append(node)


# --- One rule an operator: (node, input tensors...) -> [(shape, dtype, value or None)] ------------------------------------------

def _known(*tensors):
    return all(t is None or t.value is not None for t in tensors)


def _elementwise(function, dtype=None):
    def rule(node, *inputs):
        value = None
        if _known(*inputs):
            with np.errstate(all="ignore"):
                value = function(*[t.value for t in inputs])
        kind = dtype or inputs[-1].dtype
        return [(np.broadcast_shapes(*[t.shape for t in inputs]), kind, None if value is None else np.asarray(value).astype(kind))]
    return rule


def _divide(a, b):
    return a // b if np.issubdtype(np.asarray(a).dtype, np.integer) else a / b


def _same(node, x, *rest):
    return [(x.shape, x.dtype, None)]


def _axes(node, tensor, attribute="axes"):
    if tensor is not None:
        assert tensor.value is not None, "axes are not known"
        return [int(a) for a in tensor.value.reshape(-1)]
    found = node.attributes.get(attribute)
    return None if found is None else [int(a) for a in np.asarray(found).reshape(-1)]


def _constant(node):
    value = numpy_helper.to_array(node.attributes["value"])
    return [(value.shape, value.dtype, value)]


def _unsqueeze(node, x, axes=None):
    where = _axes(node, axes)
    rank = len(x.shape) + len(where)
    where = sorted(a % rank for a in where)
    shape = list(x.shape)
    for a in where:
        shape.insert(a, 1)
    return [(shape, x.dtype, None if x.value is None else x.value.reshape(shape))]


def _squeeze(node, x, axes=None):
    where = _axes(node, axes)
    where = [i for i, d in enumerate(x.shape) if d == 1] if where is None else [a % len(x.shape) for a in where]
    shape = [d for i, d in enumerate(x.shape) if i not in where]
    return [(shape, x.dtype, None if x.value is None else x.value.reshape(shape))]


def _reshape(node, x, target):
    assert target.value is not None, "the target shape is not known"
    shape = [int(d) for d in target.value]
    if not node.attributes.get("allowzero", 0):
        shape = [x.shape[i] if d == 0 else d for i, d in enumerate(shape)]
    if -1 in shape:
        rest = int(np.prod([d for d in shape if d != -1], dtype=np.int64))
        shape[shape.index(-1)] = x.elements // rest if rest else 0
    assert int(np.prod(shape, dtype=np.int64)) == x.elements, f"{x.shape} does not reshape to {shape}"
    return [(shape, x.dtype, None if x.value is None else x.value.reshape(shape))]


def _concat(node, *inputs):
    axis = node.attributes["axis"] % len(inputs[0].shape)
    shape = list(inputs[0].shape)
    shape[axis] = sum(t.shape[axis] for t in inputs)
    value = np.concatenate([t.value for t in inputs], axis) if _known(*inputs) else None
    return [(shape, inputs[0].dtype, value)]


def _gather(node, x, indices):
    axis = node.attributes.get("axis", 0) % len(x.shape)
    value = np.take(x.value, indices.value, axis) if _known(x, indices) else None
    return [(x.shape[:axis] + indices.shape + x.shape[axis + 1:], x.dtype, value)]


def _slice(node, x, starts=None, ends=None, axes=None, steps=None):
    get = lambda t, name: [int(v) for v in (t.value if t is not None else node.attributes.get(name, []))]
    starts, ends, steps = get(starts, "starts"), get(ends, "ends"), get(steps, "steps") or None
    where = get(axes, "axes") or list(range(len(starts)))
    cut = [slice(None)] * len(x.shape)
    for i, axis in enumerate(where):
        cut[axis] = slice(starts[i], ends[i] if ends[i] > -(1 << 40) else None, steps[i] if steps else 1)
    shape = [len(range(d)[c]) for d, c in zip(x.shape, cut)]
    return [(shape, x.dtype, None if x.value is None else x.value[tuple(cut)])]


def _split(node, x, sizes=None):
    axis = node.attributes.get("axis", 0) % len(x.shape)
    sizes = _axes(node, sizes, "split")
    assert sizes is not None, "split without sizes"
    return [(x.shape[:axis] + (s,) + x.shape[axis + 1:], x.dtype, None) for s in sizes]


def _transpose(node, x):
    order = node.attributes.get("perm", list(range(len(x.shape)))[::-1])
    return [([x.shape[p] for p in order], x.dtype, None if x.value is None else x.value.transpose(order))]


def _reduce(node, x, axes=None):
    where = _axes(node, axes)
    where = list(range(len(x.shape))) if where is None else [a % len(x.shape) for a in where]
    keep = node.attributes.get("keepdims", 1)
    return [([1 if i in where else d for i, d in enumerate(x.shape) if keep or i not in where], x.dtype, None)]


def _matmul(node, a, b, *rest):
    assert a.shape[-1] == b.shape[-2], f"{a.shape} and {b.shape} do not multiply"
    shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) + (a.shape[-2], b.shape[-1])
    return [(shape, np.int32 if node.op == "MatMulInteger" else a.dtype, None)]


def _conv(node, x, w, bias=None):
    kernel = w.shape[2:]
    strides = node.attributes.get("strides", [1] * len(kernel))
    dilations = node.attributes.get("dilations", [1] * len(kernel))
    pads = node.attributes.get("pads", [0] * 2 * len(kernel))
    sizes = [(x.shape[2 + i] + pads[i] + pads[i + len(kernel)] - dilations[i] * (k - 1) - 1) // strides[i] + 1 for i, k in enumerate(kernel)]
    return [((x.shape[0], w.shape[0], *sizes), x.dtype, None)]


def _range(node, start, limit, delta):
    assert _known(start, limit, delta), "the bounds are not known"
    value = np.arange(start.value.item(), limit.value.item(), delta.value.item(), dtype=start.dtype)
    return [(value.shape, start.dtype, value)]


def _constant_of_shape(node, shape):
    fill = numpy_helper.to_array(node.attributes["value"]) if "value" in node.attributes else np.zeros(1, np.float32)
    size = [int(d) for d in shape.value]
    return [(size, fill.dtype, np.full(size, fill.reshape(-1)[0], fill.dtype) if np.prod(size) <= SMALL else None)]


def _expand(node, x, shape):
    size = np.broadcast_shapes(x.shape, tuple(int(d) for d in shape.value))
    return [(size, x.dtype, None if x.value is None else np.broadcast_to(x.value, size))]


def _cast(node, x):
    dtype = DTYPES[node.attributes["to"]]
    return [(x.shape, dtype, None if x.value is None else x.value.astype(dtype))]


RULES = {
    "Constant": _constant, "Identity": lambda node, x: [(x.shape, x.dtype, x.value)], "Cast": _cast,
    "Shape": lambda node, x: [((len(x.shape),), np.int64, np.array(x.shape, np.int64))],
    "Unsqueeze": _unsqueeze, "Squeeze": _squeeze, "Reshape": _reshape, "Concat": _concat, "Gather": _gather, "Slice": _slice, "Split": _split,
    "Transpose": _transpose, "ReduceMean": _reduce, "ReduceSum": _reduce, "MatMul": _matmul, "MatMulInteger": _matmul, "Conv": _conv,
    "Range": _range, "ConstantOfShape": _constant_of_shape, "Expand": _expand,
    "Add": _elementwise(np.add), "Sub": _elementwise(np.subtract), "Mul": _elementwise(np.multiply), "Div": _elementwise(_divide),
    "Pow": lambda node, x, y: [(np.broadcast_shapes(x.shape, y.shape), x.dtype, None)],
    "Equal": _elementwise(np.equal, np.bool_), "Less": _elementwise(np.less, np.bool_), "Greater": _elementwise(np.greater, np.bool_),
    "LessOrEqual": _elementwise(np.less_equal, np.bool_), "GreaterOrEqual": _elementwise(np.greater_equal, np.bool_),
    "And": _elementwise(np.logical_and, np.bool_), "Or": _elementwise(np.logical_or, np.bool_), "Not": _elementwise(np.logical_not, np.bool_),
    "Where": _elementwise(np.where), "Neg": _elementwise(np.negative), "Sqrt": _elementwise(np.sqrt),
    "DynamicQuantizeLinear": lambda node, x: [(x.shape, np.uint8, None), ((), np.float32, None), ((), np.uint8, None)],
    "DequantizeLinear": lambda node, x, scale, zero=None: [(x.shape, scale.dtype, None)],
    **{op: _same for op in ("Softmax", "Sigmoid", "Tanh", "Erf", "Cos", "Sin", "Exp", "Relu", "InstanceNormalization", "LayerNormalization",
                            "Trilu")},
}
