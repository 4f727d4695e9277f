"""GPT-2: learned positions, queries, keys and values from one product, layer norm, tanh GELU, tied head."""
import numpy as np
from onnx import TensorProto

from . import primitives as p
from .tensors import BOOL, INT64


class Gpt2:
    def __init__(self, blocks):
        self.k = blocks
        self.g = blocks.g

    def build(self):
        k, g, m = self.k, self.g, self.k.m
        std = 3.0 * m.hidden ** -0.5
        self.prepare()
        with g.within("/transformer"):
            x = g.op("Add", [k.table("transformer.wte.weight", m.vocab, std, "input_ids"),
                             k.table("transformer.wpe.weight", m.context, std, "position_ids")])
        with g.within("/transformer/h.0/ln_1"):
            n = k.norm(x, "transformer.h.0.ln_1")
        for i in range(m.layers):
            name, path = f"transformer.h.{i}", f"/transformer/h.{i}"
            with g.within(path + "/attn"):
                a = self.attention(i, n)
                x, n = self.down(x, a, name + ".attn.c_proj", m.hidden, name + ".ln_2")
            last = i == m.layers - 1
            with g.within(path + "/mlp"):
                f = self.up(n, name + ".mlp.c_fc")
                x, n = self.down(x, f, name + ".mlp.c_proj", m.ffn, "transformer.ln_f" if last else f"transformer.h.{i + 1}.ln_1")
        with g.within("/lm_head"):
            g.op("MatMul", [n, k.transpose_tied("transformer.wte.weight")], ["logits"])
        g.input("input_ids", INT64, ["batch_size", "sequence_length"])
        g.input("attention_mask", INT64, ["batch_size", "total_sequence_length"])
        g.input("position_ids", INT64, ["batch_size", "sequence_length"])
        g.output("logits", g.element, ["batch_size", "sequence_length", m.vocab])
        for i in range(m.layers):
            for which in ("key", "value"):
                g.input(f"past_key_values.{i}.{which}", g.element, ["batch_size", m.heads, "past_sequence_length", m.head_dim])
                g.output(f"present.{i}.{which}", g.element, ["batch_size", m.heads, "total_sequence_length", m.head_dim])
        return k.finish()

    def prepare(self):
        k, g, m = self.k, self.g, self.k.m
        if k.style == "optimum":
            padding = g.cast(g.unsqueeze(g.unsqueeze("attention_mask", 1), 2), g.element)
            self.padding = g.op("Mul", [g.op("Sub", [g.floats(1.0), padding]), p.lowest(g)])
            # The triangle that GPT-2's code keeps as a buffer; its values are part of the graph, not a parameter.
            triangle = np.tril(np.ones((m.context, m.context), np.bool_))[None, None]
            g.initializers.append(TensorProto(name="transformer.h.attn.bias", data_type=BOOL, dims=triangle.shape, raw_data=triangle.tobytes()))
            return
        s, total = g.dim("input_ids", 1), g.dim("attention_mask", 1)
        seen = p.causal_bool(g, s, g.op("Sub", [total, s]), total, "attention_mask")
        self.mask = seen if k.style == "onnx23" else g.op("Where", [seen, g.floats(0.0), p.lowest(g)])

    def conv1d(self, x, name, n_in, n_out):
        """Hugging Face's Conv1D: a product with bias on flattened tokens."""
        k, g = self.k, self.g
        b, s = k.dims(x)
        weight, bias = g.weight(name + ".weight", k.drawn(name, n_in, n_out)), g.weight(name + ".bias", k.bias(name, n_out))
        y = g.op("Gemm", [g.reshape(x, -1, n_in), weight, bias], alpha=1.0, beta=1.0)
        return g.reshape(y, b, s, n_out)

    def down(self, x, y, name, width, norm):
        k, g = self.k, self.g
        if k.style != "optimum":
            return k.linear_add_norm(x, y, name, width, norm)
        total = g.op("Add", [self.conv1d(y, name, width, k.m.hidden), x])
        return total, k.norm(total, norm)

    def up(self, x, name):
        if self.k.style != "optimum":
            return self.k.up_gelu(x, name, "tanh")
        return p.gelu_tanh(self.g, self.conv1d(x, name, self.k.m.hidden, self.k.m.ffn))

    def attention(self, i, x):
        k, g, m = self.k, self.g, self.k.m
        name = f"transformer.h.{i}.attn.c_attn"
        past = [f"past_key_values.{i}.{w}" for w in ("key", "value")]
        present = [f"present.{i}.{w}" for w in ("key", "value")]
        sizes = g.ints([m.hidden] * 3)
        if k.style == "genai":
            q, key, v = g.op("Split", [k.product(x, name, m.hidden, 3 * m.hidden), sizes], 3, axis=-1)
            return k.attend(q, key, v, g.weight(name + ".bias", k.bias(name, 3 * m.hidden)), mask=self.mask, past=past, present=present)
        if k.style == "onnx23":
            q, key, v = g.op("Split", [k.linear(x, name, m.hidden, 3 * m.hidden), sizes], 3, axis=-1)
            return k.attend(q, key, v, self.mask, past, present)
        b, s = k.dims(x)
        q, key, v = (k.heads(y, b, s) for y in g.op("Split", [self.conv1d(x, name, m.hidden, 3 * m.hidden), sizes], 3, axis=2))
        key = g.op("Concat", [past[0], key], [present[0]], axis=2)
        v = g.op("Concat", [past[1], v], [present[1]], axis=2)
        scores = g.op("Div", [g.op("MatMul", [q, g.transpose(key, 0, 1, 3, 2)]), g.floats(float(m.head_dim) ** 0.5)])
        total = g.dim(key, 2)
        start = g.op("Sub", [total, g.dim(q, 2)])
        rows = g.slice("transformer.h.attn.bias", 2, g.unsqueeze(start, 0), g.unsqueeze(total, 0))
        seen = g.slice(rows, 3, 0, g.unsqueeze(total, 0))
        scores = g.op("Add", [g.op("Where", [seen, scores, p.lowest(g)]), self.padding])
        return p.merge_heads(g, g.op("MatMul", [p.softmax(g, scores), v]), b, s, m.hidden)
