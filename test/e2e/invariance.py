"""Renamed, reordered and Identity-padded models give the same nn IR by data flow. Usage: invariance.py BIN_DIR. Exit 77: no model at hand."""
import collections
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
W = pathlib.Path(tempfile.mkdtemp(prefix="ahm-inv-"))


def sha(text):
    return hashlib.sha256(text if isinstance(text, bytes) else text.encode()).hexdigest()[:16]


def lines_of(text):
    """The multiset of the IR's lines, each value replaced by the hash of what computes it."""
    text = re.sub(r" ?loc\((?:[^()\"]|\"[^\"]*\"|\([^()]*\))*\)", "", text)
    maps = dict(re.findall(r"^(#\w+) = (.*)$", text, re.M))
    text = re.sub(r"#\w+", lambda m: maps.get(m[0], m[0]), "\n".join(l for l in text.splitlines() if not l.startswith("#")))
    weights, values, bag = {}, {}, collections.Counter()
    for line in text.splitlines():
        m = re.match(r'\s*nn\.weight (@"[^"]*"|@[\w.$-]+) : (.*) in "([^"]*)" at (\d+) size (\d+)(.*)', line)
        if m:
            with open(m[3], "rb") as f:
                f.seek(int(m[4])); weights[m[1]] = "W" + sha(f.read(int(m[5])) + (m[2] + m[6]).encode())
            line = weights[m[1]]
        line = re.sub(r'@"[^"]*"|@[\w.$-]+', lambda m: weights.get(m[0], m[0]), line.strip())
        if "func" in line.split(" ")[0]: values = {}
        left, eq, right = line.partition(" = ") if line.startswith("%") else ("", "", line)
        right = re.sub(r"%(\w+)", lambda m: values.get(m[1], m[0]), right)
        for i, name in enumerate(re.findall(r"%(\w+)", left)): values[name] = sha(f"{right}/{i}")
        bag[right] += 1
    return bag


def variant(source, kind, seed):
    m, r = onnx.load(source, load_external_data=False), random.Random(seed)
    g = m.graph
    keep = {v.name for v in [*g.input, *g.output]}
    if kind == "rename":
        def visit(graph, names):
            names = dict(names)
            for n in [*graph.initializer, *(x for k in graph.node for x in k.output)]:
                n = n if isinstance(n, str) else n.name
                if n and n not in keep and n not in {v.name for v in graph.output}: names[n] = f"v{r.getrandbits(60):x}"
            for t in [*graph.initializer, *graph.value_info]: t.name = names.get(t.name, t.name)
            for k in graph.node:
                k.name = f"n{r.getrandbits(60):x}"
                k.input[:] = [names.get(x, x) for x in k.input]; k.output[:] = [names.get(x, x) for x in k.output]
                for a in k.attribute:
                    if a.HasField("g"): visit(a.g, names)
            for v in graph.output: v.name = names.get(v.name, v.name)
        visit(g, {})
    def uses(k):
        return [*k.input, *(x for a in k.attribute if a.HasField("g") for n in a.g.node for x in uses(n)),
                *(v.name for a in k.attribute if a.HasField("g") for v in a.g.output)]
    if kind == "shuffle":
        made, left, order = {o for k in g.node for o in k.output}, list(g.node), []
        while left:
            k = r.choice([k for k in left if not any(x in made and x not in k.output for x in uses(k))])
            left.remove(k); order.append(k); made -= set(k.output)
        order = [onnx.NodeProto.FromString(k.SerializeToString()) for k in order]
        del g.node[:]; g.node.extend(order)
    if kind == "identity":
        new = []
        for k in g.node:
            for i, x in enumerate(k.input):
                if x and r.random() < .1:
                    k.input[i] = f"id{len(new)}"; new.append(onnx.helper.make_node("Identity", [x], [k.input[i]]))
            new.append(onnx.NodeProto.FromString(k.SerializeToString()))
        del g.node[:]; g.node.extend(new)
    d = W / f"{source.stem}-{kind}"; d.mkdir()
    for f in source.parent.iterdir():
        if f.name in ("weights.bin", "config.json"): shutil.copyfile(f, d / f.name)
    (d / source.name).write_bytes(m.SerializeToString())
    return d / source.name


def ir(*models):
    out = models[0].parent / "out.mlir" if W in models[0].parents else W / f"{models[0].stem}.mlir"
    done = subprocess.run([str(BIN / "ahm-compile"), *map(str, models), "--compile-to=quantized", "-o", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr[:400]}"
    return lines_of(out.read_text())


good = bad = 0
K, M = ROOT.parent / "shared/assets/kjv-llama", ROOT / "models/cache/moonshine"
for models in ([K / "model_optimum.onnx"], [M / "encoder_model.onnx", M / "decoder_model_merged.onnx"]):
    if not all(m.exists() for m in models): continue
    for kind in ("rename", "shuffle", "identity"):
        name = f"{models[0].stem}.{kind}"
        try:
            a, b = ir(*models), ir(*(variant(m, kind, 7) for m in models))
            assert a == b, "\n     ".join([f"{sum((a - b).values())} of {sum(a.values())} lines differ", *("- " + x[:200] for x in list(a - b)[:2]), *("+ " + x[:200] for x in list(b - a)[:2])])
            good += 1; print("ok  ", name, flush=True)
        except Exception as e:
            bad += 1; print(f"FAIL {name}\n     {e}", flush=True)
print(f"{good} passed, {bad} failed")
sys.exit(77 if good + bad == 0 else bad > 0)
