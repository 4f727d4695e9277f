"""The style of onnxruntime-genai's model builder: opset 21 and com.microsoft's fused operators."""
from . import primitives as p
from .decoder import Decoder
from .graph import MS
from .tensors import INT32, UINT8, Quantized, concat


class Genai(Decoder):
    names = "genai"
    attention_scope = "attn"

    def begin(self):
        g, m, o = self.g, self.m, self.options
        self.opset = g.opset = o.opset or 21
        self.nbits = o.bits and o.quantize == "nbits" and not o.dequantized
        with g.within("/model/attn_mask_reformat"):
            length = g.op("ReduceSum", ["attention_mask", g.ints([1])], keepdims=0)
            self.lengths = g.cast(g.op("Sub", [length, g.ints([1])]), INT32)
            self.total32 = g.cast(g.dim("attention_mask", 1), INT32)
        self.cos, self.sin = self.rope_tables()
        if m.latent:
            with g.within("/model/attn_mask"):
                self.seq, self.total = g.dim("input_ids", 1), g.dim("attention_mask", 1)
                self.past = g.op("Sub", [self.total, self.seq])
                seen = p.causal_bool(g, self.seq, self.past, self.total, "attention_mask")
                self.masks = {None: g.op("Where", [seen, g.floats(0.0), p.lowest(g)])}

    # Products

    def quantized(self, name, matrix, zero_points):
        """Initializers of a matrix [.., N, K] in blocks: names of the packed integers, scales and zero points ("" without)."""
        o, g = self.options, self.g
        q = Quantized(matrix, o.bits, o.block, zero_points)
        packed = g.weight(f"{name}.weight_Q{o.bits}", q.packed, UINT8, counted=False)
        scales = g.weight(f"{name}.weight_scales", q.scales, counted=False)
        zeros = g.weight(f"{name}.weight_zp", q.zeros, UINT8, counted=False) if zero_points else ""
        g.parameters += matrix.size
        return packed, scales, zeros

    def quantized_experts(self, name, matrix):
        """The same for experts [E, N, K]: QMoE takes [E, N, K·bits/8] and scales [E, N, K/block]; symmetric."""
        o, g = self.options, self.g
        q = Quantized(matrix, o.bits, o.block, False)
        packed = g.weight(f"{name}.weight_Q{o.bits}", q.packed.reshape(*matrix.shape[:2], -1), UINT8, counted=False)
        g.parameters += matrix.size
        return packed, g.weight(f"{name}.weight_scales", q.scales, counted=False), ""

    def product(self, x, name, lazy, outputs=1):
        """x times [K, N], as MatMul or MatMulNBits."""
        g, o = self.g, self.options
        k, n = lazy.shape
        if not self.nbits:
            return g.op("MatMul", [x, self.matrix(name + ".MatMul.weight", lazy)], outputs)
        packed, scales, zeros = self.quantized(name + ".MatMul", lazy.transpose(), o.zero_points)
        return g.op("MatMulNBits", [x, packed, scales] + ([zeros] if zeros else []), outputs, domain=MS, K=k, N=n, bits=o.bits, block_size=o.block)

    def linear(self, x, name, k, n, bias=False, gain=1.0):
        g = self.g
        with g.within(g.scope + "/" + name.rsplit(".", 1)[-1]):
            y = self.product(x, name, self.drawn(name, k, n, gain))
            if bias:
                y = g.op("Add", [y, g.weight(name + ".Add.bias", self.bias(name, n))])
        return y

    def embed(self):
        g, m, o = self.g, self.m, self.options
        with g.within("/model/embed_tokens"):
            if not self.nbits:
                return super().embed()
            name = "lm_head.MatMul" if m.tied else "model.embed_tokens"
            table = self.table()
            packed, scales, zeros = self.quantized(name, table, o.zero_points)
            flat = g.reshape(packed, m.vocab, -1)
            return g.op("GatherBlockQuantized", [flat, "input_ids", scales] + ([zeros] if zeros else []), domain=MS, gather_axis=0,
                        quantize_axis=1, block_size=o.block, bits=o.bits)

    def head(self, x):
        g, m, o = self.g, self.m, self.options
        with g.within("/lm_head"):
            if not self.nbits:
                return super().head(x)
            if not m.tied:
                return self.product(x, "lm_head", self.drawn("lm_head", m.hidden, m.vocab, self.HEAD_GAIN), ["logits"])
            names = ["lm_head.MatMul.weight_" + s for s in (f"Q{o.bits}", "scales", "zp")][:3 if o.zero_points else 2]
            g.op("MatMulNBits", [x, *names], ["logits"], domain=MS, K=m.hidden, N=m.vocab, bits=o.bits, block_size=o.block)

    # Norms

    def norm(self, x, name, n):
        return self.g.op("SimplifiedLayerNormalization", [x, self.norm_weight(name, n)], axis=-1, epsilon=self.m.eps, stash_type=1)

    def add_norm(self, x, y, name, last=False):
        outs = [None] if last else [None, "", "", None]
        made = self.g.op("SkipSimplifiedLayerNormalization", [x, y, self.norm_weight(name, self.m.hidden)], outs, domain=MS, epsilon=self.m.eps)
        return (None, made) if last else (made[3], made[0])

    # Attention

    def attention(self, i, x):
        m, g = self.m, self.g
        name = f"model.layers.{i}.self_attn."
        widths = [m.heads * m.head_dim, m.kv_heads * m.head_dim, m.kv_heads * m.head_dim]
        if m.qk_norm or not self.nbits:
            q, k, v = (self.linear(x, f"{name}{w}_proj", m.hidden, n, m.qkv_bias) for w, n in zip("qkv", widths))
            if m.qk_norm:
                q, k = self.head_norm(q, name + "q_norm", widths[0]), self.head_norm(k, name + "k_norm", widths[1])
        else:   # the builder packs the three into one product
            with g.within(g.scope + "/qkv_proj"):
                q = self.product(x, name + "qkv_proj", concat([self.drawn(f"{name}{w}_proj", m.hidden, n) for w, n in zip("qkv", widths)], 1))
                if m.qkv_bias:
                    q = g.op("Add", [q, g.weight(name + "qkv_proj.Add.bias", concat([self.bias(f"{name}{w}_proj", n) for w, n in zip("qkv", widths)], 0))])
            k = v = ""
        (past_k, present_k), (past_v, present_v) = (self.cache(i, w, m.kv_heads, m.head_dim) for w in ("key", "value"))
        inputs = [q, k, v, past_k, past_v, self.lengths, self.total32, self.cos, self.sin]
        if m.sinks:
            sink = f"model.layers.{i}.self_attn.sinks"
            inputs += ["", "", g.weight(sink, self.source.normal(sink, (m.heads,), 1.0))]
        with g.within(g.scope + "/GroupQueryAttention"):
            y = g.op("GroupQueryAttention", inputs, [None, present_k, present_v], domain=MS, num_heads=m.heads, kv_num_heads=m.kv_heads,
                     scale=self.scale(), local_window_size=m.window if m.windowed(i) else -1, softcap=0.0, do_rotary=1, rotary_interleaved=0)[0]
        return self.linear(y, name + "o_proj", widths[0], m.hidden, m.o_bias)

    def head_norm(self, x, name, width):
        """RMS norm of each head: [b, s, width] → [b, s·heads, D] and back."""
        g, m = self.g, self.m
        with g.within(g.scope + "/" + name.rsplit(".", 1)[-1]):
            y = g.reshape(x, 0, -1, m.head_dim)
            return g.reshape(self.norm(y, name, m.head_dim), 0, -1, width)

    def rotary_interleaved(self, x, heads, dim):
        return self.g.op("RotaryEmbedding", [x, "position_ids", self.cos, self.sin], domain=MS, interleaved=1)

    def dims(self, x):
        return 0, 0

    def finish(self):
        self.declare(position_ids=bool(self.m.latent))

    def model(self):
        return self.g.model([("", self.opset), (MS, 1)], 10, "onnxruntime-genai", "0.9.0")
