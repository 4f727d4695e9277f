"""The command line of models/zoo."""
import argparse
import json
import os
import sys
import time

from . import blocks, catalogue
from .bert import Bert
from .decoder import Options
from .genai import Genai
from .gpt2 import Gpt2
from .optimum import Optimum
from .standard import Standard
from .tensors import BFLOAT16, FLOAT, FLOAT16, ExternalData, Source, Trained
from .whisper import DecoderPart, Encoder, FirstCall, LaterCall

MODELS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STYLES = {"optimum": Optimum, "genai": Genai, "onnx23": Standard}
ELEMENTS = {"float32": FLOAT, "float16": FLOAT16, "bfloat16": BFLOAT16}


LOWEST_OPSET, HIGHEST_OPSET = {"optimum": 14, "genai": 21, "onnx23": 23}, 24


class Refused(Exception):
    """A request that cannot be met; the message is for the user."""


def arguments(argv):
    names = ", ".join(m.name for m in catalogue.MODELS)
    a = argparse.ArgumentParser("zoo", allow_abbrev=False, description="Writes a model as ONNX: DIR/model.onnx, its external data, config.json and, in genai style, "
                                "genai_config.json.", epilog=f"Models (any case, punctuation aside): {names}.")
    a.add_argument("name", metavar="NAME")
    a.add_argument("--style", choices=STYLES, default="optimum", help="whose exporter's style")
    a.add_argument("--weights", choices=["none", "random", "trained"], help="none: entries that point into an absent file; random: drawn from the seed; "
                   "trained: those that the project has trained (default: trained where they are, else none at full size, random with --scale)")
    a.add_argument("--scale", help="tiny, or a fraction of the parameters such as 1/64")
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--out", required=True, metavar="DIR")
    for size, text in (("layers", "layers"), ("hidden", "hidden size"), ("context", "positions"), ("window", "attention window"),
                       ("vocab", "vocabulary"), ("experts", "experts"), ("top", "experts a token")):
        a.add_argument("--" + size, type=int, metavar="N", help=f"overrides the number of {text}" if size != "hidden" else "overrides the hidden size")
    a.add_argument("--weights-bits", type=int, choices=[4, 8], default=0, help="weights in blocks: MatMulNBits, QMoE, GatherBlockQuantized (genai)")
    a.add_argument("--quantize", choices=["nbits", "qdq", "mxfp4"], default="nbits", help="with --weights-bits, how: nbits: com.microsoft's operators on blocks; "
                   "qdq: DequantizeLinear (blocks from opset 21 on, else int8 with a scale a column); mxfp4: experts alone, in OCP MXFP4 (genai, 4 bits)")
    a.add_argument("--block", type=int, choices=[16, 32, 64, 128], default=32)
    a.add_argument("--zero-points", action="store_true", help="blocks with zero points")
    a.add_argument("--dequantized", action="store_true", help="store the floats that the blocks stand for (any style)")
    a.add_argument("--dtype", choices=ELEMENTS, default="float32")
    a.add_argument("--moe", choices=["dense", "each", "masked", "loop", "indexadd", "gathered"], default="dense", help="experts outside genai: dense: batched "
                   "products of all; each, masked: all, one by one, scaled by a column of the routing weights or by the choices that are it; loop, indexadd: one by "
                   "one on the tokens that chose it (ScatterND that adds; as TorchScript traces index_add_); gathered: products by the chosen experts' gathered weights")
    a.add_argument("--cache", choices=["default", "static", "expanded", "parts"], default="default",
                   help="static: TensorScatter into a cache of fixed length (onnx23); expanded: DeepSeek's K and V of every head; parts: its latent and its rotated part in two caches")
    a.add_argument("--decoder", choices=["merged", "split"], help="optimum: merged: one If over the ways with and without a cache (Whisper's default); split: "
                   "Whisper's model.onnx for the first call and decoder_with_past_model.onnx for the others")
    a.add_argument("--mask", choices=["trilu", "less", "bool"], default="", help="how the mask is built (optimum; default: as the model's code)")
    a.add_argument("--rope", choices=["computed", "gathered"], default="", help="whence angles come (optimum; default: as the model's code)")
    a.add_argument("--data", choices=["one", "each"], default="one", help="external data in one file, or a file for each tensor as torch.onnx.export writes it")
    a.add_argument("--opset", type=int, default=0, help="another ai.onnx opset than the style's")
    return a.parse_args(argv)


