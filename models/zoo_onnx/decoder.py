"""What decoder language models have in common, whatever the style: embedding, layers of norm, attention, norm and feed-forward part
with two residual additions, last norm and head."""
import dataclasses

from . import experts, latent
from .graph import Graph
from .rope import frequencies, tables, yarn_scale
from .storage import dequantize_linear, dequantized
from .tensors import FLOAT, INT64, Lazy, Mxfp4, Quantized


@dataclasses.dataclass
class Options:
    style: str = "optimum"
    bits: int = 0              # 4 or 8: weights are quantised
    quantize: str = "nbits"    # nbits (MatMulNBits and its like), qdq (DequantizeLinear) or mxfp4 (experts alone)
    block: int = 32
    zero_points: bool = False
    dequantized: bool = False  # store quantised weights as the floats they stand for
    moe: str = "dense"         # dense, each, masked, loop, indexadd or gathered, outside genai
    cache: str = "default"     # default, static, expanded, parts
    opset: int = 0             # 0: the style's
    element: int = FLOAT
    each: bool = False         # a file of external data for each tensor
    split: bool = False        # Whisper: two decoder files instead of a merged one
    merged: bool = False       # decoders alone: one If over the ways with and without a cache
    fixed_mask: str = ""       # trilu, less or bool instead of the model's own
    fixed_rope: str = ""       # computed or gathered instead of the model's own


