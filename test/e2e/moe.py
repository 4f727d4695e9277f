"""Mixtures of experts of models/zoo against ONNX Runtime: usage moe.py BIN_DIR [FILTER].

Logits within NUMERICS' bound at mxint16; the same bits whatever the prefill's chunk and whichever experts stay in SRAM; bytes and MACs of
chosen experts only, alike in both readings; the time between its bounds, whatever the experts; what is fetched is what was chosen and is not there.
"""
import json
import os
import re
import shutil
import subprocess

import numpy as np

from decoder import card
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
KEPT = set()  # whether experts were kept beside fetched ones
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


    @test(f"fetched: {title}")
    def _():
        # Cards with too little SRAM: likely experts stay, the others are fetched when they are chosen.
        reference = logits(words)
        favourite, seen = 3, set()
        frequencies, record, again, metrics, trace = (model(words) / f"{name}.json" for name in ("frequencies", "record", "again", "fetched", "trace"))
        cards = (("82 KiB", "hybrid"), ("60 KiB", "hybrid"), ("30 KiB", "hybrid"), ("60 KiB", "static"), ("60 KiB", "dram-only"))
        # Every way to write experts with one card and policy, some with all.
        for sram, policy in cards if title in list(MODELS)[:6] else cards[-1:]:
            target = card(WORK / f"experts-{sram.split()[0]}.yaml", chiplets=2, quads_per_chiplet=1, slices_per_quad=4, cores_per_slice=16, sram_per_core=sram, stash_per_quad="48 MiB")
            compiled = model(words) / "fetched.ahm"
            experts = json.loads((model(words) / "experts.json").read_text()) if (model(words) / "experts.json").exists() else None
            flags = []
            if experts:
                frequencies.write_text(json.dumps({"frequencies": [9 if e == favourite else 1 for e in range(experts)]}))
                flags = [f"--routing={frequencies}"]
            run("ahm-compile", model(words) / "model.onnx", "-o", compiled, "--weights=mxint16", "--prefill-chunk=64", "--max-context=128", "--prefill-logits=all", f"--target={target}",
                f"--placement={policy}", f"--placement-trace={trace}", *flags)
            plan = json.loads(trace.read_text())
            fetched = [w for w in plan["weights"] if w["choice"] == "experts"]
            if not fetched:
                continue
            (model(words) / "experts.json").write_text(str(len(fetched[0]["experts"])))
            for w in fetched:
                assert sorted(w["experts"]) == list(range(len(w["experts"]))), w["experts"]
                assert not flags or w["experts"][0] == favourite, w["experts"]
                seen.add(min(w["resident_experts"], 1))
            out = model(words) / "fetched.npy"
            run("ahm-run", compiled, "--prompt-ids=" + ",".join(map(str, IDS)), "--generate=4", "--ignore-eos", f"--logits={out}", "--check-memory", f"--metrics={metrics}", f"--routing-out={record}")
            assert (np.load(out)[:len(reference)] == reference).all(), f"{sram}, {policy}: other bits"
            # Of two decode calls, DRAM gives as much more as experts are missing more.
            calls = json.loads(metrics.read_text())["calls"]
            recorded = [c["routing"] for c in json.loads(record.read_text())["calls"] if c["entry"] == "decode"]
            for call in calls:
                assert call["lower_bound_ps"] <= call["latency_ps"] <= call["bound_ps"], call
                if call["entry"] in ("prefill", "decode"):
                    assert call["executed"]["macs"] == call["macs"] and call["executed"]["bytes"] == call["bytes"], call
            decode = [c for c in calls if c["entry"] == "decode"]
            layer = lambda w: (re.findall(r"layers\.(\d+)\.", w["name"]) or [None])[0]
            def missing(routing):
                return sum(len(set(routing[layer(w)]) & set(w["experts"][w["resident_experts"]:])) * w["bytes"] // len(w["experts"]) for w in fetched)
            if all(layer(w) in recorded[0] for w in fetched):  # routings are numbered in order: here as the layers are
                needs = [missing(r) for r in recorded]
                for a, b, x, y in zip(decode, decode[1:], needs, needs[1:]):
                    assert b["bytes"]["dram"]["read"] - a["bytes"]["dram"]["read"] == y - x, (sram, policy, needs, [c["bytes"]["dram"] for c in decode])
            # The worst choice takes at least as long as any, and nearly the bound.
            timed = {}
            for name in ("worst", "drawn"):
                run("ahm-run", compiled, "--functional=off", "--context=44", "--generate=1", f"--metrics={metrics}", *(["--routing=worst"] if name == "worst" else []))
                timed[name] = json.loads(metrics.read_text())["calls"][-1]
            assert timed["drawn"]["latency_ps"] <= timed["worst"]["latency_ps"] <= timed["worst"]["bound_ps"] <= 1.05 * timed["worst"]["latency_ps"], timed
            # A placement with its numbers edited is refused.
            if "given" == plan["addresses"] and fetched[0]["resident_experts"] == 0:
                fetched[0]["experts"][1] = fetched[0]["experts"][0]
                again.write_text(json.dumps(plan))
                done = run("ahm-compile", model(words) / "model.onnx", "-o", compiled, "--weights=mxint16", "--prefill-chunk=64", "--max-context=128", "--prefill-logits=all", f"--target={target}",
                           f"--placement-in={again}", *flags, status=1)
                assert "the order of its experts names" in done.stderr, done.stderr
        assert 0 in seen, "no expert was fetched"
        KEPT.update(seen)


if KEPT:
    @test("fetched: some experts stay beside others")
    def _():
        assert KEPT == {0, 1}, KEPT


finish()
