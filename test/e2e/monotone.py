"""More of the card, or less to move, never makes a step slower: by simulation, over ladders of SRAM, of DRAM channels, of formats and of contexts.

Usage: monotone.py BIN_DIR [FILTER]. Also what a placement says of the longest context: that one compiles, and a longer one is refused.
Exit 0 passed, 1 failed.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.argv[1]).resolve()
FILTER = sys.argv[2] if len(sys.argv) > 2 else ""
# Name, options of the zoo, format of weights, context.
MODELS = [("Llama-3.1-8B", ["--layers=4", "--vocab=16000"], "mxint4", 2048), ("SmolLM2-135M", ["--layers=10"], "mxint8", 8192),
          ("GPT-OSS-20B", ["--layers=3", "--vocab=16000"], "mxint4", 1024)]
# The prediction, by which placements are chosen, may differ from the simulation by so much where refresh falls otherwise.
ALLOWED = 1.001
# Placements weigh prefill as well, which with a shorter context may gain what a decode step loses.
ALLOWED_CONTEXTS = 1.005
failures = []


def check(name, good, what):
    print(("ok   " if good else "FAIL ") + name + ": " + what, flush=True)
    if not good:
        failures.append(name)


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def card(folder, **changes):
    text = (ROOT / "targets/cards/corsair.yaml").read_text()
    for field, value in changes.items():
        text, count = re.subn(rf"(?m)^(\s*{field}:)\s+\S+( ?[A-Za-z/]+)?", rf"\1 {value}", text, count=1)
        assert count == 1, field
    path = folder / "card.yaml"
    path.write_text(text)
    return path


def step(folder, model, target, weights, context, *options):
    """Mean latency of decode calls up to the context; None where nothing fits."""
    program, metrics = folder / "p.ahm", folder / "m.json"
    code, text = run(BIN / "ahm-compile", model, "-o", program, "--timing-only", f"--weights={weights}", f"--max-context={context}", f"--target={target}", *options)
    if code:
        assert "does not fit" in text or "DRAM" in text, text
        return None
    code, text = run(BIN / "ahm-run", program, "--functional=off", f"--context={context - 32}", "--generate=32", "--seed=1", f"--metrics={metrics}")
    assert code == 0, text
    calls = json.loads(metrics.read_text())["calls"][-32:]
    return sum(call["latency_ps"] for call in calls) / len(calls)


def ladder(name, steps, allowed=ALLOWED):
    """Times of ever more of the card, or ever less to move."""
    if FILTER not in name:
        return
    before, worst, said = None, 0, []
    for label, measure in steps:
        now = measure()
        if before is not None:
            worst = max(worst, now / before if now is not None else 2)
        before = now if before is None or now is None else min(before, now)
        said.append(f"{label} {now / 1e6:.1f}" if now is not None else f"{label} -")
    check(name, worst <= allowed, ", ".join(said) + " us")


def longest(folder, model, target, weights):
    trace = folder / "t.json"
    code, text = run(BIN / "ahm-compile", model, "-o", folder / "p.ahm", "--timing-only", f"--weights={weights}", "--max-context=1024", f"--target={target}", f"--placement-trace={trace}")
    assert code == 0, text
    most = json.loads(trace.read_text())["what_if"]["tokens_at_most"]
    fits, beyond = (run(BIN / "ahm-compile", model, "-o", folder / "q.ahm", "--timing-only", f"--weights={weights}", f"--max-context={tokens}", f"--target={target}")[0] == 0
                    for tokens in (int(most * 0.98), int(most * 1.05)))
    return most, fits, beyond


def main():
    with tempfile.TemporaryDirectory(prefix="ahm-monotone-") as temporary:
        folder = pathlib.Path(temporary)
        for name, options, weights, context in MODELS:
            out = folder / name
            subprocess.run([ROOT / "models/zoo", name, "--style=genai", "--weights=none", f"--out={out}", *options], check=True, capture_output=True)
            model = out / "model.onnx"
            on = lambda **changes: (lambda: step(folder, model, card(folder, **changes), weights, context))
            # A quarter of the default card's chiplets, so that weights do not fit.
            few = {"chiplets": 2, "quads_per_chiplet": 2}
            ladder(f"{name}: SRAM", [(f"{kib} KiB", on(**few, sram_per_core=f"{kib} KiB")) for kib in (96, 128, 160, 200, 256, 320, 420, 512, 768, 1024, 2048)])
            for kib in (160, 320):
                ladder(f"{name}: DRAM channels, {kib} KiB", [(f"{channels}", on(**few, sram_per_core=f"{kib} KiB", channels=channels)) for channels in (1, 2, 3, 4, 5, 6, 8)])
            with_format = lambda form: (lambda: step(folder, model, card(folder, **few, sram_per_core="256 KiB"), form, context))
            ladder(f"{name}: formats", [(form, with_format(form)) for form in ("mxint16", "mxint8", "mxint4")])
            with_context = lambda tokens: (lambda: step(folder, model, card(folder, **few, sram_per_core="256 KiB"), weights, tokens))
            ladder(f"{name}: contexts", [(f"{tokens}", with_context(tokens)) for tokens in (8192, 4096, 2048, 1024, 512, 256)], ALLOWED_CONTEXTS)
            if FILTER in f"{name}: longest context":
                most, fits, beyond = longest(folder, model, card(folder, **few, sram_per_core="512 KiB", capacity="800 MB"), weights)
                check(f"{name}: longest context", fits and not beyond, f"{most} tokens; fits {fits}, beyond {beyond}")
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
