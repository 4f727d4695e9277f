"""Quality of the block formats against ONNX Runtime itself, row by row of logits.

Usage: quality.py BIN_DIR [FILTER]. The trained model ../shared/assets/kjv-llama over windows of 512 held-out ids, teacher-forced, each from an empty
cache; ONNX Runtime for Node (test/e2e/fetch_oracle.sh, or $ORT_NODE_DIR) computes the reference in the same run. NUMERICS' bounds: mxint16
within 1e-3 of a row's largest logit and +0.1 % of perplexity; mxint8 top-1 agreement of 97 %, mean KL of 5e-3 and +1 %.
AHM_QUALITY_WINDOWS=8 (all) takes every window; by default two, evenly spread.
"""
import json
import os
import subprocess

import numpy as np

from harness import KJV, ORACLE, ROOT, WORK, finish, kjv, run, test

WINDOW = 512
COUNT = int(os.environ.get("AHM_QUALITY_WINDOWS", "2"))


def windows():
    ids = np.load(KJV / "val_ids.npy")
    whole = ids[: len(ids) // WINDOW * WINDOW].reshape(-1, WINDOW)
    return whole[np.linspace(0, len(whole) - 1, min(COUNT, len(whole))).astype(int)]


reference_rows = []


def reference():
    if not reference_rows:
        out = WORK / "reference.f32"
        subprocess.run(["node", ROOT / "test/e2e/logits_reference.mjs", KJV / "model_optimum.onnx", out], input=json.dumps(windows().tolist()), text=True,
                       check=True, capture_output=True, env={**os.environ, "ORT_NODE_DIR": str(ORACLE.parents[1])})
        reference_rows.append(np.fromfile(out, "<f4").reshape(len(windows()), WINDOW, -1))
    return reference_rows[0]


def card(weights, window):
    out = WORK / "card.npy"
    run("ahm-run", kjv(weights, "corsair", "--prefill-logits=all"), "--prompt-ids=" + ",".join(map(str, window)), "--generate=1", "--ignore-eos", "--print-ids",
        f"--logits={out}", "--timing=off")
    rows = np.load(out)
    assert rows.shape[0] == WINDOW, rows.shape
    return rows


def log_softmax(rows):
    rows = rows.astype(np.float64)
    rows = rows - rows.max(axis=-1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=-1, keepdims=True))


def measure(weights):
    """Over all windows: worst relative error of a row, top-1 agreement, mean KL, and perplexity over the reference's."""
    worst, agree, divergence, loss, expected = 0.0, [], [], [], []
    for window, theirs in zip(windows(), reference()):
        ours = card(weights, window)
        worst = max(worst, (np.abs(ours - theirs).max(axis=1) / np.abs(theirs).max(axis=1)).max())
        agree.append(ours.argmax(axis=1) == theirs.argmax(axis=1))
        p, q = log_softmax(theirs), log_softmax(ours)
        divergence.append((np.exp(p) * (p - q)).sum(axis=1))
        rows, targets = np.arange(WINDOW - 1), window[1:]
        loss.append(-q[rows, targets])
        expected.append(-p[rows, targets])
    ratio = np.exp(np.mean(loss) - np.mean(expected))
    print(f"     {weights}: {len(windows())} windows, worst row {worst:.2e}, top-1 {np.mean(agree):.4f}, KL {np.mean(divergence):.2e}, "
          f"perplexity {np.exp(np.mean(loss)):.4f} ({(ratio - 1) * 100:+.3f} %)", flush=True)
    return worst, np.mean(agree), np.mean(divergence), ratio


@test("kjv.quality.mxint16", KJV, ORACLE)
def _():
    worst, _, _, ratio = measure("mxint16")
    assert worst <= 1e-3, f"a row differs by {worst:.2e} of its largest logit"
    assert ratio <= 1.001, f"perplexity {(ratio - 1) * 100:+.3f} %"


@test("kjv.quality.mxint8", KJV, ORACLE)
def _():
    _, agreement, divergence, ratio = measure("mxint8")
    assert agreement >= 0.97, f"top-1 agreement {agreement:.4f}"
    assert divergence <= 5e-3, f"mean KL {divergence:.2e}"
    assert ratio <= 1.01, f"perplexity {(ratio - 1) * 100:+.3f} %"


@test("kjv.score", KJV)
def _():
    # --score against the recorded perplexity of the float32 model, over all windows.
    expected = json.loads((KJV / "expected.json").read_text())["perplexity"]["optimum"]["perplexity"]
    for weights, tolerance in (("mxint16", 1e-3), ("mxint8", 1e-2)):
        done = run("ahm-run", kjv(weights, "corsair", "--prefill-logits=all"), f"--score={KJV / 'val_ids.npy'}", "--timing=off")
        value = float(done.stdout.strip().splitlines()[-1])
        assert value <= expected * (1 + tolerance), f"{weights}: perplexity {value}, float32 has {expected}"


finish()
