"""The same program, inputs and phase give the same bytes: over repeats, working folders, thread counts and builds.

Usage: determinism.py BIN_DIR [--update]. Needs no model: a small feed-forward block is made here. Its schedule on a card that ships with the
project, resident and streamed, is compared with the hashes of golden/traces.json, which every build type must give: a trace holds
commands, times and node names, and neither weights nor paths. A change of the compiler or of a cost changes them on purpose; then look at
what moved and write the new ones with --update. Where models/cache/moonshine or ../shared/assets/kjv-llama is at hand, real programs
are repeated as well. Exit 0 passed, 1 failed.
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.argv[1]).resolve()
GOLDEN = pathlib.Path(__file__).resolve().parent / "golden/traces.json"
MOONSHINE = ROOT / "models/cache/moonshine"
KJV = ROOT.parent / "shared/assets/kjv-llama"
TARGET = "test-tiny"


def small_model(path, seed, blocks=1):
    """x + W2 relu(W1 norm(x)) some times, then a head with softmax, on [1, tokens, 96]."""
    rng = np.random.RandomState(seed)
    weights = {"w1": (96, 384), "b1": (384,), "w2": (384, 96), "head": (96, 200), "gamma": (96,), "beta": (96,)}
    initializers = [numpy_helper.from_array((rng.standard_normal(shape) * 0.1).astype(np.float32), name) for name, shape in weights.items()]
    nodes, last = [], "x"

    def node(op, *inputs, **attributes):
        nodes.append(helper.make_node(op, inputs, [f"v{len(nodes)}"], name=f"/block/{len(nodes)}/{op}", **attributes))
        return f"v{len(nodes) - 1}"
    for _ in range(blocks):
        active = node("Relu", node("Add", node("MatMul", node("LayerNormalization", last, "gamma", "beta", axis=-1, epsilon=1e-5), "w1"), "b1"))
        last = node("Add", last, node("MatMul", active, "w2"))
    node("Softmax", node("MatMul", last, "head"), axis=-1)
    nodes[-1].output[0] = "y"
    value = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "tokens", width])
    graph = helper.make_graph(nodes, "block", [value("x", 96)], [value("y", 200)], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def run(tool, *args, cwd=None):
    done = subprocess.run([str(BIN / tool), *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=cwd)
    assert done.returncode == 0, f"{tool} {' '.join(map(str, args))}\nexit {done.returncode}\n{done.stderr[-2000:]}"
    return done.stdout


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def compiled(folder, models, *options):
    """The program's bytes and those of its weights, compiled in a folder of its own by a relative path."""
    folder.mkdir(parents=True)
    run("ahm-compile", *models, "-o", "program.ahm", *options, cwd=folder)
    program = folder / "program.ahm"
    return program, [sha(program), sha(folder / "program.ahmw")]


def readings(program, *request):
    """Everything that a run leaves, for one and two threads and again: (trace, metrics without wall time, other outputs)."""
    first = None
    for threads in (1, 2, 2):
        trace, metrics, out = program.with_suffix(".trace"), program.with_suffix(".metrics"), program.parent / "out"
        text = run("ahm-run", program, *request, f"--threads={threads}", f"--trace={trace}", f"--metrics={metrics}", f"--output-dir={out}")
        numbers = json.loads(metrics.read_text())
        for call in numbers["calls"]:
            del call["wall_seconds"]
        left = (sha(trace), json.dumps(numbers), text, [(p.name, sha(p)) for p in sorted(out.iterdir())])
        first = first or left
        for name, a, b in zip(("trace", "metrics", "standard output", "outputs"), first, left):
            assert a == b, f"{program}: {name} differs with --threads={threads}"
    return first


def repeated(work, name, models, options, request):
    """Compiles twice and runs three times; the trace's hash."""
    a, bytes_a = compiled(work / name / "a", models, *options)
    _, bytes_b = compiled(work / name / "elsewhere" / "b", models, *options)
    assert bytes_a == bytes_b, f"{name}: two compilations give other bytes"
    trace = readings(a, *request)[0]
    print(f"ok   {name}: trace {trace[:16]}", flush=True)
    return trace


def main():
    with tempfile.TemporaryDirectory(prefix="ahm-determinism-") as folder:
        work = pathlib.Path(folder)
        for tokens in (1, 17):
            np.save(work / f"x{tokens}.npy", np.random.RandomState(tokens).standard_normal((1, tokens, 96)).astype(np.float32))
        traces = {}
        for seed in (1, 2):
            small_model(work / f"small{seed}.onnx", seed)
            for policy in ("hybrid", "dram-only"):
                for tokens in (1, 17):
                    name = f"{TARGET}.{policy}.{tokens}"
                    trace = repeated(work / str(seed), name, [work / f"small{seed}.onnx"],
                                     [f"--target={TARGET}", f"--placement={policy}", "--weights=mxint8", "--max-dim=tokens=32"],
                                     [f"--input=x={work}/x{tokens}.npy"])
                    assert traces.setdefault(name, trace) == trace, f"{name}: the trace depends on the weights"
        if "--update" in sys.argv:
            GOLDEN.parent.mkdir(exist_ok=True)
            GOLDEN.write_text(json.dumps(traces, indent=1) + "\n")
        golden = json.loads(GOLDEN.read_text())
        for name, trace in traces.items():
            assert golden.get(name) == trace, (f"{name}: the trace's sha256 is {trace}, {GOLDEN.name} has {golden.get(name)}. When a change of the compiler, the "
                                               f"timing model or the card is meant to move it: {pathlib.Path(__file__).name} BIN_DIR --update")
        if MOONSHINE.exists():
            clip = json.loads((ROOT / "test/e2e/clips/expected.json").read_text())["clips"][0]["clip"]
            for target in ("corsair", "test-tiny"):
                repeated(work, f"moonshine.{target}", [MOONSHINE / "encoder_model.onnx", MOONSHINE / "decoder_model_merged.onnx"], [f"--target={target}"],
                         [f"--audio={ROOT / 'test/e2e/clips' / clip}", "--print-ids"])
        if KJV.exists():
            for target in ("corsair", "kjv-quarter"):
                repeated(work, f"kjv.{target}", [KJV / "model_optimum.onnx"], ["--weights=mxint16", f"--target={target}"],
                         ["--prompt-ids=0,12,7,99,3", "--generate=4", "--ignore-eos", "--print-ids"])


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    try:
        main()
    except AssertionError as error:
        print(f"FAIL {error}")
        sys.exit(1)
