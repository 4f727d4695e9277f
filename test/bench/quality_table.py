"""What each format costs in quality: the trained model ../shared/assets/kjv-llama over its held-out ids.

Usage: quality_table.py BIN_DIR [FORMAT...]. Perplexity over windows of 512 ids, each alone from an empty cache (ahm-run --score), for weights in
every format, and for caches in every format beside mxint16 weights, so that the cache alone is measured; against the same model in float32 by ONNX
Runtime for Node (test/e2e/fetch_oracle.sh, or $ORT_NODE_DIR), computed in the same run over the same windows. Prints the table of docs/formats.md.
Exit 0, or 1 when a bound of NUMERICS is not met: mxint16 +0.1 %, mxint8 +1 %.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.argv[1]).resolve()
KJV = ROOT.parent / "shared/assets/kjv-llama"
ORACLE = pathlib.Path(os.environ.get("ORT_NODE_DIR", ROOT / "models/cache/oracle"))
WINDOW = 512
WEIGHTS = ["mxint16", "mxint8", "mxfp8", "mxfp6", "mxint4", "mxfp4"]
CACHES = ["mxint16", "bf16", "mxint8", "mxint4"]
BITS = {"mxint16": 16.25, "mxint8": 8.25, "mxfp8": 8.25, "mxfp6": 6.25, "mxint4": 4.25, "mxfp4": 4.25, "bf16": 16}
BOUND = {"mxint16": 0.1, "mxint8": 1.0}


def float32(folder):
    ids = np.load(KJV / "val_ids.npy")
    windows = ids[: len(ids) // WINDOW * WINDOW].reshape(-1, WINDOW)
    out = folder / "reference.f32"
    subprocess.run(["node", ROOT / "test/e2e/logits_reference.mjs", KJV / "model_optimum.onnx", out], input=json.dumps(windows.tolist()), text=True,
                   check=True, capture_output=True, env={**os.environ, "ORT_NODE_DIR": str(ORACLE)})
    rows = np.fromfile(out, "<f4").reshape(len(windows), WINDOW, -1)[:, :-1].astype(np.float64)
    rows -= rows.max(axis=-1, keepdims=True)
    rows -= np.log(np.exp(rows).sum(axis=-1, keepdims=True))
    return float(np.exp(-np.take_along_axis(rows, windows[:, 1:, None], axis=-1).mean())), len(windows)


def perplexity(folder, *options):
    program = folder / "model.ahm"
    subprocess.run([BIN / "ahm-compile", KJV / "model_optimum.onnx", "-o", program, "--prefill-logits=all", *options], check=True, capture_output=True)
    done = subprocess.run([BIN / "ahm-run", program, f"--score={KJV / 'val_ids.npy'}", "--timing=off"], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main():
    chosen = sys.argv[2:]
    failed = False
    with tempfile.TemporaryDirectory(prefix="ahm-quality-") as folder:
        folder = pathlib.Path(folder)
        reference, windows = float32(folder)
        print(f"{windows} windows of {WINDOW} ids; float32 in ONNX Runtime: {reference:.4f}\n")
        print("| weights | bits an element | perplexity | against float32 |\n|---|---|---|---|")
        for format in [f for f in WEIGHTS if not chosen or f in chosen]:
            value = perplexity(folder, f"--weights={format}")
            change = (value / reference - 1) * 100
            failed |= change > BOUND.get(format, np.inf)
            print(f"| {format} | {BITS[format]} | {value:.4f} | {change:+.3f} % |", flush=True)
        print("\n| cache, beside mxint16 weights | bits an element | perplexity | against float32 |\n|---|---|---|---|")
        for format in [f for f in CACHES if not chosen or f in chosen]:
            value = perplexity(folder, "--weights=mxint16", f"--kv={format}")
            print(f"| {format} | {BITS[format]} | {value:.4f} | {(value / reference - 1) * 100:+.3f} % |", flush=True)
    sys.exit(1 if failed else 0)


main()
