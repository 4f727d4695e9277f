#!/usr/bin/python3
"""What a prediction costs beside the event engine: processor time of one prediction of all entries, as ahm-compile prints it, over that of simulating
the workload whose time it predicts, every call of it.

Usage: prediction_time.py BIN_DIR [--prompt=2048] [--generate=256] MODEL.onnx:WEIGHTS ...
"""
import argparse
import pathlib
import re
import resource
import subprocess
import tempfile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("bin", type=pathlib.Path)
parser.add_argument("--prompt", type=int, default=2048)
parser.add_argument("--generate", type=int, default=256)
parser.add_argument("models", nargs="+")
options = parser.parse_args()


def processor(*words):
    """Standard output, and processor seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime - before.ru_utime


print("| model | one prediction, ms | one decode call, ms | ratio | the workload, s | ratio |\n|---|--:|--:|--:|--:|--:|")
with tempfile.TemporaryDirectory(prefix="ahm-prediction-time-") as folder:
    program = pathlib.Path(folder) / "p.ahm"
    for word in options.models:
        path, weights = word.rsplit(":", 1)
        context = options.prompt + options.generate
        compile_it = [options.bin / "ahm-compile", path, "-o", program, "--timing-only", f"--weights={weights}", f"--max-context={context}",
                      f"--workload=prompt={options.prompt},output={options.generate}"]
        predictions = sorted(float(re.search(r"one prediction in ([0-9.]+) ms", processor(*compile_it)[0])[1]) for _ in range(3))
        run = [options.bin / "ahm-run", program, "--functional=off"]
        ids = ",".join(["1"] * options.prompt)
        load = min(processor(*run, f"--context={options.prompt}", "--generate=1")[1] for _ in range(3))
        decode = (min(processor(*run, f"--context={options.prompt - 65}", "--generate=65")[1] for _ in range(3)) - load) / 64
        whole = min(processor(*run, f"--prompt-ids={ids}", f"--generate={options.generate}", "--ignore-eos")[1] for _ in range(2)) - (load - decode)
        print(f"| {pathlib.Path(path).parent.name} {weights} | {predictions[1]:.2f} | {1e3 * decode:.2f} | {predictions[1] / (1e3 * decode):.3f} | {whole:.2f} | {predictions[1] / (1e3 * whole):.5f} |", flush=True)
