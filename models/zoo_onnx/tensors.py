"""Lazy arrays, block quantisation, and the file of external data of one model.

A weight is drawn from (seed, its name) alone, so the same model has the same weights in every style. Nothing is drawn before the
file is written, and one array is in memory at a time: a graph without weights costs nothing but its entries.
"""
import os
import zlib

import numpy as np
from onnx import TensorProto

FLOAT, FLOAT16, BFLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
INT32, INT64, UINT8, BOOL = TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8, TensorProto.BOOL
INT8, INT4, FLOAT8E8M0 = TensorProto.INT8, 22, 24   # the last two are younger than python3-onnx 1.12
ITEM_BITS = {FLOAT: 32, FLOAT16: 16, BFLOAT16: 16, INT32: 32, INT64: 64, UINT8: 8, BOOL: 8, INT8: 8, INT4: 4, FLOAT8E8M0: 8}


class Lazy:
    """An array known by its shape; `make()` gives its values (float32 unless it is a quantised one)."""

    def __init__(self, shape, make):
        self.shape, self.make = tuple(int(d) for d in shape), make

    @property
    def size(self):
        return int(np.prod(self.shape, dtype=np.int64)) if self.shape else 1

    def transpose(self, *perm):
        perm = perm or tuple(reversed(range(len(self.shape))))
        return Lazy([self.shape[p] for p in perm], lambda: self.make().transpose(perm))

    def reshape(self, *shape):
        if -1 in shape:
            known = -int(np.prod(shape, dtype=np.int64))
            shape = [self.size // known if d == -1 else d for d in shape]
        return Lazy(shape, lambda: self.make().reshape(shape))

    def __getitem__(self, index):
        probe = np.broadcast_to(np.zeros((), np.uint8), self.shape)[index]
        return Lazy(probe.shape, lambda: self.make()[index])

    def times(self, factor):
        return Lazy(self.shape, lambda: self.make() * np.float32(factor))


def concat(parts, axis):
    shape = list(parts[0].shape)
    shape[axis] = sum(p.shape[axis] for p in parts)
    return Lazy(shape, lambda: np.concatenate([p.make() for p in parts], axis))


def interleave(even, odd, axis):
    """even[0], odd[0], even[1], odd[1], … along `axis`."""
    shape = list(even.shape)
    shape[axis] *= 2

    def make():
        return np.stack([even.make(), odd.make()], axis + 1).reshape(shape)
    return Lazy(shape, make)


def given(array):
    array = np.asarray(array)
    return Lazy(array.shape, lambda: array)


class Source:
    """Draws weights by name."""

    def __init__(self, seed):
        self.seed = seed

    def normal(self, name, shape, std, mean=0.0):
        def make():
            generator = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
            values = generator.standard_normal(shape, dtype=np.float32)
            values *= np.float32(std)
            if mean:
                values += np.float32(mean)
            return values
        return Lazy(shape, make)


class Trained:
    """Weights of a trained model, by name, from an .npz file."""

    def __init__(self, path):
        self.arrays = np.load(path)

    def normal(self, name, shape, std, mean=0.0):
        array = self.arrays[name].astype(np.float32)
        if array.shape != tuple(shape):
            raise ValueError(f"{name} has shape {array.shape}, the model has {tuple(shape)}")
        return given(array)


# --- Block quantisation ----------------------------------------------------------------------------------------------------------

class Quantized:
    """A matrix [..., N, K] in blocks along K: `packed` [..., N, blocks, block·bits/8] uint8 (low nibble first), `scales`
    [..., N, blocks] and, when asked for, `zeros` [..., N, ⌈blocks·bits/8⌉]. Without zeros the zero point is 2^(bits-1)."""

    def __init__(self, matrix, bits, block, zero_points):
        self.matrix, self.bits, self.block, self.has_zeros = matrix, bits, block, zero_points
        *self.lead, self.k = matrix.shape
        self.blocks = -(-self.k // block)
        self.cache = None
        self.packed = Lazy([*self.lead, self.blocks, block * bits // 8], lambda: self.result()[0])
        self.scales = Lazy([*self.lead, self.blocks], lambda: self.result()[1])
        self.zeros = Lazy([*self.lead, -(-self.blocks * bits // 8)], lambda: self.result()[2]) if zero_points else None

    def steps(self):
        """Integers, scales and zero points of every block, unpacked."""
        values = self.matrix.make()
        pad = self.blocks * self.block - self.k
        if pad:
            values = np.concatenate([values, np.zeros((*self.lead, pad), np.float32)], -1)
        values = values.reshape(*self.lead, self.blocks, self.block)
        top = 2 ** self.bits - 1
        if self.has_zeros:
            low, high = np.minimum(values.min(-1), 0), np.maximum(values.max(-1), 0)
            scales = ((high - low) / top).astype(np.float32)
            safe = np.where(scales == 0, 1, scales)
            zeros = np.clip(np.rint(-low / safe), 0, top)
        else:
            scales = (np.abs(values).max(-1) / (top // 2)).astype(np.float32)
            safe = np.where(scales == 0, 1, scales)
            zeros = np.full(scales.shape, (top + 1) // 2)
        integers = np.clip(np.rint(values / safe[..., None]) + zeros[..., None], 0, top)
        return integers.astype(np.uint8), scales, zeros.astype(np.uint8)

    def result(self):
        if self.cache is None:
            integers, scales, zeros = self.steps()
            self.cache = self.pack(integers), scales, self.pack(zeros)
        kept = self.cache
        return kept

    def pack(self, integers):
        if self.bits == 8:
            return integers
        if integers.shape[-1] % 2:
            integers = np.concatenate([integers, np.zeros((*integers.shape[:-1], 1), np.uint8)], -1)
        return integers[..., 0::2] | (integers[..., 1::2] << 4)

    def dequantized(self):
        """The float matrix that the quantised one stands for."""
        def make():
            integers, scales, zeros = self.steps()
            values = (integers.astype(np.float32) - zeros[..., None]) * scales[..., None]
            return values.reshape(*self.lead, -1)[..., :self.k]
        return Lazy(self.matrix.shape, make)


    def signed(self):
        """The blocks as signed integers [..., N, K], for DequantizeLinear without a zero point."""
        def make():
            integers = self.steps()[0].astype(np.int16) - 2 ** (self.bits - 1)
            return integers.reshape(*self.lead, -1)[..., :self.k].astype(np.int8)
        return Lazy(self.matrix.shape, make)


class Channelwise:
    """A matrix [K, N] as int8 with one scale a column."""

    def __init__(self, matrix):
        self.matrix = matrix
        self.scales = Lazy(matrix.shape[1:], lambda: self.steps()[1])
        self.integers = Lazy(matrix.shape, lambda: self.steps()[0])

    def steps(self):
        values = self.matrix.make()
        scales = (np.maximum(np.abs(values).max(0), 1e-30) / 127).astype(np.float32)
        return np.clip(np.rint(values / scales), -127, 127).astype(np.int8), scales

    def dequantized(self):
        def make():
            integers, scales = self.steps()
            return integers.astype(np.float32) * scales
        return Lazy(self.matrix.shape, make)


class Mxfp4:
    """A matrix [..., N, K] in OCP MX blocks of 32 along K: FP4 E2M1 elements (`packed` [..., N, K/2], low nibble first) and E8M0 scales
    [..., N, K/32] of 2^(floor(log2 max) - 2); elements round to nearest even and saturate."""

    VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)

    def __init__(self, matrix):
        self.matrix = matrix
        *self.lead, self.k = matrix.shape
        self.packed = Lazy([*self.lead, self.k // 2], lambda: (lambda c: c[..., 0::2] | (c[..., 1::2] << 4))(self.steps()[0]))
        self.scales = Lazy([*self.lead, self.k // 32], lambda: self.steps()[1])

    def steps(self):
        values = self.matrix.make().reshape(*self.lead, self.k // 32, 32)
        top = np.abs(values).max(-1)
        exponent = np.clip(np.floor(np.log2(np.where(top == 0, 2.0 ** -125, top))) - 2, -127, 127)
        size = np.abs(values) / np.exp2(exponent)[..., None]
        middle = (self.VALUES[1:] + self.VALUES[:-1]) / 2
        code = np.searchsorted(middle, size, "left")            # a tie goes down …
        tie = (code < 7) & (size == middle[np.minimum(code, 6)]) & (code % 2 == 1)
        code = (code + tie).astype(np.uint8) | ((values < 0).astype(np.uint8) << 3)   # … or to the even code
        return code.reshape(*self.lead, self.k), (exponent + 127).astype(np.uint8)

    def dequantized(self):
        def make():
            code, scales = self.steps()
            values = self.VALUES[code & 7] * np.where(code & 8, np.float32(-1), np.float32(1))
            blocks = values.reshape(*self.lead, -1, 32) * np.exp2(scales.astype(np.float32) - 127)[..., None]
            return blocks.reshape(self.matrix.shape).astype(np.float32)
        return Lazy(self.matrix.shape, make)


# --- External data ---------------------------------------------------------------------------------------------------------------

def to_bytes(array, element):
    return as_stored(array, element).tobytes()


def as_stored(array, element):
    """The array as ONNX stores it: little endian, contiguous; without a copy where it is so already."""
    if element == BFLOAT16:
        bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    if element == INT4:
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8) & 15
        flat = np.append(flat, np.zeros(flat.size % 2, np.uint8))
        return flat[0::2] | (flat[1::2] << 4)
    kind = {FLOAT: "<f4", FLOAT16: "<f2", INT32: "<i4", INT64: "<i8", UINT8: "u1", BOOL: "?", INT8: "i1", FLOAT8E8M0: "u1"}[element]
    return np.ascontiguousarray(array).astype(kind, copy=False)


class ExternalData:
    """The file beside a model that holds its large tensors: each at a multiple of 4096 bytes, in the order they were added. With `each`
    every tensor has a file of its own, named after it, without offset and length."""

    INLINE_BELOW = 1024   # bytes; smaller tensors stay in the model file

    def __init__(self, location, each=False):
        self.location, self.each, self.end, self.entries = location, each, 0, []

    def tensor(self, name, lazy, element):
        proto = TensorProto(name=name, data_type=element, dims=lazy.shape)
        length = -(-lazy.size * ITEM_BITS[element] // 8)
        if length < self.INLINE_BELOW:
            proto.raw_data = to_bytes(lazy.make(), element)
            return proto
        offset = 0 if self.each else -(-self.end // 4096) * 4096
        self.end = self.end + length if self.each else offset + length
        location = "".join(c if c.isalnum() or c in "._-" else "_" for c in name) if self.each else self.location
        self.entries.append((location, offset, length, lazy, element))
        proto.data_location = TensorProto.EXTERNAL
        proto.external_data.add(key="location", value=location)
        if not self.each:
            proto.external_data.add(key="offset", value=str(offset))
            proto.external_data.add(key="length", value=str(length))
        return proto

    def locations(self):
        return {e[0] for e in self.entries}

    def write(self, directory):
        files = {}
        for location, *entry in self.entries:
            files.setdefault(os.path.join(directory, location), []).append(entry)
        for path, entries in files.items():
            with open(path + ".part", "wb") as file:
                for offset, length, lazy, element in entries:
                    data = as_stored(lazy.make(), element)
                    assert data.nbytes == length, (lazy.shape, data.nbytes, length)
                    file.seek(offset)
                    data.tofile(file)
                    del data
            os.replace(path + ".part", path)
