"""Mixtures of experts of models/zoo against ONNX Runtime: usage moe.py BIN_DIR [FILTER].

Logits within NUMERICS' bound at mxint16; the same bits whatever the prefill's chunk; bytes and MACs of chosen experts only, alike in
both readings; the time between its bounds, whatever the experts.
"""
import json
import os
import shutil
import subprocess

import numpy as np

from harness import ORACLE, ROOT, WORK, finish, run, test

MODELS = {"MoE, silu": "Mixtral-8x7B --style=genai", "MoE, clamped": "GPT-OSS-20B --style=genai",
          "QMoE, 4 bits": "Qwen3-235B-A22B --style=genai --weights-bits=4", "QMoE, 8 bits": "GPT-OSS-20B --style=genai --weights-bits=8",
          "QMoE, MXFP4": "GPT-OSS-20B --style=genai --weights-bits=4 --quantize=mxfp4",
          "dense, one-hot": "Mixtral-8x7B --style=optimum", "dense, scattered": "GPT-OSS-20B --style=onnx23", "dense, groups": "DeepSeek-V3 --style=optimum"}
# Loops over experts that gather each one's tokens: every expert computes, whatever is chosen.
LOOPS = {"loop": "Mixtral-8x7B --style=optimum --moe=loop", "loop, groups": "DeepSeek-V3 --style=optimum --moe=loop"}
IDS = [int(i) for i in np.random.default_rng(11).integers(0, 256, 40)]
NODE = ORACLE if shutil.which("node") else ROOT / "no node"


def model(words):
    out = WORK / words.replace(" ", "_").replace("--", "")
    if not out.exists():
        subprocess.run([str(ROOT / "models/zoo"), *words.split(), "--scale=tiny", f"--out={out}"], check=True, capture_output=True)
    return out


def program(words, chunk=64, weights="mxint16"):
    path = model(words) / f"{weights}-{chunk}.ahm"
    if not path.exists():
        run("ahm-compile", model(words) / "model.onnx", "-o", path, f"--weights={weights}", f"--prefill-chunk={chunk}", "--max-context=128",
            "--prefill-logits=all")
    return path


def logits(words, chunk=64, *extra):
    out = model(words) / f"logits-{chunk}.npy"
    run("ahm-run", program(words, chunk), "--prompt-ids=" + ",".join(map(str, IDS)), "--generate=3", "--ignore-eos", f"--logits={out}", *extra)
    return np.load(out)


for title, words in {**MODELS, **LOOPS}.items():
    @test(f"logits: {title}", NODE)
    def _():
        # No CPU runs MXFP4 experts: the floats that they stand for are the reference.
        reference = model(words + " --dequantized" if "mxfp4" in words else words)
        jobs = [{"model": str(reference / "model.onnx"), "ids": IDS, "chunk": 7, "out": str(model(words) / "reference.bin"), "level": "disabled"}]
        (model(words) / "jobs.json").write_text(json.dumps(jobs))
        subprocess.run(["node", str(ROOT / "test/e2e/zoo.mjs"), str(model(words) / "jobs.json")], check=True, capture_output=True,
                       env=dict(os.environ, ORT_NODE_DIR=str(ORACLE.parents[1])))
        want = np.fromfile(jobs[0]["out"], np.float32).reshape(len(IDS), -1)
        have = logits(words, 64, "--check-memory")[:len(IDS)]
        worst = np.max(np.abs(have - want).max(1) / np.abs(want).max(1))
        assert worst <= 1e-3, f"logits differ by {worst:.2e} of the largest"

    @test(f"chunks: {title}")
    def _():
        reference = logits(words, 64)
        for chunk in (1, 7):
            assert (logits(words, chunk) == reference).all(), f"chunks of {chunk} give other bits"

    if title in LOOPS:
        continue

    @test(f"routing: {title}")
    def _():
        # A recorded routing, replayed without values, takes the time and bytes of the run that recorded it.
        record, metrics = model(words) / "routing.json", model(words) / "replayed.json"
        timed = lambda: [(c["entry"], c["latency_ps"], c["bytes"]) for c in json.loads(metrics.read_text())["calls"] if c["entry"] == "decode"]
        prompt = IDS[:33]
        run("ahm-run", program(words), "--prompt-ids=" + ",".join(map(str, prompt)), "--generate=4", "--ignore-eos", f"--routing-out={record}", f"--metrics={metrics}")
        executed = timed()
        recorded = json.loads(record.read_text())
        recorded["calls"] = [c for c in recorded["calls"] if c["entry"] == "decode"]
        record.write_text(json.dumps(recorded))
        again = model(words) / "again.json"
        run("ahm-run", program(words), "--functional=off", f"--context={len(prompt)}", "--generate=3", f"--routing={record}", f"--routing-out={again}", f"--metrics={metrics}")
        assert timed() == executed and json.loads(again.read_text()) == recorded
        # What does not fit is refused.
        recorded["calls"][0]["routing"] = {k: [len(ids) * 1000] * len(ids) for k, ids in recorded["calls"][0]["routing"].items()}
        again.write_text(json.dumps(recorded))
        done = run("ahm-run", program(words), "--functional=off", "--context=33", "--generate=1", f"--routing={again}", status=1)
        assert "holds id" in done.stderr and "entry 'decode'" in done.stderr, done.stderr
        again.write_text('{"frequencies": "all"}')
        done = run("ahm-run", program(words), "--functional=off", "--context=33", "--generate=1", f"--routing={again}", status=1)
        assert "again.json: the frequencies" in done.stderr, done.stderr

    @test(f"times: {title}")
    def _():
        metrics = model(words) / "metrics.json"
        calls = {}
        for name, flags in {"on": ["--prompt-ids=" + ",".join(map(str, IDS))], "a": ["--functional=off", "--context=40"],
                            "b": ["--functional=off", "--context=40", "--seed=7"]}.items():
            run("ahm-run", program(words), *flags, "--generate=3", "--ignore-eos", f"--metrics={metrics}")
            calls[name] = [c for c in json.loads(metrics.read_text())["calls"] if c["entry"] in ("prefill", "decode")]
            for call in calls[name]:
                assert call["lower_bound_ps"] <= call["latency_ps"] <= call["bound_ps"], call
        for call in calls["on"]:
            assert call["executed"]["macs"] == call["macs"] and call["executed"]["bytes"] == call["bytes"], call
        assert len({call["bytes"]["sram"]["read"] for call in calls["on"] if call["entry"] == "decode"}) == 1, "a token reads another number of experts"


finish()
