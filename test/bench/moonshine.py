"""Host speed of the functional simulator on Moonshine-tiny, beside ONNX Runtime on the same machine, one thread each.

Usage: moonshine.py BIN_DIR [REPEATS]   (default 7). Needs models/cache/moonshine (models/fetch_moonshine.sh), node, and
onnxruntime-node in $ORT_NODE_DIR (default models/cache/oracle). Exit 77 when one is missing.

Repeats alternate between the two, so that a busy machine slows both. A decode step is a decoder call with a cache (the first call of a
transcription has none and is left out). Each figure is the median over repeats; a repeat's decode step is the median of its steps.
ONNX Runtime is measured cold (first transcription of its process, as ahm-run's is) and warm (second).
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/cache/moonshine"
CLIP = ROOT / "test/e2e/clips/say14.wav"
ORACLE = pathlib.Path(os.environ.get("ORT_NODE_DIR", ROOT / "models/cache/oracle")).resolve()
ENVIRONMENT = dict(os.environ, ORT_NODE_DIR=str(ORACLE), OMP_NUM_THREADS="1")


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=ENVIRONMENT)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def compile_model(tools, program):
    """Seconds and peak MiB of ahm-compile, measured from outside."""
    start = time.monotonic()
    child = subprocess.Popen([tools / "ahm-compile", MODEL / "encoder_model.onnx", MODEL / "decoder_model_merged.onnx", "-o", program],
                             stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=ENVIRONMENT)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit("ahm-compile failed")
    child.returncode = 0
    return time.monotonic() - start, usage.ru_maxrss / 1024


def ours(tools, program, metrics):
    out = run(tools / "ahm-run", program, f"--audio={CLIP}", "--print-ids", "--timing=off", "--threads=1", f"--metrics={metrics}")
    calls = json.loads(metrics.read_text())["calls"]
    seconds = lambda ending: [call["wall_seconds"] for call in calls if call["entry"].endswith(ending)]
    ids = [int(word) for word in out.strip().splitlines()[0].split(",")]
    return ids, seconds("encoder.main")[0], statistics.median(seconds("decoder.decode"))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    tools = pathlib.Path(sys.argv[1]).resolve()
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    for need in (MODEL / "encoder_model.onnx", MODEL / "decoder_model_merged.onnx", ORACLE / "node_modules/onnxruntime-node"):
        if not need.exists():
            print(f"skipped: {need} is not at hand")
            sys.exit(77)
    if not shutil.which("node"):
        print("skipped: node is not at hand")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="ahm-bench-") as folder:
        work = pathlib.Path(folder)
        compiles, encoder, step = [], {"ours": [], "cold": [], "warm": []}, {"ours": [], "cold": [], "warm": []}
        for _ in range(repeats):
            compiles.append(compile_model(tools, work / "moonshine.ahm"))
            ids, encode, decode = ours(tools, work / "moonshine.ahm", work / "metrics.json")
            encoder["ours"].append(encode)
            step["ours"].append(decode)
            theirs = json.loads(run("node", ROOT / "test/bench/moonshine_ort.mjs", MODEL, CLIP))
            for state in ("cold", "warm"):
                if theirs[state]["ids"] != ids:
                    sys.exit(f"ids differ: {ids} here, {theirs[state]['ids']} in ONNX Runtime")
                encoder[state].append(theirs[state]["encoder"])
                step[state].append(statistics.median(theirs[state]["steps"][1:]))
    print(f"{CLIP.name}, {repeats} interleaved repeats, one thread, load average {os.getloadavg()[0]:.2f}; median (least to most)")
    for title, rows in (("encoder", encoder), ("decode step", step)):
        for name, values in rows.items():
            label = "ahm-run" if name == "ours" else f"ORT {name}"
            print(f"  {title:12} {label:9} {statistics.median(values) * 1e3:8.2f} ms  ({min(values) * 1e3:.2f} to {max(values) * 1e3:.2f})")
        mid = {name: statistics.median(values) for name, values in rows.items()}
        print(f"  {title:12} ratio ours/ORT: {mid['ours'] / mid['cold']:.2f} cold, {mid['ours'] / mid['warm']:.2f} warm")
    print(f"  ahm-compile  {statistics.median(c[0] for c in compiles):.2f} s, peak {max(c[1] for c in compiles):.0f} MiB")


main()
