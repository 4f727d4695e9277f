"""Small models of fused and quantised operators, written here, run on the simulated card and compared with their definitions in numpy.

Usage: fused.py BIN_DIR [FILTER]. Exit 0 passed, 1 failed.
"""
import atexit
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto as T, helper, numpy_helper

BIN = pathlib.Path(sys.argv[1]).resolve()
FILTER = sys.argv[2] if len(sys.argv) > 2 else ""
WORK = pathlib.Path(tempfile.mkdtemp(prefix="ahm-fused-"))
atexit.register(shutil.rmtree, WORK, True)
RNG = np.random.default_rng(7)
passed, failed = [], []


def real(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def check(name, nodes, inputs, constants, expected, bound=2e-3, opset=23):
    """Runs one model; every output within `bound` of its largest expected element."""
    if FILTER and FILTER not in name:
        return
    try:
        def info(n, a):
            return helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype) if hasattr(helper, "np_dtype_to_tensor_dtype")
                                                 else onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[a.dtype], a.shape)
        tensors = [v if isinstance(v, onnx.TensorProto) else numpy_helper.from_array(v, k) for k, v in constants.items()]
        graph = helper.make_graph(nodes, name, [info(k, v) for k, v in inputs.items()], [info(k, v) for k, v in expected.items()], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)])
        model.ir_version = 10
        path, out = WORK / f"{name}.onnx", WORK / name
        onnx.save(model, str(path))
        arguments = []
        for key, value in inputs.items():
            np.save(WORK / f"{key}.npy", value)
            arguments.append(f"--input={key}={WORK / key}.npy")
        for command in ([BIN / "ahm-compile", path, "-o", WORK / f"{name}.ahm", "--weights=mxint16"],
                        [BIN / "ahm-run", WORK / f"{name}.ahm", *arguments, f"--output-dir={out}", "--check-memory"]):
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
            assert done.returncode == 0, done.stderr[-1500:]
        for key, want in expected.items():
            got = np.load(out / f"{key}.npy").astype(np.float64)
            assert got.shape == want.shape, f"{key}: shape {got.shape}, expected {want.shape}"
            worst = np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)
            assert worst <= bound, f"{key}: differs by {worst:.2e} of its largest element"
        passed.append(name)
        print(f"ok   {name}", flush=True)
    except Exception as error:  # the next one still runs
        failed.append(name)
        print(f"FAIL {name}\n     {error}", flush=True)


# --- Quantised weights ------------------------------------------------------------------------------------------------

