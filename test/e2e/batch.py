"""Batches: several sequences of unequal lengths decoded at once give the bits of each run alone, on big and small cards.

Usage: batch.py BIN_DIR [FILTER]. Small random models of models/zoo, and the four files of kjv-llama where they are at hand.
"""
import json

import numpy

from harness import BIN, KJV, ROOT, WORK, finish, run, test
import subprocess
import sys

PROMPTS = [[0, 12, 13, 300, 7], [0, 44], [0, 9, 9, 100, 200, 301, 17, 5, 80], [3]]


def alone_and_together(model, target, weights, steps):
    name = f"{model.parent.name}-{model.stem}-{target}-{weights}"
    one, many = WORK / f"{name}-1.ahm", WORK / f"{name}-4.ahm"
    for program, batch in ((one, 1), (many, 4)):
        run("ahm-compile", model, "-o", program, f"--target={target}", f"--weights={weights}", f"--batch={batch}", "--prefill-chunk=4")
    lines, rows = [], []
    for prompt in PROMPTS:
        logits = WORK / "alone.npy"
        done = run("ahm-run", one, "--prompt-ids=" + ",".join(map(str, prompt)), f"--generate={steps}", "--ignore-eos", f"--logits={logits}")
        lines.append(done.stdout.strip())
        rows.append(numpy.load(logits))
    logits, metrics = WORK / "together.npy", WORK / "together.json"
    done = run("ahm-run", many, *("--prompt-ids=" + ",".join(map(str, p)) for p in PROMPTS), f"--generate={steps}", "--ignore-eos", "--check-memory",
               f"--logits={logits}", f"--metrics={metrics}", "--phases=20")
    assert done.stdout.strip().splitlines() == lines, f"{done.stdout}\ninstead of\n{lines}"
    assert numpy.load(logits).tobytes() == numpy.concatenate(rows).tobytes(), "logits differ in a bit"
    calls = json.loads(metrics.read_text())["calls"]
    decodes = [c for c in calls if c["entry"] == "decode" and c["batch"] == len(PROMPTS)]
    assert len(decodes) == steps - 1, f"{len(decodes)} decode calls of four sequences"
    for call in calls:
        assert call["lower_bound_ps"] <= call["latency_ps"] <= call["bound_ps"], call
    # Sequences that end early leave the batch; a program takes fewer than it was compiled for, not more.
    run("ahm-run", many, "--prompt-ids=0,12", "--prompt-ids=5", "--generate=3", "--ignore-eos")
    first = lines[0].split(",")[0]
    done = run("ahm-run", many, *("--prompt-ids=" + ",".join(map(str, p)) for p in PROMPTS), f"--generate={steps}", f"--end-ids={first}")
    ended = [line.split(",") for line in done.stdout.strip().splitlines()]
    assert ended[0] == [first] and len(ended) == len(PROMPTS), done.stdout
    for line, whole in zip(ended, lines):
        whole = whole.split(",")
        assert line == (whole[:whole.index(first) + 1] if first in whole else whole), done.stdout
    many_prompts = ["--prompt-ids=1"] * 5
    done = run("ahm-run", many, *many_prompts, "--generate=2", status=1)
    assert "recompile with --batch=5" in done.stderr, done.stderr


def zoo(name, style, *extra):
    folder = WORK / f"{name}-{style}{'-'.join(extra)}"
    subprocess.run([str(ROOT / "models/zoo"), name, f"--style={style}", "--scale=tiny", f"--out={folder}", *extra], check=True, capture_output=True)
    return folder / "model.onnx"


for name, style in (("SmolLM2-135M", "genai"), ("Qwen3-32B", "onnx23"), ("Llama-3.1-8B", "optimum"), ("GPT-2", "optimum"), ("GPT-OSS-20B", "optimum"),
                    ("GPT-OSS-20B", "genai"), ("Mixtral-8x7B", "optimum"), ("DeepSeek-V3", "optimum"), ("DeepSeek-V3", "genai"),
                    ("Llama-3.1-8B", "onnx23 --cache=static"), ("GPT-OSS-20B", "onnx23 --cache=static"), ("DeepSeek-V3", "onnx23 --cache=static"),
                    ("Qwen2.5-0.5B", "optimum --decoder=merged"), ("Mixtral-8x7B", "optimum --moe=indexadd")):
    @test(f"batch {name} {style}")
    def _(name=name, style=style):
        alone_and_together(zoo(name, *style.split()), "corsair", "mxint16", 6)

for style, target, weights in (("optimum", "corsair", "mxint16"), ("genai", "kjv-quarter", "mxint8"), ("onnx23", "kjv-half", "mxint4")):
    @test(f"batch kjv {style} {target} {weights}", KJV)
    def _(style=style, target=target, weights=weights):
        alone_and_together(KJV / f"model_{style}.onnx", target, weights, 8)


