"""The style of exporters that write ai.onnx 23 and 24: RMSNormalization, RotaryEmbedding, Attention, TensorScatter, Swish."""
from . import primitives as p
from .optimum import Optimum
from .tensors import INT64


class Standard(Optimum):
    names = "flat"

    def begin(self):
        g, m, o = self.g, self.m, self.options
        self.static = o.cache == "static"
        self.opset = g.opset = o.opset or (24 if self.static else 23)
        self.cos, self.sin = self.rope_tables()
        self.masks = {}
        if self.static:
            self.seq = self.scalar_dim("input_ids", 1)
            slots = g.range(0, m.context)
            own = g.op("Add", [g.unsqueeze("write_indices", 1), g.unsqueeze(g.range(0, self.seq), 0)])   # [b, s]
            own = g.unsqueeze(own, 1, 3)
        else:
            self.seq, self.total = self.scalar_dim("input_ids", 1), self.scalar_dim("attention_mask", 1)
            self.past = g.op("Sub", [self.total, self.seq])
        for window in {m.window if m.windowed(i) else None for i in range(m.layers)}:
            if self.static:
                seen = g.op("LessOrEqual", [slots, own])
                if window:
                    seen = g.op("And", [seen, g.op("Greater", [slots, g.op("Sub", [own, g.ints(window)])])])
                self.masks[window] = seen
            else:
                self.masks[window] = p.causal_bool(g, self.seq, self.past, self.total, "attention_mask", window)

    def scalar_dim(self, x, axis):
        g = self.g
        return g.op("Squeeze", [g.op("Shape", [x], start=axis, end=axis + 1), g.ints([0])])

    def embed(self):
        table = self.g.weight("model.embed_tokens.weight", self.table())
        return self.g.op("Gather", [table, "input_ids"])

    def weight_name(self, name):
        return name + ".weight"

    def norm(self, x, name, n):
        return self.g.op("RMSNormalization", [x, self.norm_weight(name, n)], axis=-1, epsilon=self.m.eps, stash_type=1)

    def act(self, x):
        return self.g.op("Swish", [x]) if self.opset >= 24 else super().act(x)

    def begin_attention(self):
        pass

    def dims(self, x):
        return 0, 0     # Reshape copies them

    def rotary(self, x, heads, dim):
        return self.g.op("RotaryEmbedding", [x, self.cos, self.sin, "position_ids"], interleaved=0)

    def rotary_interleaved(self, x, heads, dim):
        return self.g.op("RotaryEmbedding", [x, self.cos, self.sin, "position_ids"], interleaved=1)

    def additive(self, window):
        """The mask as numbers to add, for layers that write attention in primitive operators."""
        if ("additive", window) not in self.masks:
            g = self.g
            self.masks["additive", window] = g.op("Where", [self.masks[window], g.floats(0.0), p.lowest(g)])
        return self.masks["additive", window]

    def attention(self, i, x):
        m, g = self.m, self.g
        width = m.kv_heads * m.head_dim
        window = m.window if m.windowed(i) else None
        name = f"model.layers.{i}.self_attn."
        self.b, self.s = self.dims(x)
        q, k = self.project(i, x, "q", m.heads, "q_norm"), self.project(i, x, "k", m.kv_heads, "k_norm")
        q, k = self.rotary(q, m.heads, m.head_dim), self.rotary(k, m.kv_heads, m.head_dim)
        if self.static:
            k = g.reshape(g.transpose(k, 0, 2, 1, 3), 0, 0, width)
            v = self.linear(x, name + "v_proj", m.hidden, width, m.qkv_bias)
            k, v = self.scatter(i, "key", k, width), self.scatter(i, "value", v, width)
            if m.sinks:
                k, v = (p.split_heads(g, y, 0, 0, m.kv_heads, m.head_dim) for y in (k, v))
                y = self.with_sinks(i, q, k, v, window)
            else:
                q = g.reshape(g.transpose(q, 0, 2, 1, 3), 0, 0, m.heads * m.head_dim)
                y = g.op("Attention", [q, k, v, self.masks[window], "", "", "nonpad_kv_seqlen"], q_num_heads=m.heads,
                         kv_num_heads=m.kv_heads, scale=self.scale())
                return self.linear(y, name + "o_proj", m.heads * m.head_dim, m.hidden, m.o_bias)
        else:
            v = self.project(i, x, "v", m.kv_heads)
            (past_k, present_k), (past_v, present_v) = (self.cache(i, w, m.kv_heads, m.head_dim) for w in ("key", "value"))
            if m.sinks:
                y = self.with_sinks(i, q, self.grow(past_k, k, present_k), self.grow(past_v, v, present_v), window)
            else:
                y = g.op("Attention", [q, k, v, self.masks[window], past_k, past_v], [None, present_k, present_v], scale=self.scale())[0]
        y = g.reshape(g.transpose(y, 0, 2, 1, 3), 0, 0, m.heads * m.head_dim)
        return self.linear(y, name + "o_proj", m.heads * m.head_dim, m.hidden, m.o_bias)

    def with_sinks(self, i, q, k, v, window):
        """Attention has no sinks, so these layers are written out; heads repeat by Expand on a new axis."""
        m, g = self.m, self.g
        group = m.heads // m.kv_heads
        shape = g.ints([1, 1, group, 1, 1])
        k, v = (g.reshape(g.op("Expand", [g.unsqueeze(y, 2), shape]), 0, m.heads, -1, m.head_dim) for y in (k, v))
        return p.attend(g, q, k, v, self.additive(window), self.scale(), "eager", self.sink(i))

    def scatter(self, i, which, new, width):
        """Writes the new tokens into a cache of fixed length [b, context, kv_heads·D] at write_indices."""
        past, updated = f"{which}_cache.{i}", f"updated_{which}_cache.{i}"
        self.caches.append((past, updated, None, width))
        return self.g.op("TensorScatter", [past, new, "write_indices"], [updated], axis=1, mode="linear")

    def finish(self):
        g, m = self.g, self.m
        if not self.static:
            self.declare(position_ids=True)
            return
        g.input("input_ids", INT64, ["batch_size", "sequence_length"])
        g.input("position_ids", INT64, ["batch_size", "sequence_length"])
        g.input("write_indices", INT64, ["batch_size"])
        g.input("nonpad_kv_seqlen", INT64, ["batch_size"])
        g.output("logits", g.element, ["batch_size", "sequence_length", m.vocab])
        for past, updated, _, width in self.caches:
            g.input(past, g.element, ["batch_size", m.context, width])
            g.output(updated, g.element, ["batch_size", m.context, width])

    def model(self):
        return self.g.model([("", self.opset)], 11 if self.opset == 23 else 12, "onnxscript", "0.5")
