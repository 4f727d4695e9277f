"""Layers of the older families (GPT-2, BERT, Whisper) in each style: layer norm, products with bias, GELU, attention of full heads.

`Blocks` is optimum's way; `FusedBlocks` is that of ONNX Runtime's transformer optimiser (com.microsoft); `StandardBlocks` that of
opset 23. A graph is handed in, so that one builder can fill several graphs of one model (encoder, decoder, branches)."""
from . import primitives as p
from .graph import MS, Graph
from .storage import dequantize_linear, dequantized
from .tensors import UINT8, Quantized


class Blocks:
    names, style = "torch", "optimum"
    opset, ir, producer = 14, 7, ("pytorch", "2.1.2")

    def __init__(self, model, options, source, data):
        self.m, self.options, self.source, self.data = model, options, source, data
        self.use(self.new_graph())

    def new_graph(self):
        g = Graph(self.names, self.data, self.options.element)
        g.opset = self.opset = self.options.opset or type(self).opset
        return g

    def use(self, graph):
        self.g = graph

    def finish(self, graph=None):
        domains = [("", self.opset)] + ([(MS, 1)] if self.style == "genai" else [])
        return (graph or self.g).model(domains, self.ir, *self.producer)

    # Weights

    def drawn(self, name, k, n, gain=1.0):
        lazy = self.source.normal(name + ".weight", (k, n), gain * k ** -0.5)
        return dequantized(lazy, self.options, self.opset) if self.options.dequantized else lazy

    def bias(self, name, n):
        return self.source.normal(name + ".bias", (n,), 0.1)

    def parameter(self, name, shape, std, mean=0.0):
        return self.g.weight(name, self.source.normal(name, shape, std, mean))

    def gamma(self, name):
        return self.parameter(name + ".weight", (self.m.hidden,), 0.1, 1.0)

    def beta(self, name):
        return self.parameter(name + ".bias", (self.m.hidden,), 0.1)

    # Parts

    def table(self, name, rows, std, index):
        return self.g.op("Gather", [self.parameter(name, (rows, self.m.hidden), std), index])

    def product(self, x, name, k, n, gain=1.0):
        o, lazy = self.options, self.drawn(name, k, n, gain)
        if o.bits and o.quantize == "qdq" and not o.dequantized:
            return self.g.op("MatMul", [x, dequantize_linear(self.g, name + ".weight", lazy, o, self.opset)])
        return self.g.op("MatMul", [x, self.g.weight(name + ".weight", lazy)])

    def linear(self, x, name, k, n, bias=True):
        y = self.product(x, name, k, n)
        return self.g.op("Add", [self.g.weight(name + ".bias", self.bias(name, n)), y]) if bias else y

    def norm(self, x, name):
        return p.layer_norm(self.g, x, self.gamma(name), self.beta(name), self.m.eps)

    def linear_add_norm(self, x, y, name, k, norm):
        """x + linear(y), and its norm."""
        total = self.g.op("Add", [self.linear(y, name, k, self.m.hidden), x])
        return total, self.norm(total, norm)

    def up_gelu(self, x, name, kind):
        """gelu(linear(x)) to the feed-forward width; `kind` is erf or tanh."""
        y = self.linear(x, name, self.m.hidden, self.m.ffn)
        return p.gelu_erf(self.g, y) if kind == "erf" else p.gelu_tanh(self.g, y)

    def gelu(self, x):
        return p.gelu_erf(self.g, x)

    def dims(self, x):
        return self.g.dim(x, 0), self.g.dim(x, 1)

    def heads(self, x, b, s):
        return p.split_heads(self.g, x, b, s, self.m.heads, self.m.head_dim)

    def scale(self):
        return float(self.m.head_dim ** -0.5)

    def transpose_tied(self, name):
        return self.g.op("Transpose", [name], perm=[1, 0])


class StandardBlocks(Blocks):
    names, style = "flat", "onnx23"
    opset, ir, producer = 23, 11, ("onnxscript", "0.5")

    def norm(self, x, name):
        return self.g.op("LayerNormalization", [x, self.gamma(name), self.beta(name)], axis=-1, epsilon=self.m.eps, stash_type=1)

    def up_gelu(self, x, name, kind):
        y = self.linear(x, name, self.m.hidden, self.m.ffn)
        return self.g.op("Gelu", [y], approximate="none" if kind == "erf" else "tanh")

    def gelu(self, x):
        return self.g.op("Gelu", [x], approximate="none")

    def attend(self, q, k, v, mask="", past=None, present=None):
        """ai.onnx Attention on [b, s, hidden]."""
        inputs = [q, k, v] + ([mask] if mask or past else []) + (list(past) if past else [])
        outs = [None] + (list(present) if present else [])
        y = self.g.op("Attention", inputs, outs, q_num_heads=self.m.heads, kv_num_heads=self.m.heads, scale=self.scale())
        return y[0] if present else y


class FusedBlocks(Blocks):
    names, style = "genai", "genai"
    opset, ir, producer = 21, 10, ("onnxruntime.transformers", "1.22")

    def norm(self, x, name):
        return self.g.op("LayerNormalization", [x, self.gamma(name), self.beta(name)], axis=-1, epsilon=self.m.eps, stash_type=1)

    def quantized(self, name, matrix):
        o, g = self.options, self.g
        q = Quantized(matrix, o.bits, o.block, o.zero_points)
        g.parameters += matrix.size
        made = [g.weight(f"{name}.weight_Q{o.bits}", q.packed, UINT8, counted=False), g.weight(f"{name}.weight_scales", q.scales, counted=False)]
        return made + ([g.weight(f"{name}.weight_zp", q.zeros, UINT8, counted=False)] if o.zero_points else [])

    def product(self, x, name, k, n, gain=1.0):
        o = self.options
        if not o.bits or o.dequantized or o.quantize == "qdq":
            return super().product(x, name, k, n, gain)
        return self.g.op("MatMulNBits", [x, *self.quantized(name, self.drawn(name, k, n, gain).transpose())], domain=MS, K=k, N=n, bits=o.bits,
                         block_size=o.block)

    def linear_add_norm(self, x, y, name, k, norm):
        g, n = self.g, self.m.hidden
        made = g.op("SkipLayerNormalization", [x, self.product(y, name, k, n), self.gamma(norm), self.beta(norm),
                                               g.weight(name + ".bias", self.bias(name, n))], [None, "", "", None], domain=MS, epsilon=self.m.eps)
        return made[3], made[0]

    def up_gelu(self, x, name, kind):
        y = self.product(x, name, self.m.hidden, self.m.ffn)
        bias = self.g.weight(name + ".bias", self.bias(name, self.m.ffn))
        return self.g.op("BiasGelu" if kind == "erf" else "FastGelu", [y, bias], domain=MS)

    def gelu(self, x):
        return self.g.op("Gelu", [x], domain=MS)

    def attend(self, q, k, v, bias="", padding="", mask="", past=None, present=None):
        """com.microsoft MultiHeadAttention on [b, s, hidden]; trailing inputs that are left out are dropped."""
        inputs = [q, k, v, bias, padding, mask] + (list(past) if past else [])
        while not inputs[-1]:
            inputs.pop()
        outs = [None] + (list(present) if present else [])
        y = self.g.op("MultiHeadAttention", inputs, outs, domain=MS, num_heads=self.m.heads, scale=self.scale())
        return y[0] if present else y


STYLES = {"optimum": Blocks, "genai": FusedBlocks, "onnx23": StandardBlocks}