@test("batch functional off")
def _():
    program, metrics = WORK / "timing.ahm", WORK / "timing.json"
    run("ahm-compile", zoo("SmolLM2-135M", "genai"), "-o", program, "--batch=4", "--timing-only")
    run("ahm-run", program, "--functional=off", "--context=100", "--generate=3", f"--metrics={metrics}")
    calls = [c for c in json.loads(metrics.read_text())["calls"] if c["entry"] == "decode"]
    assert len(calls) == 3 and all(c["batch"] == 4 for c in calls), calls
    # Each sequence with a context of its own: less is read than where all have the longest.
    def read(contexts):
        run("ahm-run", program, "--functional=off", f"--context={contexts}", "--generate=1", f"--metrics={metrics}")
        call = json.loads(metrics.read_text())["calls"][-1]
        assert call["lower_bound_ps"] <= call["latency_ps"] <= call["bound_ps"], call
        return call["batch"], call["context"], call["bytes"]["stash"]["read"] + call["bytes"]["sram"]["read"]
    same, longest, shorter, two = read("400"), read("400,400,400,400"), read("400,100,7,0"), read("400,100")
    assert same == longest and same[0] == 4 and shorter[:2] == (4, 400) and shorter[2] < same[2] and two[0] == 2, (same, longest, shorter, two)
    done = run("ahm-run", program, "--functional=off", "--context=1,2,3,4,5", "--generate=1", status=1)
    assert "recompile with --batch=5" in done.stderr, done.stderr


lines = {}


def whisper(style, *extra):
    """Encoder and decoder: each sequence's frames stay its own."""
    model = zoo("Whisper-base", style, *extra)
    name = f"{model.parent.name}"
    one, many = WORK / f"{name}-1.ahm", WORK / f"{name}-4.ahm"
    files = [model.parent / "encoder_model.onnx", model, *model.parent.glob("decoder_with_past_model.onnx")]
    for program, batch in ((one, 1), (many, 4)):
        run("ahm-compile", *files, "-o", program, "--weights=mxint16", f"--batch={batch}", "--prefill-chunk=4")
    feature = "audio_features" if style == "genai" else "input_features"
    inputs, alone, rows = [], [], []
    for i, prompt in enumerate(PROMPTS):
        inputs.append(WORK / f"features{i}.npy")
        numpy.save(inputs[-1], numpy.random.default_rng(i).standard_normal((1, 16, 192)).astype(numpy.float32))
        logits = WORK / "alone.npy"
        done = run("ahm-run", one, f"--input={feature}={inputs[-1]}", "--prompt-ids=" + ",".join(map(str, prompt)), "--generate=5", "--ignore-eos", f"--logits={logits}")
        alone.append(done.stdout.strip())
        rows.append(numpy.load(logits))
    logits, metrics = WORK / "together.npy", WORK / "together.json"
    done = run("ahm-run", many, *(f"--input={feature}={path}" for path in inputs), *("--prompt-ids=" + ",".join(map(str, p)) for p in PROMPTS), "--generate=5",
               "--ignore-eos", "--check-memory", f"--logits={logits}", f"--metrics={metrics}")
    assert done.stdout.strip().splitlines() == alone and len(set(alone)) > 1, f"{done.stdout}\ninstead of\n{alone}"
    assert numpy.load(logits).tobytes() == numpy.concatenate(rows).tobytes(), "logits differ in a bit"
    calls = json.loads(metrics.read_text())["calls"]
    assert sum(c["entry"] == "encoder.main" for c in calls) == len(PROMPTS) and sum(c["entry"] == "decoder.decode" and c["batch"] == 4 for c in calls) == 4
    for call in calls:
        assert call["lower_bound_ps"] <= call["latency_ps"] <= call["bound_ps"], call
    # One prompt serves all; more sequences than the program takes are refused.
    done = run("ahm-run", many, *(f"--input={feature}={path}" for path in inputs[:2]), "--prompt-ids=0,12", "--generate=2", "--ignore-eos")
    assert len(done.stdout.strip().splitlines()) == 2, done.stdout
    done = run("ahm-run", one, *(f"--input={feature}={path}" for path in inputs[:2]), "--prompt-ids=0,12", "--generate=2", status=1)
    assert "recompile with --batch=2" in done.stderr, done.stderr
    return alone


for style in ("optimum", "optimum --decoder=split", "genai", "onnx23"):
    @test(f"batch Whisper {style}")
    def _(style=style):
        lines[style] = whisper(*style.split())
        # The same model, whatever its files.
        assert lines[style] == lines.get("optimum", lines[style]), lines


finish()
