"""Recognition is by structure: a model with renamed nodes and values, shuffled order and inserted Identities gives the same nn IR.

Usage: invariance.py BIN_DIR. Models as in run.py. Two modules are compared by a hash of their data flow that does not see names,
numbering or order. Exit 0 passed, 1 failed, 77 nothing could run.
"""
import atexit
import hashlib
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

import onnx

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.argv[1]).resolve()
MOONSHINE = ROOT / "models/cache/moonshine"
KJV = ROOT.parent / "shared/assets/kjv-llama"


def graphs(graph):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def rename(model, rng):
    """New names for every node and every value that is not an input or output of the model or an initializer."""
    fixed = {v.name for g in graphs(model.graph) for v in [*g.input, *g.output, *g.initializer]} | {""}
    names = {}
    for graph in graphs(model.graph):
        del graph.value_info[:]
        for node in graph.node:
            node.name = f"n{rng.getrandbits(60):x}"
            for field in (node.input, node.output):
                for i, name in enumerate(field):
                    if name not in fixed:
                        field[i] = names.setdefault(name, f"v{rng.getrandbits(60):x}")


def uses(node):
    """Names that a node reads, those that its branches capture included."""
    read = set(node.input)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            own = {name for inner in attribute.g.node for name in inner.output}
            for inner in attribute.g.node:
                read |= uses(inner) - own
            read |= {o.name for o in attribute.g.output} - own
    return read


def shuffle(model, rng):
    for graph in graphs(model.graph):
        made = {name for node in graph.node for name in node.output if name}
        waiting, done, order = list(graph.node), set(), []
        while waiting:
            ready = [n for n in waiting if all(name not in made or name in done for name in uses(n))]
            node = rng.choice(ready)
            waiting.remove(node)
            order.append(node)
            done |= set(node.output)
        copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in order]
        del graph.node[:]
        graph.node.extend(copies)


def identities(model, rng, share=0.15):
    for graph in graphs(model.graph):
        made = {name for node in graph.node for name in node.output if name}
        nodes = []
        for node in graph.node:
            for i, name in enumerate(node.input):
                if name in made and rng.random() < share:
                    fresh = f"i{rng.getrandbits(60):x}"
                    nodes.append(onnx.helper.make_node("Identity", [name], [fresh], name=fresh))
                    node.input[i] = fresh
            nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
        del graph.node[:]
        graph.node.extend(nodes)


def normalised(path):
    """Per function a multiset of hashes: an operation's is its text with operands replaced by their hashes; a weight's its source."""
    weights, caches, result, values = {}, {}, [], {}
    name = r'@(?:"[^"]*"|[\w$.\-#]+)'
    text = path.read_text()
    aliases = dict(re.findall(r"^(#map\d*) = (.*)$", text, re.M))
    for line in text.splitlines():
        line = re.sub(r"#map\d*", lambda m: aliases[m.group(0)], line)
        line = re.sub(r"\s*loc\(.*$", "", line).strip()
        if line.startswith("nn.weight"):
            symbol = re.match(r"nn\.weight (" + name + ")", line).group(1)
            # Of a source, here or in the recipe, the place is not compared: it moves when the file's nodes change.
            weights[symbol] = re.sub(r'in "[^"]*" at \d+|file = "[^"]*"|offset = \d+ : i64', "", re.sub(name, "", line, count=1))
            continue
        if line.startswith("nn.cache "):
            symbol = re.match(r"nn\.cache (" + name + ")", line).group(1)
            caches[symbol] = re.sub(name, "", line, count=1)
            continue
        if line.startswith("func.func"):
            values = {f"%arg{i}": f"arg{i}" for i in range(200)}
            result.append(re.sub(r"loc\([^)]*\)", "", line.split("attributes")[-1]))
            continue
        if not line or line[0] in "#{}" or line.startswith("module"):
            continue
        left, _, right = line.rpartition(" = ") if re.match(r"%[\w:, %]+ = ", line) else ("", "", line)
        if left:
            right = line[len(left) + 3:]
            left, right = line.split(" = ", 1)
        right = re.sub(name, lambda m: weights.get(m.group(0), caches.get(m.group(0), m.group(0))), right)
        right = re.sub(r"%[\w]+(#\d+)?", lambda m: values.get(m.group(0), m.group(0)), right)
        digest = hashlib.sha1(right.encode()).hexdigest()[:16]
        result.append(digest)
        if left:
            base = left.split(":")[0].strip()
            values[base] = digest
            for i in range(8):
                values[f"{base}#{i}"] = f"{digest}.{i}"
            for i, part in enumerate(left.split(",")):
                values[part.strip()] = f"{digest}.{i}" if "," in left else digest
    return sorted(result)


def compile_to_nn(files, out):
    done = subprocess.run([BIN / "ahm-compile", *files, "-o", out, "--compile-to=quantized"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    return normalised(out)


def zoo(words):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ahm-invariance-zoo-"))
    atexit.register(shutil.rmtree, folder, True)
    subprocess.run([str(ROOT / "models/zoo"), *words.split(), "--layers=2", "--scale=tiny", f"--out={folder}"], check=True, capture_output=True)
    return folder


ZOO = ("deepseek-v3", "deepseek-v3 --cache=parts", "deepseek-v3 --style=onnx23 --cache=static", "mixtral-8x7b", "mixtral-8x7b --moe=loop",
       "gpt-oss-20b --style=onnx23", "gpt-oss-20b --style=genai", "bert-base", "gpt-2")
passed = failed = skipped = 0
for title, folder, files in (*((words, zoo(words), ["model.onnx"]) for words in ZOO), ("kjv-llama", KJV, ["model_optimum.onnx"]), ("kjv-llama genai", KJV, ["model_genai.onnx"]),
                             ("kjv-llama genai int4", KJV, ["model_genai_int4.onnx"]), ("kjv-llama onnx23", KJV, ["model_onnx23.onnx"]), ("moonshine", MOONSHINE, ["encoder_model.onnx", "decoder_model_merged.onnx"])):
    if not folder.exists():
        skipped += 1
        print(f"SKIP {title}: {folder.name} is not at hand")
        continue
    work = pathlib.Path(tempfile.mkdtemp(prefix="ahm-invariance-"))
    atexit.register(shutil.rmtree, work, True)
    reference = compile_to_nn([folder / f for f in files], work / "reference.mlir")
    for seed, change in enumerate((rename, shuffle, identities)):
        variant = work / change.__name__
        variant.mkdir()
        for side in folder.iterdir():
            if side.name == "config.json" or side.suffix in (".bin", ".data", ".onnx_data"):
                shutil.copy(side, variant / side.name)
        for file in files:
            model = onnx.load(str(folder / file), load_external_data=False)
            change(model, random.Random(seed))
            (variant / file).write_bytes(model.SerializeToString())
        got = compile_to_nn([variant / f for f in files], variant / "nn.mlir")
        # Weights inside a model file move when its nodes change; compare without their offsets.
        if got == reference:
            passed += 1
            print(f"ok   {title} {change.__name__}: {len(got)} operations")
        else:
            failed += 1
            print(f"FAIL {title} {change.__name__}: {len(set(got) ^ set(reference))} of {len(got)} operations differ")
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed else 77 if not passed else 0)
