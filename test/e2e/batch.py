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
    folder = WORK / f"{name}-{style}"
    subprocess.run([str(ROOT / "models/zoo"), name, f"--style={style}", "--scale=tiny", f"--out={folder}", *extra], check=True, capture_output=True)
    return folder / "model.onnx"


for name, style in (("SmolLM2-135M", "genai"), ("Qwen3-32B", "onnx23"), ("Llama-3.1-8B", "optimum"), ("GPT-2", "optimum"), ("GPT-OSS-20B", "optimum"),
                    ("GPT-OSS-20B", "genai"), ("Mixtral-8x7B", "optimum"), ("DeepSeek-V3", "optimum"), ("DeepSeek-V3", "genai")):
    @test(f"batch {name} {style}")
    def _(name=name, style=style):
        alone_and_together(zoo(name, style), "corsair", "mxint16", 6)

for style, target, weights in (("optimum", "corsair", "mxint16"), ("genai", "kjv-quarter", "mxint8"), ("onnx23", "kjv-half", "mxint4")):
    @test(f"batch kjv {style} {target} {weights}", KJV)
    def _(style=style, target=target, weights=weights):
        alone_and_together(KJV / f"model_{style}.onnx", target, weights, 8)


@test("batch functional off")
def _():
    program, metrics = WORK / "timing.ahm", WORK / "timing.json"
    run("ahm-compile", zoo("SmolLM2-135M", "genai"), "-o", program, "--batch=4", "--timing-only")
    run("ahm-run", program, "--functional=off", "--context=100", "--generate=3", f"--metrics={metrics}")
    assert len([c for c in json.loads(metrics.read_text())["calls"] if c["entry"] == "decode"]) == 3


@test("batch of what has no rows")
def _():
    whisper = zoo("Whisper-base", "optimum")
    done = run("ahm-compile", whisper.parent / "encoder_model.onnx", whisper, "-o", WORK / "none.ahm", "--batch=2", status=1)
    assert "--batch=1" in done.stderr, done.stderr


finish()
