"""A small decoder in the style of Optimum's exports, with seeded random weights: what cache tests need that no model at hand has (long contexts,
windows), and cards of other sizes for it. Every layer: RMS norm, grouped attention with rotary over a past that grows by Concat, RMS norm, SwiGLU; tied embedding.
"""
import pathlib
import re

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CORSAIR = pathlib.Path(__file__).resolve().parents[2] / "targets/cards/corsair.yaml"
# Few cores, so that a cache fills them.
SMALL = dict(chiplets=2, quads_per_chiplet=2, slices_per_quad=4, cores_per_slice=4)


def card(path, **fields):
    """Writes path: corsair with other sizes, named like the file. Returns path."""
    text = CORSAIR.read_text()
    for field, value in {"name": path.stem, **fields}.items():
        text, n = re.subn(rf"(?m)^{field}: .*$", f"{field}: {value}", text)
        assert n == 1, field
    path.write_text(text)
    return path


class Graph:
    def __init__(self):
        self.nodes, self.initializers, self.count = [], [], 0

    def op(self, kind, *inputs, outputs=1, **attributes):
        self.count += 1
        names = [f"{kind}_{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"/{kind}_{self.count}", **attributes))
        return names[0] if outputs == 1 else names

    def weight(self, name, array):
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def const(self, value, dtype=np.int64):
        self.count += 1
        return self.op("Constant", value=numpy_helper.from_array(np.asarray(value, dtype), f"c{self.count}"))


def decoder(path, layers=2, hidden=64, heads=4, groups=2, size=32, ffn=96, vocabulary=96, windows=(), seed=1):
    """Writes path. windows: one a layer, 0 for none. Positions come from position_ids alone, so any --max-context will do."""
    rng, g = np.random.default_rng(seed), Graph()

    def matrix(name, rows, columns):
        return g.weight(name, (rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32))

    def shape(x, axis):
        return g.op("Gather", g.op("Shape", x), g.const(axis), axis=0)

    table = g.weight("embed", (rng.standard_normal((vocabulary, hidden))).astype(np.float32))
    x = g.op("Gather", table, "input_ids")
    frequency = g.weight("inv_freq", (10000.0 ** (-np.arange(0, size, 2) / size)).astype(np.float32).reshape(1, 1, -1))
    angle = g.op("Mul", g.op("Cast", g.op("Unsqueeze", "position_ids", g.const([2])), to=TensorProto.FLOAT), frequency)
    angle = g.op("Concat", angle, angle, axis=-1)
    cos, sin = (g.op("Unsqueeze", g.op(f, angle), g.const([1])) for f in ("Cos", "Sin"))

    total, tokens = shape("attention_mask", 1), shape("input_ids", 1)
    keys = g.op("Range", g.const(0), total, g.const(1))
    row = g.op("Unsqueeze", keys, g.const([0]))
    queries = g.op("Slice", keys, g.op("Unsqueeze", g.op("Sub", total, tokens), g.const([0])), g.const([2**31 - 1]), g.const([0]), g.const([1]))
    column = g.op("Unsqueeze", queries, g.const([1]))
    padding = g.op("Greater", g.op("Unsqueeze", "attention_mask", g.const([1, 2])), g.const(0))

    def mask(window):
        seen = g.op("LessOrEqual", row, column)
        if window:
            seen = g.op("And", seen, g.op("Greater", row, g.op("Sub", column, g.const(window))))
        seen = g.op("And", g.op("Unsqueeze", seen, g.const([0, 1])), padding)
        return g.op("Where", seen, g.const(0.0, np.float32), g.const(np.finfo(np.float32).min, np.float32))

    def norm(x, name):
        mean = g.op("ReduceMean", g.op("Pow", x, g.const(2.0, np.float32)), axes=[-1], keepdims=1)
        root = g.op("Sqrt", g.op("Add", mean, g.const(1e-5, np.float32)))
        return g.op("Mul", g.weight(name, np.ones(hidden, np.float32)), g.op("Mul", x, g.op("Div", g.const(1.0, np.float32), root)))

    def rotate(x):
        half = g.const([size // 2])
        left = g.op("Slice", x, g.const([0]), half, g.const([3]), g.const([1]))
        right = g.op("Slice", x, half, g.const([2**31 - 1]), g.const([3]), g.const([1]))
        return g.op("Add", g.op("Mul", x, cos), g.op("Mul", g.op("Concat", g.op("Neg", right), left, axis=-1), sin))

    def split(x, count):
        return g.op("Transpose", g.op("Reshape", x, g.const([1, -1, count, size])), perm=[0, 2, 1, 3])

    def repeat(x):
        if heads == groups:
            return x
        wide = g.op("Concat", g.const([1, groups, heads // groups]), g.op("Unsqueeze", shape(x, 2), g.const([0])), g.const([size]), axis=0)
        x = g.op("Expand", g.op("Unsqueeze", x, g.const([2])), wide)
        return g.op("Reshape", x, g.const([1, heads, -1, size]))

    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, [1, d]) for n, d in
              (("input_ids", "sequence_length"), ("attention_mask", "total_sequence_length"), ("position_ids", "sequence_length"))]
    presents, masks = [], {}
    for layer in range(layers):
        p = f"layers.{layer}."
        window = windows[layer] if layer < len(windows) else 0
        masks.setdefault(window, mask(window)) if window not in masks else None
        n = norm(x, p + "norm1")
        q = rotate(split(g.op("MatMul", n, matrix(p + "q", hidden, heads * size)), heads))
        k = rotate(split(g.op("MatMul", n, matrix(p + "k", hidden, groups * size)), groups))
        v = split(g.op("MatMul", n, matrix(p + "v", hidden, groups * size)), groups)
        for kind, new in (("key", k), ("value", v)):
            past = f"past_key_values.{layer}.{kind}"
            inputs.append(helper.make_tensor_value_info(past, TensorProto.FLOAT, [1, groups, "past_sequence_length", size]))
            presents.append((f"present.{layer}.{kind}", past, new))
        present = []
        for name, past, new in presents[-2:]:
            g.nodes.append(helper.make_node("Concat", [past, new], [name], name="/" + name, axis=2))
            present.append(name)
        scores = g.op("Div", g.op("MatMul", q, g.op("Transpose", repeat(present[0]), perm=[0, 1, 3, 2])), g.const(np.sqrt(size), np.float32))
        weights = g.op("Softmax", g.op("Add", scores, masks[window]), axis=-1)
        a = g.op("Transpose", g.op("MatMul", weights, repeat(present[1])), perm=[0, 2, 1, 3])
        x = g.op("Add", x, g.op("MatMul", g.op("Reshape", a, g.const([1, -1, heads * size])), matrix(p + "o", heads * size, hidden)))
        n = norm(x, p + "norm2")
        gate = g.op("MatMul", n, matrix(p + "gate", hidden, ffn))
        gate = g.op("Mul", gate, g.op("Sigmoid", gate))
        x = g.op("Add", x, g.op("MatMul", g.op("Mul", gate, g.op("MatMul", n, matrix(p + "up", hidden, ffn))), matrix(p + "down", ffn, hidden)))
    g.nodes.append(helper.make_node("MatMul", [norm(x, "norm"), g.op("Transpose", table, perm=[1, 0])], ["logits"], name="/lm_head"))
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "sequence_length", vocabulary])]
    outputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, groups, "total_sequence_length", size]) for name, _, _ in presents]
    graph = helper.make_graph(g.nodes, "decoder", inputs, outputs, g.initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), str(path))