def nbits(bits, K, N, block, zeros, scale_type=np.float32):
    """Data, scales, zero points as MatMulNBits stores them, and W [K,N] that they mean."""
    blocks = -(-K // block)
    q = RNG.integers(0, 1 << bits, (N, blocks * block), dtype=np.uint8)
    scales = (RNG.random((N, blocks)) * 0.1 + 0.01).astype(scale_type)
    zero = RNG.integers(0, 1 << bits, (N, blocks), dtype=np.uint8)
    if zeros is None:
        zero[:] = 1 << (bits - 1)

    def pack(a):
        if bits == 8:
            return a
        if a.shape[-1] % 2:
            a = np.concatenate([a, np.zeros(a.shape[:-1] + (1,), np.uint8)], -1)
        return a[..., 0::2] | a[..., 1::2] << 4
    w = (q.astype(np.float32) - np.repeat(zero, block, 1).astype(np.float32)) * np.repeat(scales.astype(np.float32), block, 1)
    data = pack(q).reshape(N, blocks, block * bits // 8)
    stored = None if zeros is None else pack(zero).reshape(-1) if zeros == "packed" else zero.astype(scale_type).reshape(-1)
    return data, scales.reshape(-1), stored, w[:, :K].T


for bits, K, N, block, zeros, kind in ((4, 64, 96, 32, None, np.float32), (4, 80, 40, 16, "packed", np.float32), (4, 256, 33, 128, "float", np.float32),
                                       (8, 64, 48, 64, "packed", np.float32), (8, 96, 64, 32, None, np.float16), (4, 320, 64, 256, None, np.float32)):
    data, scales, stored, w = nbits(bits, K, N, block, zeros, kind)
    x, bias = real(1, 5, K), real(N)
    constants = {"w": data, "s": scales, "b": bias}
    if stored is not None:
        constants["z"] = stored
    node = helper.make_node("MatMulNBits", ["x", "w", "s", "z" if stored is not None else "", "", "b"], ["y"], name="product", domain="com.microsoft",
                            K=K, N=N, bits=bits, block_size=block)
    check(f"nbits{bits}.k{K}.b{block}.{zeros}", [node], {"x": x}, constants, {"y": x @ w + bias})

ids = np.array([[3, 0, 41, 17]], np.int64)
data, scales, stored, w = nbits(4, 64, 48, 16, "packed")
check("gather.blocks", [helper.make_node("GatherBlockQuantized", ["t", "i", "s", "z"], ["y"], name="rows", domain="com.microsoft", bits=4, block_size=16,
                                         gather_axis=0, quantize_axis=1)],
      {"i": ids}, {"t": data.reshape(48, 32), "s": scales.reshape(48, 4), "z": stored.reshape(48, 2)}, {"y": w.T[ids]}, 1e-6)

x = real(1, 5, 64)
q8, s8, z8 = RNG.integers(-128, 128, (64, 96)).astype(np.int8), (RNG.random(96) * 0.01 + 0.001).astype(np.float32), RNG.integers(-9, 9, 96).astype(np.int8)
check("dequantise.axis", [helper.make_node("DequantizeLinear", ["w", "s", "z"], ["d"], axis=1), helper.make_node("MatMul", ["x", "d"], ["y"])],
      {"x": x}, {"w": q8, "s": s8, "z": z8}, {"y": x @ ((q8.astype(np.float32) - z8) * s8)})
sb = (RNG.random((4, 96)) * 0.01 + 0.001).astype(np.float32)
check("dequantise.blocks", [helper.make_node("DequantizeLinear", ["w", "s"], ["d"], axis=0, block_size=16), helper.make_node("MatMul", ["x", "d"], ["y"])],
      {"x": x}, {"w": q8, "s": sb}, {"y": x @ (q8.astype(np.float32) * np.repeat(sb, 16, 0))})
q4 = RNG.integers(-8, 8, (64, 96))
packed = (q4 & 15).astype(np.uint8).reshape(-1)
int4 = onnx.TensorProto(name="w", dims=[64, 96], data_type=22, raw_data=(packed[0::2] | packed[1::2] << 4).tobytes())
check("dequantise.int4", [helper.make_node("DequantizeLinear", ["w", "s"], ["d"], axis=0, block_size=16), helper.make_node("MatMul", ["x", "d"], ["y"])],
      {"x": x}, {"w": int4, "s": sb}, {"y": x @ (q4.astype(np.float32) * np.repeat(sb, 16, 0))})
check("quantise.activations", [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"])],
      {"x": x}, {"s": np.float32(0.02), "z": np.uint8(120)}, {"y": ((np.clip(np.rint(x / np.float32(0.02)) + 120, 0, 255) - 120) * np.float32(0.02)).astype(np.float32)}, 1e-6)
w16 = (real(64, 96) * 0.1).astype(np.float16)
check("weights.float16", [helper.make_node("Cast", ["w"], ["d"], to=1), helper.make_node("MatMul", ["x", "d"], ["y"])],
      {"x": x}, {"w": w16}, {"y": x @ w16.astype(np.float32)})


# --- Attention --------------------------------------------------------------------------------------------------------

def softmax(s):
    with np.errstate(all="ignore"):
        e = np.exp(s - s.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)


def split(x, heads):
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(0, 2, 1, 3)


def join(x):
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def attend(q, k, v, scale=None, softcap=0, seen=None, bias=None, sinks=None):
    groups = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, groups, 1), np.repeat(v, groups, 1)
    s = q @ k.swapaxes(2, 3) * (scale or 1 / np.sqrt(q.shape[3]))
    s = softcap * np.tanh(s / softcap) if softcap else s
    if seen is not None:
        s = np.where(seen, s, -np.inf)
    s = s if bias is None else s + bias
    if sinks is None:
        return softmax(s) @ v
    column = np.broadcast_to(sinks.reshape(1, -1, 1, 1), s.shape[:3] + (1,))
    return softmax(np.concatenate([s, column], -1))[..., :-1] @ v


def turn(x, cos, sin, interleaved=False):
    half = cos.shape[-1]
    a, b = (x[..., 0:2 * half:2], x[..., 1:2 * half:2]) if interleaved else (x[..., :half], x[..., half:2 * half])
    y = np.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(*x.shape[:-1], 2 * half) if interleaved else np.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
    return np.concatenate([y, x[..., 2 * half:]], -1)


angles = np.arange(40)[:, None] * (1 / 10 ** (np.arange(8) / 4))[None]
COS, SIN = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def gqa(name, batch=1, heads=4, groups=2, size=16, past=5, tokens=3, packed=False, **attributes):
    window, interleaved = attributes.get("local_window_size", -1), bool(attributes.get("rotary_interleaved"))
    q, k, v = real(batch, tokens, heads * size), real(batch, tokens, groups * size), real(batch, tokens, groups * size)
    pk, pv = real(batch, groups, past, size), real(batch, groups, past, size)
    sinks = real(heads) if attributes.pop("sinks", False) else None
    norms = (real(size), real(size)) if attributes.pop("norms", False) else None
    total = past + tokens
    inputs = {"q": np.concatenate([q, k, v], -1) if packed else q, "pk": pk, "pv": pv, "last": np.full(batch, total - 1, np.int32)}
    constants = {"total": np.array([total], np.int32), "cos": COS, "sin": SIN}
    if not packed:
        inputs |= {"k": k, "v": v}
    if sinks is not None:
        constants["sinks"] = sinks
    if norms:
        constants |= {"qn": norms[0], "kn": norms[1]}
    names = ["q", "" if packed else "k", "" if packed else "v", "pk", "pv", "last", "total", "cos", "sin", "", "", "sinks" if sinks is not None else "", "", "",
             "qn" if norms else "", "kn" if norms else ""]
    while not names[-1]:
        names.pop()
    node = helper.make_node("GroupQueryAttention", names, ["y", "nk", "nv"], name="attention", domain="com.microsoft", num_heads=heads, kv_num_heads=groups,
                            **attributes)
    q, k, v = split(q, heads), split(k, groups), split(v, groups)
    if norms:
        q, k = ((a / np.sqrt((a * a).mean(-1, keepdims=True) + 1e-6) * n) for a, n in ((q, norms[0]), (k, norms[1])))
    if attributes.get("do_rotary"):
        cos, sin = COS[past:total], SIN[past:total]
        q, k = turn(q, cos, sin, interleaved), turn(k, cos, sin, interleaved)
    k, v = np.concatenate([pk, k], 2), np.concatenate([pv, v], 2)
    i, j = past + np.arange(tokens)[:, None], np.arange(total)[None]
    seen = (j <= i) & ((j > i - window) if window > 0 else True)
    smooth = np.zeros(heads, np.float32) if attributes.get("smooth_softmax") else sinks
    y = join(attend(q, k, v, attributes.get("scale"), attributes.get("softcap", 0), seen, None, smooth))
    check(name, [node], inputs, constants, {"y": y.astype(np.float32), "nk": k.astype(np.float32), "nv": v.astype(np.float32)})


gqa("gqa.rotary", do_rotary=1)
gqa("gqa.interleaved", do_rotary=1, rotary_interleaved=1, packed=True)
gqa("gqa.window.cap.sinks", local_window_size=4, softcap=2.0, sinks=True, scale=0.5)
gqa("gqa.norms.smooth", norms=True, smooth_softmax=1, do_rotary=1, packed=True)
gqa("gqa.batch", batch=2, do_rotary=1)

q, k, v, bias = real(1, 4, 32), real(1, 6, 32), real(1, 6, 48), real(112)
keep = np.array([[1, 1, 1, 1, 0, 0]], np.int32)
check("mha.bias.mask", [helper.make_node("MultiHeadAttention", ["q", "k", "v", "b", "m"], ["y"], domain="com.microsoft", num_heads=4)],
      {"q": q, "k": k, "v": v, "m": keep}, {"b": bias},
      {"y": join(attend(split(q + bias[:32], 4), split(k + bias[32:64], 4), split(v + bias[64:], 4), None, 0, None, (1 - keep[:, None, None]) * -10000.0)).astype(np.float32)})
packed = real(1, 5, 4, 3, 8)
check("mha.packed", [helper.make_node("MultiHeadAttention", ["q"], ["y"], domain="com.microsoft", num_heads=4, unidirectional=1)], {"q": packed}, {},
      {"y": join(attend(*(packed[:, :, :, i].transpose(0, 2, 1, 3) for i in range(3)), None, 0, np.tri(5) > 0)).astype(np.float32)})
q, k, v, bias = real(1, 4, 5, 16), real(1, 2, 9, 16), real(1, 2, 9, 24), real(1, 4, 5, 9)
check("attention.bias.values", [helper.make_node("Attention", ["q", "k", "v", "m"], ["y"], softcap=3.0)], {"q": q, "k": k, "v": v, "m": bias}, {},
      {"y": attend(q, k, v, None, 3.0, None, bias).astype(np.float32)})
seen = RNG.random((5, 9)) < 0.7
seen[:, 0] = True
check("attention.condition", [helper.make_node("Attention", ["q", "k", "v", "m"], ["y"])], {"q": q, "k": k, "v": v, "m": seen}, {},
      {"y": attend(q, k, v, None, 0, seen).astype(np.float32)})


# --- Norms and activations --------------------------------------------------------------------------------------------

def rms(x, gamma, epsilon=1e-5):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * gamma


def layer(x, gamma, beta, epsilon=1e-5):
    c = x - x.mean(-1, keepdims=True)
    return c / np.sqrt((c * c).mean(-1, keepdims=True) + epsilon) * gamma + beta


x, skip, gamma, beta, bias = real(1, 5, 64), real(1, 5, 64), real(64), real(64), real(64)
check("skip.rms", [helper.make_node("SkipSimplifiedLayerNormalization", ["x", "s", "g", "b"], ["y", "", "", "sum"], domain="com.microsoft", epsilon=1e-5)],
      {"x": x, "s": skip}, {"g": gamma, "b": bias}, {"y": rms(x + skip + bias, gamma), "sum": x + skip + bias}, 1e-5)
check("skip.layer", [helper.make_node("SkipLayerNormalization", ["x", "s", "g", "h", "b"], ["y"], domain="com.microsoft", epsilon=1e-5)],
      {"x": x, "s": skip}, {"g": gamma, "h": beta, "b": bias}, {"y": layer(x + skip + bias, gamma, beta)}, 1e-5)
check("simplified", [helper.make_node("SimplifiedLayerNormalization", ["x", "g"], ["y"], epsilon=1e-5)], {"x": x}, {"g": gamma}, {"y": rms(x, gamma)}, 1e-5)
joined = real(3, 8)
flat = real(2, 3, 8)
check("rms.two.dimensions", [helper.make_node("RMSNormalization", ["x", "g"], ["y"], axis=1)], {"x": flat}, {"g": joined},
      {"y": rms(flat.reshape(2, 24), joined.reshape(24)).reshape(2, 3, 8)}, 1e-5)
words, places, kinds = real(50, 64), real(12, 64), real(2, 64)
segment = np.array([[0, 0, 1, 1]], np.int32)
check("embed.norm", [helper.make_node("EmbedLayerNormalization", ["i", "t", "w", "p", "k", "g", "h"], ["y"], domain="com.microsoft", epsilon=1e-5)],
      {"i": ids.astype(np.int32), "t": segment}, {"w": words, "p": places, "k": kinds, "g": gamma, "h": beta},
      {"y": layer(words[ids] + places[:4] + kinds[segment], gamma, beta)}, 1e-5)
sigmoid = lambda a: 1 / (1 + np.exp(-a))
tanh_gelu = lambda a: 0.5 * a * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a ** 3)))
check("fast.gelu", [helper.make_node("FastGelu", ["x", "b"], ["y"], domain="com.microsoft")], {"x": x}, {"b": bias}, {"y": tanh_gelu(x + bias).astype(np.float32)}, 1e-5)
check("quick.gelu", [helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft", alpha=1.5)], {"x": x}, {}, {"y": x * sigmoid(1.5 * x)}, 1e-5)
check("fused.matmul", [helper.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft", transB=1, alpha=0.5)], {"x": x}, {"w": w16.T[:, :].astype(np.float32)},
      {"y": 0.5 * x @ w16.astype(np.float32)})

# --- A decoder whose caches have a fixed size -------------------------------------------------------------------------

def fixed_cache(name, rank):
    """Greedy ids and logits of a layer with TensorScatter caches, prefilled in chunks, against the whole sequence at once in numpy."""
    if FILTER and FILTER not in name:
        return
    vocabulary, hidden, heads, groups, size, room = 96, 32, 4, 2, 8, 40
    w = {"embed": real(vocabulary, hidden), "g": real(hidden), "wq": real(hidden, heads * size) / 6, "wk": real(hidden, groups * size) / 6,
         "wv": real(hidden, groups * size) / 6, "wo": real(heads * size, hidden) / 6, "head": real(hidden, vocabulary) / 6}
    constants = [numpy_helper.from_array(v, k) for k, v in w.items()]
    dims = ["batch", room, groups * size] if rank == 3 else ["batch", groups, room, size]
    nodes = [helper.make_node("Gather", ["embed", "input_ids"], ["x"]), helper.make_node("RMSNormalization", ["x", "g"], ["n"], epsilon=1e-5),
             helper.make_node("MatMul", ["n", "wq"], ["q"]), helper.make_node("MatMul", ["n", "wk"], ["k"]), helper.make_node("MatMul", ["n", "wv"], ["v"])]
    if rank == 4:
        for key, count in (("q", heads), ("k", groups), ("v", groups)):
            constants.append(numpy_helper.from_array(np.array([0, 0, count, size], np.int64), f"{key}shape"))
            nodes += [helper.make_node("Reshape", [key, f"{key}shape"], [f"{key}r"]), helper.make_node("Transpose", [f"{key}r"], [f"{key}s"], perm=[0, 2, 1, 3])]
    new = ("q", "k", "v") if rank == 3 else ("qs", "ks", "vs")
    nodes += [helper.make_node("TensorScatter", [f"{c}_cache.0", n, "write_indices"], [f"updated_{c}_cache.0"], axis=-2) for c, n in (("key", new[1]), ("value", new[2]))]
    counts = {"q_num_heads": heads, "kv_num_heads": groups} if rank == 3 else {}
    nodes.append(helper.make_node("Attention", [new[0], "updated_key_cache.0", "updated_value_cache.0", "", "", "", "nonpad_kv_seqlen"], ["a"], is_causal=1, **counts))
    if rank == 4:
        constants.append(numpy_helper.from_array(np.array([0, 0, heads * size], np.int64), "flat"))
        nodes += [helper.make_node("Transpose", ["a"], ["at"], perm=[0, 2, 1, 3]), helper.make_node("Reshape", ["at", "flat"], ["ar"])]
    nodes += [helper.make_node("MatMul", ["a" if rank == 3 else "ar", "wo"], ["o"]), helper.make_node("Add", ["x", "o"], ["h"]), helper.make_node("MatMul", ["h", "head"], ["logits"])]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, name, [value("input_ids", T.INT64, ["batch", "sequence"]), value("write_indices", T.INT64, ["batch"]),
                                            value("nonpad_kv_seqlen", T.INT64, ["batch"]), *(value(f"{c}_cache.0", T.FLOAT, dims) for c in ("key", "value"))],
                              [value("logits", T.FLOAT, ["batch", "sequence", vocabulary]), *(value(f"updated_{c}_cache.0", T.FLOAT, dims) for c in ("key", "value"))], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)])
    model.ir_version = 11

    def logits(ids):
        x = w["embed"][ids][None]
        n = rms(x, w["g"])
        y = attend(split(n @ w["wq"], heads), split(n @ w["wk"], groups), split(n @ w["wv"], groups), None, 0, np.tri(len(ids)) > 0)
        return ((x + join(y) @ w["wo"]) @ w["head"])[0]
    try:
        onnx.save(model, str(WORK / f"{name}.onnx"))
        ids = [int(i) for i in RNG.integers(0, vocabulary, 9)]
        rows = {}
        for chunk in (1, 4, 16):
            for command in ([BIN / "ahm-compile", WORK / f"{name}.onnx", "-o", WORK / f"{name}.ahm", "--weights=mxint16", "--prefill-logits=all", f"--prefill-chunk={chunk}"],
                            [BIN / "ahm-run", WORK / f"{name}.ahm", "--prompt-ids=" + ",".join(map(str, ids)), "--generate=6", "--ignore-eos", "--print-ids",
                             f"--logits={WORK / 'rows.npy'}", "--check-memory"]):
                done = subprocess.run([str(c) for c in command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
                assert done.returncode == 0, done.stderr[-1500:]
            rows[chunk] = np.load(WORK / "rows.npy")
        assert rows[1].tobytes() == rows[4].tobytes() == rows[16].tobytes(), "chunks give other bits"
        got = [int(i) for i in done.stdout.strip().splitlines()[-1].split(",")]
        want = logits(ids + got)[: len(rows[16])]
        worst = np.abs(rows[16] - want).max() / np.abs(want).max()
        assert worst <= 2e-3, f"logits differ by {worst:.2e}"
        listing = subprocess.run([BIN / "ahm-inspect", WORK / f"{name}.ahm", "--commands"], capture_output=True, text=True).stdout
        assert "CacheAppend" in listing and "HostToStash  host:key_cache" not in listing and "Concat" not in listing, "the cache is not state"
        passed.append(name)
        print(f"ok   {name}", flush=True)
    except Exception as error:
        failed.append(name)
        print(f"FAIL {name}\n     {error}", flush=True)


fixed_cache("fixed.cache.rank3", 3)
fixed_cache("fixed.cache.rank4", 4)

# --- Mixtures of experts ----------------------------------------------------------------------------------------------

def experts(E, n, m, codes, scales):
    """Random weights [E,n,m] in blocks of 32: data, scale bytes or numbers, and what they mean."""
    data = RNG.integers(0, 256, (E, n, m // 2), dtype=np.uint8)
    values = codes[np.stack([data & 15, data >> 4], -1)].reshape(E, n, m)
    return data, scales[0], values * np.repeat(scales[1], 32, -1)


def mixture(x, logits, weights, w1, w2, k, normalize):
    y = np.zeros((len(x), w2.shape[1]))
    for t in range(len(x)):
        ids = np.argsort(-logits[t])[:k]
        chosen = weights[t, ids].astype(np.float64)
        for j, e in enumerate(ids):
            h = w1[e] @ x[t]
            gate, up = h[0::2], h[1::2]
            y[t] += chosen[j] / (chosen.sum() if normalize else 1) * (w2[e] @ (gate / (1 + np.exp(-gate)) * up))
    return y.astype(np.float32)


SWIGLU = dict(domain="com.microsoft", k=2, activation_type="swiglu", swiglu_fusion=1, activation_alpha=1.0, activation_beta=0.0, expert_weight_bits=4, block_size=32)
for normalize in (0, 1):
    # What the chosen experts weigh stands apart from what chooses them.
    whole = np.arange(16, dtype=np.float32) - 8
    made = [experts(4, n, 64, whole, (s := (RNG.random((4, n, 2)) * 0.02 + 0.005).astype(np.float32), s)) for n in (128, 64)]
    x, logits, weights = real(5, 64), real(5, 4), RNG.random((5, 4)).astype(np.float32)
    check(f"QMoE, routing weights, normalised {normalize}",
          [helper.make_node("QMoE", ["x", "logits", "d1", "s1", "", "d2", "s2"] + [""] * 7 + ["w"], ["y"], normalize_routing_weights=normalize, **SWIGLU)],
          {"x": x, "logits": logits, "w": weights}, {"d1": made[0][0], "s1": made[0][1], "d2": made[1][0], "s2": made[1][1]},
          {"y": mixture(x, logits, weights, made[0][2], made[1][2], 2, normalize)}, opset=21)

# MXFP4 experts under powers of two, and a factor for each expert.
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
powers = [RNG.integers(118, 124, (4, n, 2), dtype=np.uint8) for n in (128, 64)]
made = [experts(4, n, 64, np.concatenate([E2M1, -E2M1]), (p, np.exp2(p.astype(np.float32) - 127))) for n, p in zip((128, 64), powers)]
factors = [(RNG.random(4) + 0.5).astype(np.float32) for _ in range(2)]
x, logits = real(5, 64), real(5, 4)
chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
check("QMoE, MXFP4 with global scales",
      [helper.make_node("QMoE", ["x", "logits", "d1", "s1", "", "d2", "s2"] + [""] * 8 + ["g1", "g2"], ["y"], quant_type="fp4", **SWIGLU)],
      {"x": x, "logits": logits}, {"d1": made[0][0], "s1": made[0][1], "d2": made[1][0], "s2": made[1][1], "g1": factors[0], "g2": factors[1]},
      {"y": mixture(x, logits, chances, made[0][2] * factors[0][:, None, None], made[1][2] * factors[1][:, None, None], 2, 0)}, opset=21)

print(f"{len(passed)} passed, {len(failed)} failed")
sys.exit(1 if failed or not passed else 0)
