"""The style of Optimum and transformers.js: TorchScript's primitive operators, opset 14 (17 with a loop over experts)."""
from . import primitives as p
from .decoder import Decoder
from .graph import Graph
from .tensors import BOOL, concat


class Optimum(Decoder):
    names = "torch"
    with_past = True     # false inside the branch of a merged decoder that starts a sequence

    def build(self):
        if not self.options.merged:
            return super().build()
        outer, branches = self.g, {}
        for branch, self.with_past in (("then_branch", True), ("else_branch", False)):
            self.g, self.caches = Graph(self.names, outer.data, outer.element), []
            self.g.known, self.g.weight = outer.known, outer.weight      # weights live in the outer graph, once
            self.fill()
            self.declare_outputs(self.g)
            branches[branch] = self.g.graph(branch)
        self.g = outer
        self.finish()
        outer.input("use_cache_branch", BOOL, [1])
        outer.op("If", ["use_cache_branch"], [o.name for o in outer.outputs], **branches)
        return self.model()

    def grow(self, past, new, present):
        return super().grow(past, new, present) if self.with_past else self.g.op("Identity", [new], [present])

    def begin(self):
        g, m, o = self.g, self.m, self.options
        self.opset = g.opset = o.opset or (17 if m.experts and o.moe == "loop" else 14)
        with g.within("/model"):
            self.batch, self.seq = g.dim("input_ids", 0), g.dim("input_ids", 1)
            self.past = g.dim("past_key_values.0.key", 2) if self.with_past else g.ints(0)
            self.total = g.op("Add", [self.past, self.seq])
            self.masks = {}
            form = o.fixed_mask or m.mask
            for window in {m.window if m.windowed(i) else None for i in range(m.layers)}:
                self.masks[window] = p.additive_mask(g, form, self.batch, self.seq, self.past, self.total, "attention_mask", window)
        self.gathered = (o.fixed_rope or m.rope) == "gathered"
        if self.gathered:
            self.tables = [g.weight(n, concat([t, t], 1), counted=False) for n, t in zip(("cos_cached", "sin_cached"), self.lazy_tables())]
        else:
            with g.within("/model/rotary_emb"):
                self.cos, self.sin = p.rotary_angles(g, "position_ids", *self.rope())

    def gather_angles(self):
        """A layer's cos and sin [b, 1, s, D] from tables [context, D], cut to the tokens so far as older code has it."""
        g = self.g
        rows = [g.op("Gather", [g.slice(t, 0, 0, g.unsqueeze(self.total, 0)), "position_ids"]) for t in self.tables]
        self.cos, self.sin = (g.unsqueeze(r, 1) for r in rows)

    def weight_name(self, name):
        if name not in self.g.known:
            self.g.known[name] = f"onnx::MatMul_{len(self.g.known) + 1000}"
        return self.g.known[name]

    def embed(self):
        with self.g.within("/model/embed_tokens"):
            return super().embed()

    def head(self, x):
        with self.g.within("/lm_head"):
            super().head(x)

    def norm(self, x, name, n):
        return p.rms_norm(self.g, x, self.norm_weight(name, n), self.m.eps)

    def rotary(self, x, heads, dim):
        """Rotary embedding of x [b, heads, s, dim]."""
        return p.rotary(self.g, x, self.cos, self.sin, dim)

    def rotary_interleaved(self, x, heads, dim):
        return self.rotary(p.deinterleave(self.g, x, heads, dim), heads, dim)

    def begin_attention(self):
        if self.gathered:
            self.gather_angles()

    def dims(self, x):
        """Batch and new tokens, as code that reads x.shape traces them."""
        return self.g.dim(x, 0), self.g.dim(x, 1)

    def project(self, i, x, which, heads, normed=None):
        """A projection to heads: [b, heads, s, D]."""
        m, g = self.m, self.g
        name = f"model.layers.{i}.self_attn."
        y = self.linear(x, f"{name}{which}_proj", m.hidden, heads * m.head_dim, m.qkv_bias)
        y = g.reshape(y, self.b, self.s, heads, m.head_dim)
        if m.qk_norm and normed:
            y = self.norm(y, name + normed, m.head_dim)
        return g.transpose(y, 0, 2, 1, 3)

    def attention(self, i, x):
        m, g = self.m, self.g
        self.b, self.s = self.dims(x)
        q, k, v = (self.project(i, x, "q", m.heads, "q_norm"), self.project(i, x, "k", m.kv_heads, "k_norm"),
                   self.project(i, x, "v", m.kv_heads))
        q, k = self.rotary(q, m.heads, m.head_dim), self.rotary(k, m.kv_heads, m.head_dim)
        (past_k, present_k), (past_v, present_v) = (self.cache(i, w, m.kv_heads, m.head_dim) for w in ("key", "value"))
        k, v = self.grow(past_k, k, present_k), self.grow(past_v, v, present_v)
        group = m.heads // m.kv_heads
        k, v = (p.repeat_kv(g, y, self.b, m.kv_heads, group, m.head_dim) for y in (k, v))
        y = p.attend(g, q, k, v, self.masks[m.window if m.windowed(i) else None], self.scale(), m.attention, self.sink(i))
        y = p.merge_heads(g, y, self.b, self.s, m.heads * m.head_dim)
        return self.linear(y, f"model.layers.{i}.self_attn.o_proj", m.heads * m.head_dim, m.hidden, m.o_bias)

    def sink(self, i):
        """The learned sink logits [1, heads, 1, 1], or None."""
        if not self.m.sinks:
            return None
        return self.g.reshape(self.sinks(i), 1, -1, 1, 1)

    def sinks(self, i):
        name = f"model.layers.{i}.self_attn.sinks"
        return self.g.weight(name, self.source.normal(name, (self.m.heads,), 1.0))

    def finish(self):
        self.declare(position_ids=True)

    def model(self):
        domains = {node.domain for node in self.g.nodes} - {""}
        return self.g.model([("", self.opset), *((domain, 1) for domain in domains)], 8 if self.opset >= 15 else 7, "pytorch", "2.1.2")