def number(text):
    """tiny, a fraction or a number in (0, 1]."""
    if text == "tiny":
        return text
    try:
        top, _, bottom = text.partition("/")
        value = float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError):
        value = 0
    if not 0 < value <= 1:
        raise Refused(f"--scale={text}: take tiny or a fraction such as 1/64")
    return value


def check_storage(a, model):
    """Refuses ways to store weights that do not go together."""
    if not a.weights_bits:
        if a.dequantized or a.zero_points or a.quantize != "nbits":
            raise Refused("--dequantized, --zero-points and --quantize need --weights-bits")
        return
    one_by_one = model.experts and a.moe in ("each", "masked", "loop", "indexadd") and a.quantize == "nbits"
    if a.quantize != "qdq" and a.style != "genai" and not a.dequantized and not one_by_one:
        raise Refused(f"--weights-bits with --quantize={a.quantize} needs --style=genai, or --dequantized, or experts one by one (--moe), which are then quantised alone")
    if a.quantize != "nbits" and a.zero_points:
        raise Refused(f"--quantize={a.quantize} has no zero points")
    opset = a.opset or LOWEST_OPSET[a.style]
    if a.quantize == "qdq" and opset < 21 and a.weights_bits == 4:
        raise Refused("--quantize=qdq with 4 bits needs opset 21 or later; take another --style")
    block = 32 if a.quantize == "mxfp4" else a.block
    sides = {"hidden size": model.hidden, "size of an expert": model.experts.ffn if model.experts else 0}
    for side, size in sides.items():   # MatMulNBits fills up a last block, the others do not
        if model.family == "llama" and a.quantize != "qdq" and size % block:
            raise Refused(f"blocks of {block} do not divide the {side}, {size}; take another --block or --hidden")
    if a.quantize == "mxfp4" and (a.weights_bits != 4 or model.experts is None):
        raise Refused("--quantize=mxfp4 needs --weights-bits=4 and a model with experts")


def prepare(a):
    """The model and the options that the arguments ask for."""
    model = catalogue.find(a.name)
    if model is None:
        raise Refused(f"no model {a.name}; there are {', '.join(m.name for m in catalogue.MODELS)}")
    if a.scale:
        factor = number(a.scale)
        if factor != 1:
            catalogue.scale(model, factor)
    for size in ("layers", "hidden", "context", "window", "vocab", "experts", "top"):
        if getattr(a, size) is not None and getattr(a, size) < 1:
            raise Refused(f"--{size}={getattr(a, size)}: take a positive number")
    try:
        catalogue.override(model, a.layers, a.hidden, a.context, a.window, a.vocab, a.experts, a.top)
    except ValueError as error:
        raise Refused(str(error)) from None
    if a.cache == "static" and a.style != "onnx23":
        raise Refused("--cache=static needs --style=onnx23 (TensorScatter)")
    if a.cache in ("expanded", "parts") and not model.latent:
        raise Refused(f"--cache={a.cache} is DeepSeek's; other models' caches hold K and V of every head already")
    if a.decoder == "split" and (model.family != "whisper" or a.style != "optimum"):
        raise Refused("--decoder=split is for Whisper in optimum style")
    if a.decoder == "merged" and (model.family not in ("llama", "whisper") or a.style != "optimum"):
        raise Refused("--decoder=merged is for decoders with rotary embeddings and Whisper, in optimum style")
    if a.seed < 0:
        raise Refused(f"--seed={a.seed}: take 0 or more")
    lowest = {"loop": 16}.get(a.moe, 14) if a.style == "optimum" else 24 if a.cache == "static" else LOWEST_OPSET[a.style]
    if a.opset and not lowest <= a.opset <= HIGHEST_OPSET:
        raise Refused(f"--opset={a.opset}: this style and these options need {lowest} to {HIGHEST_OPSET}")
    check_storage(a, model)
    options = Options(style=a.style, bits=a.weights_bits, quantize=a.quantize, block=a.block, zero_points=a.zero_points, dequantized=a.dequantized, moe=a.moe,
                      cache=a.cache, opset=a.opset, element=ELEMENTS[a.dtype], fixed_mask=a.mask, fixed_rope=a.rope, split=a.decoder == "split", each=a.data == "each", merged=a.decoder == "merged")
    return model, options


