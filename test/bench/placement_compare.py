#!/usr/bin/python3
"""Placement policies where SRAM holds a part of the working set, where a long prompt precedes decoding, and where the context outgrows SRAM.

Usage: placement_compare.py BIN_DIR [--model=Llama-3.1-8B] [--weights=mxint4] [--layers=N] [--results=F.json]
Every row is a compilation with --timing-only on a target whose SRAM holds a share of the weights, and calls that are simulated. A row gives
hybrid's time and how many times as long the others take. Rows are kept in the results file, so that a run can be continued. No row is judged.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
POLICIES = ["hybrid", "static", "belady", "lru"]
SHARES = [0.25, 0.4, 0.6, 0.75, 0.9]


def run(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True)


def target(folder, sram):
    """The default card with so many bytes of SRAM a core."""
    text = (ROOT / "targets/cards/corsair.yaml").read_text()
    path = folder / "card.yaml"
    path.write_text(re.sub(r"(?m)^sram_per_core:.*$", f"sram_per_core: {sram // 1024} KiB", text))
    return path


def calls(binaries, folder, model, card, options, policy, context, prompt):
    """Seconds of a prompt's calls and of a decode call at the end of the context; None when nothing fits."""
    program, metrics = folder / "p.ahm", folder / "m.json"
    done = run(binaries / "ahm-compile", model, "-o", program, "--timing-only", f"--target={card}", f"--max-context={context}", f"--placement={policy}", *options)
    if done.returncode:
        return None
    ids = ["--prompt-ids=" + ",".join(["5"] * prompt), "--generate=2"] if prompt else [f"--context={context - 1}", "--generate=1"]
    done = run(binaries / "ahm-run", program, "--functional=off", f"--metrics={metrics}", *ids)
    if done.returncode:
        return None
    times = {"prefill": 0, "decode": 0}
    for call in json.loads(metrics.read_text())["calls"]:
        if call["entry"] == "prefill":
            times["prefill"] += call["latency_ps"]
        elif call["entry"] == "decode":
            times["decode"] = call["latency_ps"]
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--model", default="Llama-3.1-8B")
    parser.add_argument("--weights", default="mxint4")
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("placement_compare.json"))
    options = parser.parse_args()
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    binaries = options.bin.resolve()
    with tempfile.TemporaryDirectory(prefix="ahm-compare-") as temporary:
        folder = pathlib.Path(temporary)
        subprocess.run([ROOT / "models/zoo", options.model, "--style=genai", "--weights=none", f"--out={folder / 'model'}",
                        *([f"--layers={options.layers}"] if options.layers else [])], check=True, capture_output=True)
        model = folder / "model/model.onnx"
        done = run(binaries / "ahm-compile", model, "-o", folder / "p.ahm", "--timing-only", f"--weights={options.weights}", f"--placement-trace={folder / 't.json'}")
        if done.returncode:
            print(done.stderr)
            return 1
        weights = sum(weight["bytes"] for weight in json.loads((folder / "t.json").read_text())["weights"])
        cores = 8 * 4 * 4 * 16  # of the default card
        # Decoding at 1,024 tokens by share; a prompt of 2,048 and 64 tokens; contexts that grow at one share.
        rows = [(f"decode, SRAM holds {share:.0%} of the weights", share, 1024, 0, []) for share in SHARES]
        rows += [(f"prompt of 2,048 then 64 tokens, {share:.0%}", share, 4096, 2048, ["--workload=prompt=2048,output=64"]) for share in (0.4, 0.75)]
        rows += [(f"decode at {context:,} tokens, 75%", 0.75, context, 0, []) for context in (8192, 32768, 131072)]
        for name, share, context, prompt, extra in rows:
            card = target(folder, int(weights * share / cores))
            for policy in POLICIES:
                key = f"{options.model}|{options.weights}|{options.layers}|{name}|{policy}"
                if key not in results:
                    results[key] = calls(binaries, folder, model, card, [f"--weights={options.weights}", *extra], policy, context, prompt)
                    options.results.write_text(json.dumps(results, indent=1))
        print("| " + " | ".join(["case", "hybrid, ms", *POLICIES[1:]]) + " |\n|---|--:|" + "--:|" * (len(POLICIES) - 1))
        for name, share, context, prompt, extra in rows:
            def total(policy):
                times = results[f"{options.model}|{options.weights}|{options.layers}|{name}|{policy}"]
                return None if times is None else times["prefill"] + (64 if prompt else 1) * times["decode"]
            hybrid = total("hybrid")
            cells = ["does not fit" if total(policy) is None or hybrid is None else f"{total(policy) / hybrid:.2f}" for policy in POLICIES[1:]]
            print("| " + " | ".join([name, "does not fit" if hybrid is None else f"{hybrid / 1e9:.3f}", *cells]) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
