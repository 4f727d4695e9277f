"""Whisper: an encoder of log-mel features [batch, bins, 2·frames] (two convolutions, then layers without a mask) and a decoder with
self-attention and cross-attention.

optimum  model.onnx is the merged decoder: `use_cache_branch` chooses between the branch that projects encoder_hidden_states to
         the cross-attention's keys and values, and the one that takes them from the cache. With options.split the first branch is model.onnx and the
         second decoder_with_past_model.onnx.
onnx23, genai  the encoder gives the cross-attention's keys and values of all layers, and model.onnx takes them as inputs. Names in genai
         style are those of onnxruntime-genai.
In all, encoder_model.onnx is beside model.onnx."""
import numpy as np
from onnx import TensorProto

from . import primitives as p
from .tensors import BOOL, INT32, INT64, Lazy, concat


def sinusoids(rows, width):
    """Whisper's encoder positions: sines, then cosines, of geometrically spaced frequencies."""
    def make():
        step = np.log(10000.0) / (width // 2 - 1)
        angles = np.arange(rows)[:, None] * np.exp(-step * np.arange(width // 2))[None]
        return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)
    return Lazy((rows, width), make)


class Part:
    """What encoder and decoder share."""

    def __init__(self, blocks):
        self.k = blocks

    @property
    def g(self):
        return self.k.g

    def attention(self, name, x, mask, past=None, present=None, given=None):
        """Self-attention on x; with `given` (keys, values [b, heads, frames, D]) cross-attention to them."""
        k, g, m = self.k, self.g, self.k.m
        n = m.hidden
        if k.style == "optimum":
            b, s = k.dims(x)
            q = k.heads(g.op("Mul", [k.linear(x, name + ".q_proj", n, n), g.floats(k.scale())]), b, s)
            key, v = given or (k.heads(k.linear(x, f"{name}.{w}_proj", n, n, w == "v"), b, s) for w in "kv")
            if past:
                key, v = (g.op("Concat", [old, new], [out], axis=2) for old, new, out in zip(past, (key, v), present))
            elif present:
                key, v = (g.op("Identity", [y], [out]) for y, out in zip((key, v), present))
            y = p.merge_heads(g, self.weigh(q, key, v, mask), b, s, n)
        elif k.style == "genai":
            q = k.product(x, name + ".q_proj", n, n)
            if given:
                bias = [g.weight(name + ".q_proj.bias", k.bias(name + ".q_proj", n))]
                y = k.attend(g.op("Add", [q, bias[0]]), *given)
            else:
                zero = Lazy((n,), lambda: np.zeros(n, np.float32))   # keys have no bias, the operator wants three
                bias = g.weight(name + ".qkv.bias", concat([k.bias(name + ".q_proj", n), zero, k.bias(name + ".v_proj", n)], 0), counted=False)
                g.parameters += 2 * n
                key, v = (k.product(x, f"{name}.{w}_proj", n, n) for w in "kv")
                y = k.attend(q, key, v, bias, mask=mask, past=past, present=present)
        else:
            q = k.linear(x, name + ".q_proj", n, n)
            if given:
                y = g.op("Attention", [g.transpose(g.reshape(q, 0, 0, m.heads, m.head_dim), 0, 2, 1, 3), *given], scale=k.scale())
                y = g.reshape(g.transpose(y, 0, 2, 1, 3), 0, 0, n)
            else:
                key, v = (k.linear(x, f"{name}.{w}_proj", n, n, w == "v") for w in "kv")
                y = k.attend(q, key, v, mask, past, present)
        return y

    def weigh(self, q, key, v, mask):
        """Queries are scaled already."""
        g = self.g
        scores = g.op("MatMul", [q, g.transpose(key, 0, 1, 3, 2)])
        if mask:
            scores = g.op("Add", [scores, mask])
        return g.op("MatMul", [p.softmax(g, scores), v])


class Encoder(Part):
    def build(self):
        k, g, m = self.k, self.g, self.k.m
        e = "model.encoder."
        x = "input_features" if k.style != "genai" else "audio_features"
        g.input(x, g.element, ["batch_size", m.mel_bins, 2 * m.frames])
        for name, channels, stride in ((e + "conv1", m.mel_bins, 1), (e + "conv2", m.hidden, 2)):
            with g.within("/" + name.rsplit(".", 1)[-1]):
                weight = k.parameter(name + ".weight", (m.hidden, channels, 3), 1.5 * (3 * channels) ** -0.5)
                x = g.op("Conv", [x, weight, g.weight(name + ".bias", k.bias(name, m.hidden))], dilations=[1], group=1, kernel_shape=[3], pads=[1, 1],
                         strides=[stride])
                x = k.gelu(x)
        x = g.transpose(x, 0, 2, 1)
        x = g.op("Add", [x, g.weight(e + "embed_positions.weight", sinusoids(m.frames, m.hidden))])
        n = k.norm(x, e + "layers.0.self_attn_layer_norm")
        for i in range(m.encoder_layers):
            name = f"{e}layers.{i}"
            with g.within(f"/layers.{i}"):
                x, n = k.linear_add_norm(x, self.attention(name + ".self_attn", n, ""), name + ".self_attn.out_proj", m.hidden,
                                         name + ".final_layer_norm")
                last = i == m.encoder_layers - 1
                x, n = k.linear_add_norm(x, k.up_gelu(n, name + ".fc1", "erf"), name + ".fc2", m.ffn,
                                         e + "layer_norm" if last else f"{e}layers.{i + 1}.self_attn_layer_norm")
        out = "hidden_states" if k.style == "genai" else "last_hidden_state"
        g.op("Identity", [n], [out])
        g.output(out, g.element, ["batch_size", m.frames, m.hidden])
        if k.style != "optimum":   # the decoder's cross-attention reads these in every step
            for i in range(m.layers):
                for which in ("key", "value"):
                    name = f"model.decoder.layers.{i}.encoder_attn.{which[0]}_proj"
                    y = k.linear(n, name, m.hidden, m.hidden, which == "value")
                    y = g.reshape(y, 0, 0, m.heads, m.head_dim)
                    y = g.op("Transpose", [y], [cross(k, i, which, True)], perm=[0, 2, 1, 3])
                    g.output(y, g.element, ["batch_size", m.heads, m.frames, m.head_dim])
        return k.finish()


def cross(k, i, which, out):
    """The name of a cross-attention tensor, as output or input."""
    if k.style == "genai":
        return f"{'present' if out else 'past'}_{which}_cross_{i}"
    return f"present.{i}.encoder.{which}" if out else f"past_key_values.{i}.encoder.{which}"


def own(k, i, which, out):
    """The name of a self-attention cache."""
    if k.style == "genai":
        return f"{'present' if out else 'past'}_{which}_self_{i}"
    return f"{'present' if out else 'past_key_values'}.{i}.{'decoder.' if k.style == 'optimum' else ''}{which}"


class DecoderPart(Part):
    """Fills the current graph with the decoder. `past`: with a cache; `project`: cross-attention keys from encoder_hidden_states."""

    merge = True   # optimum: both ways behind one If
    first = True   # without the If: the way without a cache, for the first call

    def fill(self, past, project):
        k, g, m = self.k, self.g, self.k.m
        d = "model.decoder."
        table = d + "embed_tokens.weight"
        s = g.dim("input_ids", 1)
        b = g.dim("input_ids", 0)
        before = g.dim(own(k, 0, "key", False), 2) if past else g.ints(0)
        total = g.op("Add", [before, s])
        mask = self.mask(b, s, before, total)
        std = 3.0 * m.hidden ** -0.5
        positions = k.parameter(d + "embed_positions.weight", (m.context, m.hidden), std)
        rows = g.slice(positions, 0, g.unsqueeze(before, 0), g.unsqueeze(total, 0))
        x = g.op("Add", [k.table(table, m.vocab, std, "input_ids"), rows])
        n = k.norm(x, d + "layers.0.self_attn_layer_norm")
        for i in range(m.layers):
            name = f"{d}layers.{i}"
            caches = [[own(k, i, w, out) for w in ("key", "value")] for out in (False, True)]
            with g.within(f"/model/decoder/layers.{i}/self_attn"):
                y = self.attention(name + ".self_attn", n, mask, caches[0] if past else None, caches[1])
                x, n = k.linear_add_norm(x, y, name + ".self_attn.out_proj", m.hidden, name + ".encoder_attn_layer_norm")
            with g.within(f"/model/decoder/layers.{i}/encoder_attn"):
                given = [self.projected(i, w) if project else cross(k, i, w, False) for w in ("key", "value")]
                if k.style == "optimum" and self.merge and not project:   # as Optimum's merge step fills the outputs that this branch lacks
                    for which in ("key", "value"):
                        g.op("Constant", [], [cross(k, i, which, True)],
                             value=TensorProto(data_type=g.element, dims=[0, m.heads, 1, m.head_dim], raw_data=b""))
                y = self.attention(name + ".encoder_attn", n, "", given=given)
                x, n = k.linear_add_norm(x, y, name + ".encoder_attn.out_proj", m.hidden, name + ".final_layer_norm")
            with g.within(f"/model/decoder/layers.{i}/fc"):
                last = i == m.layers - 1
                x, n = k.linear_add_norm(x, k.up_gelu(n, name + ".fc1", "erf"), name + ".fc2", m.ffn,
                                         d + "layer_norm" if last else f"{d}layers.{i + 1}.self_attn_layer_norm")
        g.op("MatMul", [n, k.transpose_tied(table)], ["logits"])

    def mask(self, b, s, before, total):
        k, g = self.k, self.g
        slots, new = g.unsqueeze(g.range(0, total), 0), g.unsqueeze(g.range(before, total), 1)
        seen = g.unsqueeze(g.op("LessOrEqual", [slots, new]), 0, 1)
        return seen if k.style == "onnx23" else g.op("Where", [seen, g.floats(0.0), p.lowest(g)])

    def projected(self, i, which):
        """Keys or values of the encoder's states; the name is the graph's output."""
        k, g, m = self.k, self.g, self.k.m
        name = f"model.decoder.layers.{i}.encoder_attn.{which[0]}_proj"
        y = k.linear("encoder_hidden_states", name, m.hidden, m.hidden, which == "value")
        y = g.reshape(y, g.dim("encoder_hidden_states", 0), g.dim("encoder_hidden_states", 1), m.heads, m.head_dim)
        return g.op("Transpose", [y], [cross(k, i, which, True)], perm=[0, 2, 1, 3])

    def ids_type(self):
        return INT32 if self.k.style == "genai" else INT64

    def build(self):
        k, g, m = self.k, self.g, self.k.m
        optimum, first = k.style == "optimum", k.style == "optimum" and not self.merge and self.first
        g.input("input_ids", self.ids_type(), ["batch_size", "decoder_sequence_length"])
        if optimum and (self.merge or first):
            g.input("encoder_hidden_states", g.element, ["batch_size", "encoder_sequence_length", m.hidden])
        if optimum and self.merge:
            self.merged()
        else:
            self.fill(past=not first, project=first)
        if not first:
            self.declare(g, g.input, False)
        self.declare(g, g.output, True)
        if optimum and self.merge:
            g.input("use_cache_branch", BOOL, [1])
        return k.finish(g)

    def declare(self, g, how, out):
        k, m = self.k, self.k.m
        if out:
            how("logits", g.element, ["batch_size", "decoder_sequence_length", m.vocab])
        for i in range(m.layers):
            for w in ("key", "value"):
                length = "past_decoder_sequence_length + decoder_sequence_length" if out else "past_decoder_sequence_length"
                how(own(k, i, w, out), g.element, ["batch_size", m.heads, length, m.head_dim])
            if not out or k.style == "optimum" and (self.merge or self.first):
                for w in ("key", "value"):
                    frames = "encoder_sequence_length_out" if k.style == "optimum" else m.frames
                    how(cross(k, i, w, out), g.element, ["batch_size", m.heads, frames, m.head_dim])

    def merged(self):
        """One If over two graphs that capture inputs and weights of the outer one."""
        k, outer = self.k, self.k.g
        branches = {}
        for branch, past, project in (("then_branch", True, False), ("else_branch", False, True)):
            inner = k.new_graph()
            inner.weight = outer.weight      # weights live in the outer graph, once
            k.use(inner)
            self.fill(past, project)
            self.declare(inner, inner.output, True)
            branches[branch] = inner.graph(branch)
        k.use(outer)
        outer.op("If", ["use_cache_branch"], [o.name for o in branches["then_branch"].output], **branches)


class FirstCall(DecoderPart):
    merge = False


class LaterCall(DecoderPart):
    merge = first = False
