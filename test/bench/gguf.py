"""Writes a Llama that models/zoo wrote (optimum style) as a GGUF file, for llama.cpp; its weights in Q8_0 or Q4_0.

write(folder, path, kind): folder holds model.onnx and config.json. The format is GGUF version 3, little endian; tensors of quantised kinds are blocks of 32 elements
along a row: Q8_0 a half-precision scale and 32 int8; Q4_0 a half-precision scale and 16 bytes, element i in the low and element i + 16 in the high nibble, less 8.
llama.cpp rotates neighbouring elements of a head where ONNX models rotate its halves, so the rows of the query's and the key's weights are interleaved. The vocabulary
is a dummy: ids are fed, not text.
"""
import collections
import json
import pathlib
import struct

import numpy as np
import onnx
from onnx import numpy_helper

ALIGNMENT = 32
KINDS = {"f32": 0, "q4_0": 2, "q8_0": 8}
FILE_TYPE = {"f32": 0, "q4_0": 2, "q8_0": 7}
# In the order in which a layer's graph multiplies by them.
PROJECTIONS = {"self_attn": ["attn_q", "attn_k", "attn_v", "attn_output"], "mlp": ["ffn_gate", "ffn_up", "ffn_down"]}
NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def quantize(rows, kind):
    """The bytes of float32 rows [n, k], k a multiple of 32."""
    if kind == "f32":
        return rows.astype("<f4").tobytes()
    blocks = rows.reshape(-1, 32).astype(np.float32)
    if kind == "q8_0":
        scale = np.abs(blocks).max(axis=1) / 127
        quants = np.rint(blocks * inverse(scale)).astype(np.int8)
    else:
        extreme = blocks[np.arange(len(blocks)), np.abs(blocks).argmax(axis=1)]
        scale = extreme / -8
        values = np.minimum(15, np.trunc(blocks * inverse(scale) + 8.5)).astype(np.uint8)
        quants = values[:, :16] | values[:, 16:] << 4
    return np.concatenate([scale.astype("<f2").view(np.uint8).reshape(-1, 2), quants.view(np.uint8)], axis=1).tobytes()


def inverse(scale):
    return np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)[:, None]


def interleave(rows, heads):
    """Element i of a head's first half beside element i of its second."""
    head = rows.reshape(heads, 2, rows.shape[0] // heads // 2, rows.shape[1])
    return head.swapaxes(1, 2).reshape(rows.shape)


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(item):
    """Type and bytes of a metadata value: int as uint32, float as float32, str, or a list of one of them (of ints: int32)."""
    if isinstance(item, list):
        code, pack = {str: (8, string), float: (6, lambda v: struct.pack("<f", v)), int: (5, lambda v: struct.pack("<i", v))}[type(item[0])]
        return struct.pack("<IIQ", 9, code, len(item)) + b"".join(map(pack, item))
    if isinstance(item, str):
        return struct.pack("<I", 8) + string(item)
    return struct.pack("<If", 6, item) if isinstance(item, float) else struct.pack("<II", 4, item)


def tensors(folder, config):
    """(GGUF name, float32 array) of every weight; matrices as [outputs, inputs]."""
    model = onnx.load(str(folder / "model.onnx"))
    weights = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    for name, array in weights.items():
        if name == "model.embed_tokens.weight":
            yield "token_embd.weight", array
        elif name == "model.norm.weight":
            yield "output_norm.weight", array
        elif (words := name.split("."))[-1] == "weight" and words[-2] in NORMS:
            yield f"blk.{words[2]}.{NORMS[words[-2]]}.weight", array
    seen = collections.Counter()
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            continue
        rows, path = weights[node.input[1]].T, node.name.strip("/").split("/")   # model/layers.3/mlp/MatMul_1
        if path[0] == "lm_head":
            yield "output.weight", rows
            continue
        name = PROJECTIONS[path[2]][seen[path[1], path[2]]]
        seen[path[1], path[2]] += 1
        heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}.get(name)
        yield f"blk.{path[1].split('.')[1]}.{name}.weight", interleave(rows, heads) if heads else rows


def write(folder, path, kind):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    vocabulary = config["vocab_size"]
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = ([2, 3, 3] + [6] * 256 + [1] * max(0, vocabulary - len(special)))[:vocabulary]
    metadata = {
        "general.architecture": "llama", "general.name": "bench", "general.alignment": ALIGNMENT, "general.file_type": FILE_TYPE[kind],
        "general.quantization_version": 2,
        "llama.context_length": config["max_position_embeddings"], "llama.embedding_length": config["hidden_size"],
        "llama.block_count": config["num_hidden_layers"], "llama.feed_forward_length": config["intermediate_size"],
        "llama.attention.head_count": config["num_attention_heads"], "llama.attention.head_count_kv": config["num_key_value_heads"],
        "llama.rope.dimension_count": config["head_dim"], "llama.rope.freq_base": float(config["rope_theta"]),
        "llama.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]), "llama.vocab_size": vocabulary,
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": (special + [f"t{i}" for i in range(len(special), vocabulary)])[:vocabulary],
        "tokenizer.ggml.scores": [float(-i) for i in range(vocabulary)], "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2}
    infos, data, offset = [], [], 0
    for name, array in tensors(folder, config):
        form = kind if array.ndim == 2 else "f32"
        content = quantize(np.ascontiguousarray(array, dtype=np.float32), form)
        infos.append(string(name) + struct.pack(f"<I{array.ndim}QIQ", array.ndim, *reversed(array.shape), KINDS[form], offset))
        content += bytes(-len(content) % ALIGNMENT)
        data.append(content)
        offset += len(content)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(metadata)) + b"".join(string(k) + value(v) for k, v in metadata.items()) + b"".join(infos)
    with open(path, "wb") as file:
        file.write(header + bytes(-len(header) % ALIGNMENT))
        file.writelines(data)
