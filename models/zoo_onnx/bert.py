"""BERT: an encoder with learned positions and token types, norms after the residual additions, a padding mask, Erf GELU; outputs
last_hidden_state and pooler_output."""
import numpy as np
from onnx import TensorProto

from . import primitives as p
from .graph import MS
from .tensors import BOOL, INT32, INT64, concat


class Bert:
    def __init__(self, blocks):
        self.k = blocks
        self.g = blocks.g

    def build(self):
        k, g, m = self.k, self.g, self.k.m
        with g.within("/embeddings"):
            x = self.embed()
        with g.within("/encoder"):
            self.masks()
        for i in range(m.layers):
            name, path = f"encoder.layer.{i}", f"/encoder/layer.{i}"
            with g.within(path + "/attention"):
                a = self.attention(name + ".attention.self", x)
                _, x = k.linear_add_norm(x, a, name + ".attention.output.dense", m.hidden, name + ".attention.output.LayerNorm")
            with g.within(path + "/intermediate"):
                f = k.up_gelu(x, name + ".intermediate.dense", "erf")
            with g.within(path + "/output"):
                _, x = k.linear_add_norm(x, f, name + ".output.dense", m.ffn, name + ".output.LayerNorm")
        g.op("Identity", [x], ["last_hidden_state"])
        with g.within("/pooler"):
            first = g.op("Gather", [x, g.ints(0)], axis=1)
            weight = g.weight("pooler.dense.weight", k.drawn("pooler.dense", m.hidden, m.hidden).transpose())
            pooled = g.op("Gemm", [first, weight, g.weight("pooler.dense.bias", k.bias("pooler.dense", m.hidden))], alpha=1.0, beta=1.0, transB=1)
            g.op("Tanh", [pooled], ["pooler_output"])
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            g.input(name, INT64, ["batch_size", "sequence_length"])
        g.output("last_hidden_state", g.element, ["batch_size", "sequence_length", m.hidden])
        g.output("pooler_output", g.element, ["batch_size", m.hidden])
        return k.finish()

    def embed(self):
        k, g, m = self.k, self.g, self.k.m
        e = "embeddings."
        if k.style == "genai":
            rows = [k.parameter(f"{e}{n}_embeddings.weight", (r, m.hidden), 0.6) for n, r in
                    (("word", m.vocab), ("position", m.context), ("token_type", m.types))]
            ids, types = g.cast("input_ids", INT32), g.cast("token_type_ids", INT32)
            return g.op("EmbedLayerNormalization", [ids, types, *rows, k.gamma(e + "LayerNorm"), k.beta(e + "LayerNorm")], [None, ""], domain=MS,
                        epsilon=m.eps)[0]
        x = g.op("Add", [k.table(e + "word_embeddings.weight", m.vocab, 0.6, "input_ids"),
                         k.table(e + "token_type_embeddings.weight", m.types, 0.6, "token_type_ids")])
        positions = np.arange(m.context, dtype=np.int64)[None]
        g.initializers.append(TensorProto(name=e + "position_ids", data_type=INT64, dims=positions.shape, raw_data=positions.tobytes()))
        own = g.slice(e + "position_ids", 1, 0, g.unsqueeze(g.dim("input_ids", 1), 0))
        x = g.op("Add", [x, k.table(e + "position_embeddings.weight", m.context, 0.6, own)])
        return k.norm(x, e + "LayerNorm")

    def masks(self):
        k, g = self.k, self.g
        if k.style == "genai":
            self.mask = g.cast("attention_mask", INT32)
            return
        wide = g.unsqueeze(g.unsqueeze("attention_mask", 1), 2)
        if k.style == "onnx23":   # [b, 1, s, s]
            s = g.op("Shape", ["input_ids"], start=1, end=2)
            self.mask = g.op("Expand", [g.cast(wide, BOOL), g.op("Concat", [g.ints([1, 1]), s, g.ints([1])], axis=0)])
            return
        self.mask = g.op("Mul", [g.op("Sub", [g.floats(1.0), g.cast(wide, g.element)]), p.lowest(g)])

    def attention(self, name, x):
        k, g, m = self.k, self.g, self.k.m
        if k.style == "genai":
            q, key, v = (k.product(x, f"{name}.{w}", m.hidden, m.hidden) for w in ("query", "key", "value"))
            bias = g.weight(name + ".qkv.bias", concat([k.bias(f"{name}.{w}", m.hidden) for w in ("query", "key", "value")], 0))
            return k.attend(q, key, v, bias, padding=self.mask)
        q, key, v = (k.linear(x, f"{name}.{w}", m.hidden, m.hidden) for w in ("query", "key", "value"))
        if k.style == "onnx23":
            return k.attend(q, key, v, self.mask)
        b, s = k.dims(x)
        q, key, v = (k.heads(y, b, s) for y in (q, key, v))
        return p.merge_heads(g, p.attend(g, q, key, v, self.mask, k.scale(), "div"), b, s, m.hidden)