class Decoder:
    """One decoder. Styles fill in: begin, norm, add_norm, linear, embed, head, rotary, attend, act and finish."""

    names = "torch"

    def __init__(self, model, options, source, data):
        self.m, self.options, self.source = model, options, source
        self.g = Graph(self.names, data, options.element)
        self.caches = []      # (input name, output name, heads, width) of each cache tensor

    # Weights, named as in the published checkpoints. Linear weights are [in, out].

    def drawn(self, name, k, n, gain=1.0):
        """Keeps unit variance for unit-variance input, times gain."""
        return self.source.normal(name + ".weight", (k, n), gain * k ** -0.5)

    def stored(self, lazy):
        """The [in, out] weight as float storage holds it."""
        return dequantized(lazy, self.options, self.opset) if self.options.dequantized else lazy

    def stored_experts(self, lazy):
        """The same for [experts, in, out]."""
        o = self.options
        if not o.dequantized or (o.quantize == "qdq" and self.opset < 21):
            return lazy
        rows = lazy.transpose(0, 2, 1)
        return (Mxfp4(rows) if o.quantize == "mxfp4" else Quantized(rows, o.bits, o.block, False)).dequantized().transpose(0, 2, 1)

    def matrix(self, name, lazy):
        """The value that a product multiplies by: [in, out] or [experts, in, out]."""
        experts_too = len(lazy.shape) == 3
        if self.qdq and not (experts_too and self.opset < 21):
            return dequantize_linear(self.g, name, lazy, self.options, self.opset)
        return self.g.weight(name, self.stored_experts(lazy) if experts_too else self.stored(lazy))

    @property
    def qdq(self):
        return self.options.bits and self.options.quantize == "qdq" and not self.options.dequantized

    def bias(self, name, n, std=0.1):
        return self.source.normal(name + ".bias", (n,), std)

    def norm_weight(self, name, n):
        return self.g.weight(name + ".weight", self.source.normal(name + ".weight", (n,), 0.1, 1.0))

    def table(self):
        """The embedding table [vocab, hidden]; a tied one is scaled as a head is."""
        std = 3.0 * self.m.hidden ** -0.5 if self.m.tied else 1.0
        lazy = self.source.normal("model.embed_tokens.weight", (self.m.vocab, self.m.hidden), std)
        o = self.options
        if o.dequantized and o.quantize == "nbits":
            return Quantized(lazy, o.bits, o.block, o.zero_points).dequantized()
        return lazy

    HEAD_GAIN = 3.0   # standard deviation of logits

    # Positions

    @property
    def rope_dim(self):
        return self.m.latent.rope_dim if self.m.latent else self.m.head_dim

    def rope(self):
        return frequencies(self.m.theta, self.rope_dim, self.m.rope_scaling)

    def rope_tables(self):
        """cos and sin caches [context, dim/2] as weights that are not parameters."""
        return [self.g.weight(n, t, counted=False) for n, t in zip(("cos_cache", "sin_cache"), self.lazy_tables())]

    def lazy_tables(self):
        made = tables(self.m.theta, self.rope_dim, self.m.rope_scaling, self.m.context)
        return [Lazy((self.m.context, self.rope_dim // 2), f) for f in made]

    def begin_attention(self):
        """Called before each layer's attention."""

    def scale(self):
        m = self.m
        scale = m.head_dim ** -0.5
        if m.latent and m.rope_scaling and m.rope_scaling.get("mscale_all_dim"):
            scale *= yarn_scale(m.rope_scaling["factor"], m.rope_scaling["mscale_all_dim"]) ** 2
        return float(scale)

    # Caches

    def cache(self, layer, which, heads, width):
        """Declares a growing cache [b, heads, past, width] and gives its input's and output's name."""
        past, present = f"past_key_values.{layer}.{which}", f"present.{layer}.{which}"
        self.caches.append((past, present, heads, width))
        return past, present

    def grow(self, past, new, present):
        """The cache with the new tokens behind it, [b, heads, t, width]."""
        return self.g.op("Concat", [past, new], [present], axis=2)

    def declare(self, position_ids):
        """Inputs and outputs of a decoder with growing caches, in the exporters' order."""
        g = self.g
        g.input("input_ids", INT64, ["batch_size", "sequence_length"])
        g.input("attention_mask", INT64, ["batch_size", "total_sequence_length"])
        if position_ids:
            g.input("position_ids", INT64, ["batch_size", "sequence_length"])
        for past, _, heads, width in self.caches:
            g.input(past, g.element, ["batch_size", heads, "past_sequence_length", width])
        self.declare_outputs(g)

    def declare_outputs(self, g):
        g.output("logits", g.element, ["batch_size", "sequence_length", self.m.vocab])
        for _, present, heads, width in self.caches:
            g.output(present, g.element, ["batch_size", heads, "total_sequence_length", width])

    # The model

    def build(self):
        self.fill()
        self.finish()
        return self.model()

    def fill(self):
        """The nodes of the whole model."""
        m, g = self.m, self.g
        self.begin()
        x = self.embed()
        with g.within("/model/layers.0/input_layernorm"):
            n = self.norm(x, "model.layers.0.input_layernorm", m.hidden)
        for i in range(m.layers):
            path = f"/model/layers.{i}"
            with g.within(path + "/" + self.attention_scope):
                self.begin_attention()
                a = latent.attention(self, i, n) if m.latent else self.attention(i, n)
            with g.within(path + "/post_attention_layernorm"):
                x, n = self.add_norm(x, a, f"model.layers.{i}.post_attention_layernorm")
            with g.within(path + ("/moe" if m.has_experts(i) and self.names == "genai" else "/mlp")):
                f = experts.mixture(self, i, n) if m.has_experts(i) else self.gated(f"model.layers.{i}.mlp", n, m.ffn)
            last = i == m.layers - 1
            with g.within("/model/norm" if last else f"/model/layers.{i + 1}/input_layernorm"):
                x, n = self.add_norm(x, f, "model.norm" if last else f"model.layers.{i + 1}.input_layernorm", last)
        self.head(n)

    attention_scope = "self_attn"

    def gated(self, name, x, ffn):
        """down(silu(gate(x))·up(x))."""
        g, hidden = self.g, self.m.hidden
        gate, up = self.linear(x, name + ".gate_proj", hidden, ffn), self.linear(x, name + ".up_proj", hidden, ffn)
        return self.linear(g.op("Mul", [self.act(gate), up]), name + ".down_proj", ffn, hidden)

    def add_norm(self, x, y, name, last=False):
        """x + y and its norm."""
        total = self.g.op("Add", [x, y])
        return total, self.norm(total, name, self.m.hidden)

    def linear(self, x, name, k, n, bias=False, gain=1.0):
        g = self.g
        y = g.op("MatMul", [x, self.matrix(self.weight_name(name), self.drawn(name, k, n, gain))])
        if bias:
            y = g.op("Add", [g.weight(name + ".bias", self.bias(name, n)), y])
        return y

    def weight_name(self, name):
        return name + ".weight"

    def head(self, x):
        g, m = self.g, self.m
        if m.tied:
            weight = g.op("Transpose", ["model.embed_tokens.weight"], perm=[1, 0])
        else:
            weight = self.matrix(self.weight_name("lm_head"), self.drawn("lm_head", m.hidden, m.vocab, self.HEAD_GAIN))
        g.op("MatMul", [x, weight], ["logits"])

    def embed(self):
        table = self.g.weight("model.embed_tokens.weight", self.table())
        return self.g.op("Gather", [table, "input_ids"])

    def act(self, x):
        from .primitives import silu
        return silu(self.g, x)
