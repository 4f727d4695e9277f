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
          "dense, one-hot": "Mixtral-8x7B --style=optimum", "dense, scattered": "GPT-OSS-20B --style=onnx23", "dense, groups": "DeepSeek-V3 --style=optimum",
          # Experts with weights of their own, which the compiler stacks.
          "a column an expert": "Mixtral-8x7B --style=optimum --moe=each", "a column an expert, biases": "GPT-OSS-20B --style=optimum --moe=each",
          "a mask an expert": "Qwen3-235B-A22B --style=onnx23 --moe=masked", "loop": "Mixtral-8x7B --style=optimum --moe=loop",
          "loop, groups": "DeepSeek-V3 --style=onnx23 --moe=loop", "index_add, biases": "GPT-OSS-20B --style=optimum --moe=indexadd", "index_add, groups": "DeepSeek-V3 --style=optimum --moe=indexadd",
          "index_add, 4 bits": "Qwen3-235B-A22B --style=optimum --moe=indexadd --weights-bits=4 --zero-points", "gathered, biases": "GPT-OSS-20B --style=onnx23 --moe=gathered", "a column an expert, QDQ": "Mixtral-8x7B --style=onnx23 --moe=each --weights-bits=8 --quantize=qdq"}
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


for title, words in MODELS.items():
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

    @test(f"chosen only: {title}")
    def _():
        # One more choice a token reads one more expert's matrices in each layer, whatever the number of experts.
        def read(top, count):
            extra, metrics = f"{words} --top={top} --experts={count}", WORK / "chosen.json"
            run("ahm-run", program(extra), "--functional=off", "--context=5", "--generate=1", f"--metrics={metrics}")
            return json.loads(metrics.read_text())["calls"][-1]["bytes"]["sram"]["read"], json.loads((model(extra) / "config.json").read_text())
        one, config = read(1, 8)
        two = read(2, 8)[0]
        hidden, ffn = config["hidden_size"], config.get("moe_intermediate_size", config["intermediate_size"])
        layers = config["num_hidden_layers"] - config.get("first_k_dense_replace", 0)
        tiles = lambda k, n: -(-k // 64) * -(-n // 32)
        expert = layers * (2 * tiles(hidden, ffn) + tiles(ffn, hidden)) * 4160   # MXINT16 tiles of 64 x 32
        assert two - one == expert, (one, two, expert)
        # Twice as many experts: the router has more columns, nothing else.
        router = layers * (tiles(hidden, 16) - tiles(hidden, 8)) * 4160
        assert read(2, 16)[0] - two == router, (read(2, 16)[0], two, router)

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
