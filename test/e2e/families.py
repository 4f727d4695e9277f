"""The families of models/zoo, small, in the styles of their exporters, against ONNX Runtime on the same file: the logits of a prompt and of cached
decode within NUMERICS' bound for mxint16, 1e-3 of each row's largest logit, over a context that crosses a page, a window and a chunk's border.

Usage: families.py BIN_DIR [FILTER]. Needs python3-onnx and the oracle (test/e2e/fetch_oracle.sh, or $ORT_NODE_DIR). Exit 0 passed, 1 failed, 77 skipped.
"""
import json
import os
import subprocess
import sys

import numpy as np

from harness import ORACLE, ROOT, WORK, failed, finish, run, test
from zoomodels import write_model

O, G, S, STATIC = "--style=optimum", "--style=genai", "--style=onnx23", "--style=onnx23 --cache=static"
# Each model's ways, all of which must agree with ONNX Runtime.
FAMILIES = [
    ("llama-3.1-8b", [O, G, S, STATIC, O + " --mask=less", O + " --mask=bool", O + " --rope=gathered"]),
    ("llama-3.3-70b", [O, G, S, STATIC]),
    ("qwen2.5-32b", [O, G, S, STATIC]),
    ("qwen2.5-0.5b", [O, G, S, STATIC, O + " --decoder=merged"]),
    ("qwen3-32b", [O, G, S, STATIC]),
    ("smollm2-135m", [O, G, S, STATIC]),
    ("gpt-2", [O, G, S]),
    ("gpt-oss-20b", [O, G, S, STATIC, O + " --moe=indexadd"]),
    ("mixtral-8x7b", [O, G, S, STATIC, *(O + f" --moe={m}" for m in ("each", "masked", "loop", "indexadd", "gathered"))]),
    # Another seed: with the first one a token is nearly undecided between two experts.
    ("qwen3-235b-a22b --seed=1", [O, G, S, S + " --moe=loop", O + " --moe=indexadd"]),
    ("deepseek-v3", [O, G, S, STATIC, O + " --moe=indexadd", O + " --cache=parts", S + " --cache=parts", O + " --cache=expanded", S + " --cache=expanded"]),
]
TOKENS = int(os.environ.get("AHM_FAMILIES_TOKENS", "100"))  # of the prompt; beyond 1,024 attention has two segments
CONTEXT = 512 if TOKENS < 400 else 2 * TOKENS
PROMPT = [int(i) for i in np.random.default_rng(5).integers(0, 256, TOKENS)]
GENERATED = 20
ready = []  # (name, words, folder, ids)


def write(words):
    return write_model(WORK / "".join(c if c.isalnum() else "_" for c in words), *words.split())


def logits(folder, chunk):
    program, out = folder / f"chunk{chunk}.ahm", folder / f"chunk{chunk}.npy"
    run("ahm-compile", folder / "model.onnx", "-o", program, "--weights=mxint16", "--prefill-logits=all", f"--prefill-chunk={chunk}")
    done = run("ahm-run", program, "--prompt-ids=" + ",".join(map(str, PROMPT)), f"--generate={GENERATED}", "--ignore-eos", "--print-ids",
               f"--logits={out}", "--timing=off")
    return [int(i) for i in done.stdout.strip().splitlines()[-1].split(",")], np.load(out)


def name(model, way):
    return f"{model} {way.replace('--', '')}"


for model, ways in FAMILIES:
    for way in ways:
        @test(name(model, way) + " chunks", ORACLE)
        def _():
            words = f"{model} --layers=2 --scale=tiny --context={CONTEXT} {way}"
            folder = write(words)
            ids, rows = logits(folder, 64)
            assert rows.shape[0] == len(PROMPT) + GENERATED - 1, rows.shape
            for chunk in (1, 7):
                others, same = logits(folder, chunk)
                assert others == ids and same.tobytes() == rows.tobytes(), f"chunks of {chunk} and of 64 differ"
            ready.append((name(model, way), folder, PROMPT + ids[:-1], rows))
if ready:
    jobs = [{"model": str(folder / "model.onnx"), "ids": ids, "chunk": len(ids), "out": str(folder / "reference.f32")} for _, folder, ids, _ in ready]
    (WORK / "jobs.json").write_text(json.dumps(jobs))
    done = subprocess.run(["node", ROOT / "test/e2e/zoo.mjs", WORK / "jobs.json"], capture_output=True, text=True,
                          env={**os.environ, "ORT_NODE_DIR": str(ORACLE.parents[1])})
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(ready):
        print(done.stderr[-1500:])
        failed.append("ONNX Runtime")
    for (label, folder, ids, rows), answer in zip(ready, answers):
        @test(label + " logits")
        def _():
            assert "error" not in answer, answer
            theirs = np.fromfile(folder / "reference.f32", "<f4").reshape(rows.shape)
            worst = float((np.abs(rows - theirs).max(axis=1) / np.abs(theirs).max(axis=1)).max())
            assert worst <= 1e-3, f"a row differs by {worst:.2e} of its largest logit"

finish()
