#!/usr/bin/python3
"""Placement policies on models of full size: latency a token, prediction, lower bound and gap, written as docs/placement.md's table.

Usage: placement_table.py BIN_DIR [--models=A,B] [--cards=1,2,8] [--contexts=1024,8192,32768] [--policies=...] [--results=F.json] [--write]
Every row is a compilation with --timing-only and a decode call at the longest context, simulated, behind another one (the first finds its first weights already in the ring); of a mixture of experts the mean of 48 calls
up to there, each with experts of its own drawing, as prediction and bound are expectations over these. Rows are kept in the results file as
they are made, so that a run can be continued; --write puts all of them between the markers of docs/placement.md. No row is judged here.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Name, style of the zoo, format of the weights.
MODELS = [("Llama-3.1-8B", "genai", "mxint4"), ("Llama-3.1-8B", "genai", "mxint8"), ("Qwen3-32B", "genai", "mxint4"), ("Qwen3-32B", "genai", "mxint8"), ("GPT-OSS-20B", "genai", "mxint4"),
          ("Llama-3.3-70B", "genai", "mxint4"), ("Llama-3.3-70B", "genai", "mxint8"), ("SmolLM2-135M", "genai", "mxint8")]
POLICIES = ["hybrid", "static", "belady", "lru", "dram-only", "sram-only"]
MIXTURES, MIXTURE_CALLS = ["GPT-OSS"], 48
BEGIN, END = "<!-- table: test/bench/placement_table.py -->", "<!-- end of table -->"


def model(name, style):
    folder = pathlib.Path(os.environ.get("AHM_MODELS", tempfile.gettempdir())) / f"ahm-zoo-{name}-{style}"
    if not (folder / "model.onnx").exists():
        subprocess.run([ROOT / "models/zoo", name, f"--style={style}", "--weights=none", f"--out={folder}"], check=True, capture_output=True)
    return folder / "model.onnx"


def row(binaries, path, weights, cards, context, policy, folder):
    program, metrics = folder / "p.ahm", folder / "m.json"
    for file in (program, metrics):
        file.unlink(missing_ok=True)
    begin = time.time()
    compiled = subprocess.run([binaries / "ahm-compile", path, "-o", program, "--timing-only", f"--weights={weights}", f"--cards={cards}",
                               f"--max-context={context}", f"--placement={policy}"], capture_output=True, text=True)
    seconds = time.time() - begin
    if compiled.returncode:
        return {"error": (compiled.stderr.strip().splitlines() or ["?"])[0][:160]}
    calls = MIXTURE_CALLS if any(word in str(path) for word in MIXTURES) else 1
    ran = subprocess.run([binaries / "ahm-run", program, "--functional=off", f"--context={context - calls - 1}", f"--generate={calls + 1}", f"--metrics={metrics}"],
                         capture_output=True, text=True)
    if ran.returncode:
        return {"error": (ran.stderr.strip().splitlines() or ["?"])[0][:160]}
    data = json.loads(metrics.read_text())
    place, made = data["program"]["placement"], data["calls"][-calls:]
    mean = lambda of: sum(map(of, made)) / len(made)
    dram = mean(lambda call: max(busy for name, busy in call["utilization"].items() if name.startswith("dram")))
    placed = [line for line in compiled.stdout.splitlines() if "placed in" in line]
    return {"latency_ps": mean(lambda call: call["latency_ps"]), "predicted_ps": place["predicted_ps"], "lower_bound_ps": place["lower_bound_ps"], "dram_busy": dram,
            "streamed_bytes": data["program"]["streamed_bytes"], "seconds": round(seconds, 2),
            "placed": placed[0].split("placed in")[1].split("s")[0].strip() if placed else ""}


def table(results):
    lines = ["| model | weights | cards | context | policy | a token, ms | predicted | off | lower bound, ms | gap | DRAM busy | placed in, s |",
             "|---|---|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|"]
    for key in sorted(results, key=lambda k: (k.split("|")[0:2], int(k.split("|")[2]), int(k.split("|")[3]), POLICIES.index(k.split("|")[4]))):
        name, weights, cards, context, policy = key.split("|")
        r = results[key]
        if "error" in r:
            lines.append(f"| {name} | {weights} | {cards} | {context} | {policy} | does not fit | | | | | | |")
            continue
        latency, predicted, bound = r["latency_ps"], r["predicted_ps"], r["lower_bound_ps"]
        lines.append(f"| {name} | {weights} | {cards} | {context} | {policy} | {latency / 1e9:.3f} | {predicted / 1e9:.3f} | {100 * (predicted / latency - 1):+.2f} % | "
                     f"{bound / 1e9:.3f} | {100 * (latency / bound - 1):.1f} % | {100 * r['dram_busy']:.1f} % | {r['placed']} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--models", default="")
    parser.add_argument("--cards", default="1,2,8")
    parser.add_argument("--contexts", default="1024,8192,32768")
    parser.add_argument("--policies", default=",".join(POLICIES))
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path("placement_results.json"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    wanted = [name for name in options.models.split(",") if name]
    with tempfile.TemporaryDirectory(prefix="ahm-placement-") as folder:
        for context in options.contexts.split(","):
            for policy in options.policies.split(","):
                for cards in options.cards.split(","):
                    for name, style, weights in MODELS:
                        key = "|".join([name, weights, cards, context, policy])
                        if (wanted and name not in wanted) or key in results:
                            continue
                        results[key] = row(options.bin.resolve(), model(name, style), weights, int(cards), int(context), policy, pathlib.Path(folder))
                        print(key, results[key], flush=True)
                        options.results.write_text(json.dumps(results, indent=1))
    if options.write:
        page = ROOT / "docs/placement.md"
        text = page.read_text()
        head, rest = text.split(BEGIN)
        page.write_text(head + BEGIN + "\n" + table(results) + "\n" + END + rest.split(END)[1])
    else:
        print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