def builders(model, options, source):
    """(file name, external data, function that builds the ModelProto) of each file to write; model.onnx is the first."""
    def data(stem):
        return ExternalData(f"{stem}.onnx_data" if options.style == "optimum" else f"{stem}.onnx.data", options.each)
    def part(name, kind):
        external = data(name)
        return name + ".onnx", external, kind(blocks.STYLES[options.style](model, options, source, external))
    if model.family == "llama":
        external = data("model")
        return [("model.onnx", external, STYLES[options.style](model, options, source, external))]
    if model.family == "whisper":
        if options.split:
            return [part("model", FirstCall), part("decoder_with_past_model", LaterCall), part("encoder_model", Encoder)]
        return [part("model", DecoderPart), part("encoder_model", Encoder)]
    return [part("model", {"gpt2": Gpt2, "bert": Bert}[model.family])]


def write(path, content):
    with open(path + ".part", "wb") as file:
        file.write(content)
    os.replace(path + ".part", path)


def run(argv):
    a = arguments(argv)
    begin = time.time()
    model, options = prepare(a)
    trained = os.path.join(MODELS, model.trained) if model.trained and not (model.scaled or a.layers or a.hidden or a.vocab) else None
    weights = a.weights or ("trained" if trained else "random" if model.scaled else "none")
    if weights == "trained" and not trained:
        raise Refused(f"{model.name} has no trained weights at this size; there are those of {', '.join(m.name for m in catalogue.MODELS if m.trained)}")
    total, parts = 0, []
    for name, external, builder in builders(model, options, Trained(trained) if weights == "trained" else Source(a.seed)):
        proto = builder.build()
        total += builder.g.parameters
        parts.append((name, external, proto.SerializeToString()))
    os.makedirs(a.out, exist_ok=True)
    for name, external, content in parts:
        for location in external.locations():   # an absent file must be absent
            stale = os.path.join(a.out, location)
            if os.path.exists(stale):
                os.remove(stale)
        if weights != "none":
            external.write(a.out)
        write(os.path.join(a.out, name), content)
    if weights == "trained":
        with open(os.path.join(os.path.dirname(trained), "tokenizer.json"), "rb") as file:
            write(os.path.join(a.out, "tokenizer.json"), file.read())
    dump = lambda value: (json.dumps(value, indent=2) + "\n").encode()
    write(os.path.join(a.out, "config.json"), dump(catalogue.config(model, a.dtype)))
    if a.style == "genai":
        write(os.path.join(a.out, "genai_config.json"), dump(catalogue.genai_config(model, "model.onnx")))
    files = ", ".join(p[0] for p in parts)
    print(f"{model.name} {a.style}: {total:,} parameters, {sum(p[1].end for p in parts) / 1e6:,.1f} MB of external data"
          f"{' (absent)' if weights == 'none' else ''}; {files} in {a.out}, {time.time() - begin:.1f} s")


def main(argv):
    try:
        run(argv)
    except Refused as error:
        print(f"zoo: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"zoo: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0
