"""Quantised weights as graphs hold them: DequantizeLinear of integers, and the floats that quantised weights stand for. `o` are the
options of decoder.py."""
from .tensors import INT4, INT8, Channelwise, Quantized


def dequantized(lazy, o, opset):
    """The floats that a quantised [in, out] weight stands for. DequantizeLinear has blocks since opset 21, one scale a column before."""
    if o.quantize == "mxfp4":
        return lazy
    if o.quantize == "qdq" and opset < 21:
        return Channelwise(lazy).dequantized()
    return Quantized(lazy.transpose(), o.bits, o.block, o.zero_points).dequantized().transpose()


def dequantize_linear(g, name, lazy, o, opset):
    """A weight [.., K, N] stored as integers, and its DequantizeLinear."""
    g.parameters += lazy.size
    if opset < 21:
        q = Channelwise(lazy)
        return g.op("DequantizeLinear", [g.weight(name + "_quantized", q.integers, INT8, False), g.weight(name + "_scale", q.scales, None, False)], axis=1)
    swap = [*range(len(lazy.shape) - 2), len(lazy.shape) - 1, len(lazy.shape) - 2]
    q = Quantized(lazy.transpose(*swap), o.bits, o.block, False)
    integers = g.weight(name + "_quantized", q.signed().transpose(*swap), INT4 if o.bits == 4 else INT8, False)
    scales = g.weight(name + "_scale", q.scales.transpose(*swap), None, False)
    return g.op("DequantizeLinear", [integers, scales], axis=len(lazy.shape) - 2, block_size=o.block)


def dequantize_rows(g, name, rows, o):
    """The same for a matrix [.., N, K]."""
    g.parameters += rows.size
    q = Quantized(rows, o.bits, o.block, False)
    integers = g.weight(name + "_quantized", q.signed(), INT4 if o.bits == 4 else INT8, False)
    return g.op("DequantizeLinear", [integers, g.weight(name + "_scale", q.scales, None, False)], axis=len(rows.shape) - 1, block_size=o.block)
