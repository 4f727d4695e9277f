"""Prediction against simulation: every policy and plans edited by chance, on targets drawn by chance, for scaled models without weights.

Usage: prediction.py BIN_DIR [FILTER]. Decode calls up to the longest context follow each other and the last is compared: the placement's prediction of it
must be within 2 %, the lower bound not above it, and hybrid not slower than any other policy. On half as many targets more pages of caches find no room beside
the weights; there the prediction must be within 1 %. Exit 0 passed, 1 failed.
"""
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.argv[1]).resolve()
FILTER = sys.argv[2] if len(sys.argv) > 2 else ""
# Name, options of the zoo, format of weights, longest context.
MODELS = [("SmolLM2-135M", ["--layers=8"], "mxint8", 1024), ("Llama-3.1-8B", ["--layers=5", "--vocab=16000"], "mxint4", 1024),
          ("Qwen3-32B", ["--layers=3", "--vocab=16000"], "mxint8", 2048), ("Llama-3.1-8B", ["--layers=3", "--vocab=16000"], "mxint8", 8192)]
TARGETS = 10
# Caches of the last are as large as its weights.
PAGED = [("Llama-3.1-8B", ["--layers=4", "--vocab=16000"], "mxint4", 32768), ("Qwen3-32B", ["--layers=3", "--vocab=16000"], "mxint4", 16384),
         ("Llama-3.1-8B", ["--layers=4", "--vocab=16000"], "mxint4", 100000)]
PAGED_TARGETS = 5
failures = []


def check(name, good, what):
    print(("ok   " if good else "FAIL ") + name + ": " + what, flush=True)
    if not good:
        failures.append(name)


def target(draw, folder, number, weights, stashes=(12, 24, 48)):
    """The default card with other figures; its SRAM holds a tenth of the weights up to all of them. `stashes`: sizes to draw from, MiB a quad."""
    chiplets, quads = draw.choice([1, 2, 3, 4, 8]), draw.choice([1, 2, 4])
    share = draw.choice([0.1, 0.25, 0.4, 0.6, 0.8, 0.95, 1.3])
    cores = chiplets * quads * 4 * 16
    sram = max(48 * 1024, int(weights * share / cores) // 1024 * 1024)
    changes = {"chiplets": chiplets, "quads_per_chiplet": quads, "sram_per_core": f"{sram // 1024} KiB", "stash_per_quad": f"{draw.choice(stashes)} MiB",
               "stash_read": f"{draw.choice([128, 512, 1024])} B/cycle", "bandwidth": f"{draw.choice([256, 1024, 2048])} B/cycle", "channels": draw.choice([1, 2, 4, 6]),
               "command": f"{draw.choice([20, 100, 300])} ns", "lanes_per_slice": draw.choice([32, 64, 128]), "gang": draw.choice([4, 8])}
    text = (ROOT / "targets/cards/corsair.yaml").read_text()
    for field, value in changes.items():
        text, count = re.subn(rf"(?m)^(\s*{field}:)\s+\S+( ?[A-Za-z/]+)?", rf"\1 {value}", text, count=1)
        assert count == 1, field
    path = folder / f"target{number}.yaml"
    path.write_text(text)
    return path, changes


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def measure(name, model, card, weights, context, folder, *options, within=0.02):
    """A decode call's simulated time; None where nothing fits."""
    program, metrics = folder / "p.ahm", folder / "m.json"
    code, text = run(BIN / "ahm-compile", model, "-o", program, "--timing-only", f"--weights={weights}", f"--max-context={context}", f"--target={card}", *options)
    if code:
        if "does not fit" not in text:
            check(name, False, text.strip().splitlines()[0][:200] if text.strip() else f"exit {code}")
        return None
    code, text = run(BIN / "ahm-run", program, "--functional=off", f"--context={context - 3}", "--generate=3", f"--metrics={metrics}")
    if code:
        check(name, False, text[:200])
        return None
    data = json.loads(metrics.read_text())
    place, call = data["program"]["placement"], data["calls"][-1]
    simulated, predicted, bound = call["latency_ps"], place["predicted_ps"], place["lower_bound_ps"]
    off = predicted / simulated - 1
    check(name, abs(off) <= within and bound <= simulated, f"{simulated / 1e6:.1f} us simulated, prediction {100 * off:+.2f} %, bound {bound / 1e6:.1f} us")
    return simulated


def edited(draw, plan, path):
    """Other choices for the weights, another ring; addresses are found anew."""
    plan["addresses"] = "chosen"
    plan["plan"] = {**plan.get("plan", {}), "slots": draw.choice([2, 3, 4]), "tight": draw.choice([0, 1]), "on_demand": draw.random() < 0.1}
    for weight in plan["weights"]:
        weight["choice"] = "resident" if draw.random() < 0.2 and weight["choice"] != "streamed" else "streamed"
    path.write_text(json.dumps(plan))


def main():
    with tempfile.TemporaryDirectory(prefix="ahm-prediction-") as temporary:
        folder = pathlib.Path(temporary)
        models = []
        for k, (name, options, weights, context) in enumerate(MODELS + PAGED):
            out = folder / f"model{k}"
            subprocess.run([ROOT / "models/zoo", name, "--style=genai", "--weights=none", f"--out={out}", *options], check=True, capture_output=True)
            code, text = run(BIN / "ahm-compile", out / "model.onnx", "-o", folder / "s.ahm", "--timing-only", f"--weights={weights}", f"--placement-trace={folder / 's.json'}")
            assert code == 0, text
            size = sum(weight["bytes"] for weight in json.loads((folder / "s.json").read_text())["weights"])
            models.append((name, out / "model.onnx", weights, context, size))
        for number in range(TARGETS + PAGED_TARGETS):
            draw, paged = random.Random(number), number >= TARGETS
            name, model, weights, context, size = models[len(MODELS) + number % len(PAGED) if paged else number % len(MODELS)]
            card, changes = target(draw, folder, number, size, (4, 6, 8) if paged else (12, 24, 48))
            label, within = f"target {number}, {name} {weights} at {context}", 0.01 if paged else 0.02
            if FILTER not in label:
                continue
            print(label, changes)
            times = {policy: measure(f"{label}, {policy}", model, card, weights, context, folder, f"--placement={policy}", *( [f"--placement-trace={folder / 'plan.json'}"] if policy == "hybrid" else []), within=within)
                     for policy in ["hybrid", "static", "belady", "lru", "dram-only", "sram-only"]}
            if times["hybrid"] is None:
                check(label, False, "hybrid finds no placement")
                continue
            for policy, time in times.items():
                if time is not None:
                    check(f"{label}, hybrid against {policy}", times["hybrid"] <= time * 1.001, f"{times['hybrid'] / time:.3f}")
            for edit in range(2):
                plan = json.loads((folder / "plan.json").read_text())
                edited(draw, plan, folder / "edited.json")
                measure(f"{label}, edited {edit}", model, card, weights, context, folder, f"--placement-in={folder / 'edited.json'}", within=within)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
