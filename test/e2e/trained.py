"""The project's own trained model, models/verse, from text to text: its three styles against ONNX Runtime, its tokenizer against the script that
learned it, and its quality in block formats by NUMERICS' bounds for trained models.

Usage: trained.py BIN_DIR [FILTER]. Needs python3-onnx; the comparisons need the oracle (test/e2e/fetch_oracle.sh, or $ORT_NODE_DIR).
Exit 0 passed, 1 failed, 77 skipped.
"""
import json
import os
import subprocess
import sys

import numpy as np

from harness import ORACLE, ROOT, WORK, finish, last_ids, run, test
from zoomodels import write_model

sys.path.insert(0, str(ROOT / "models/verse"))
from bpe import Bpe  # noqa: E402

VERSE = ROOT / "models/verse"
PROMPTS = ["And it came to pass", "In the beginning God created", "The LORD is my"]
STEPS, WINDOW = 48, 384


def model(style):
    folder = WORK / style
    return folder if folder.exists() else write_model(folder, "verse-1m", f"--style={style}")


def compiled(style, weights):
    program = model(style) / f"{weights}.ahm"
    if not program.exists():
        run("ahm-compile", model(style) / "model.onnx", "-o", program, f"--weights={weights}", "--prefill-logits=all")
    return program


def generate(program, *words):
    return run("ahm-run", program, f"--tokenizer={VERSE / 'tokenizer.json'}", f"--generate={STEPS}", "--timing=off", *words)


def learned():
    """The tokenizer as Python reads it back from its file."""
    content = json.loads((VERSE / "tokenizer.json").read_text())["model"]
    ids = content["vocab"]
    return Bpe([tuple(ids[part] for part in merge.split(" ")) for merge in content["merges"]])


def reference(folder, sequences):
    """ONNX Runtime's logits, a row an id, of each sequence."""
    out = folder / "reference.f32"
    subprocess.run(["node", ROOT / "test/e2e/logits_reference.mjs", folder / "model.onnx", out], input=json.dumps(sequences), text=True, check=True,
                   capture_output=True, env={**os.environ, "ORT_NODE_DIR": str(ORACLE.parents[1])})
    rows = np.fromfile(out, "<f4").reshape(sum(map(len, sequences)), -1)
    return np.split(rows, np.cumsum([len(s) for s in sequences])[:-1])


@test("verse.tokenizer")
def _():
    tokenizer, program = learned(), compiled("optimum", "mxint16")
    for prompt in [*PROMPTS, "Selah!  12 cubits,\nand 'tis   done"]:
        ids = tokenizer.encode(prompt)
        by_text, by_ids = (last_ids(generate(program, "--print-ids", "--ignore-eos", word)) for word in
                           (f"--prompt={prompt}", "--prompt-ids=" + ",".join(map(str, ids))))
        assert by_text == by_ids, f"{prompt!r} is not tokenized as the script does"


@test("verse.text")
def _():
    for prompt in PROMPTS:
        text = generate(compiled("optimum", "mxint16"), f"--prompt={prompt}").stdout
        # It was trained on lines of verses: what it says is words of that text.
        known = set((VERSE / "held_out.txt").read_text().lower().replace(",", " ").replace(".", " ").replace(":", " ").replace(";", " ").split())
        words = [w.strip(".,:;?!").lower() for w in text.split()][:-1]
        assert len(words) > 8 and np.mean([w in known for w in words]) > 0.6, text


for style in ("optimum", "genai", "onnx23"):
    @test(f"verse.{style}", ORACLE)
    def _():
        program, tokenizer, sequences, ours = compiled(style, "mxint16"), learned(), [], []
        for prompt in PROMPTS:
            logits = WORK / "logits.npy"
            ids = last_ids(generate(program, "--print-ids", "--ignore-eos", f"--prompt={prompt}", f"--logits={logits}"))
            sequences.append([*tokenizer.encode(prompt), *ids[:-1]])
            ours.append(np.load(logits))
        theirs = reference(model(style), sequences)
        for prompt, mine, right in zip(PROMPTS, ours, theirs):
            worst = (np.abs(mine - right).max(axis=1) / np.abs(right).max(axis=1)).max()
            assert worst <= 1e-3, f"{prompt!r}: a row differs by {worst:.2e} of its largest logit"


def log_softmax(rows):
    rows = rows.astype(np.float64) - rows.max(axis=-1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=-1, keepdims=True))


@test("verse.quality", ORACLE)
def _():
    ids = [t for d in (VERSE / "held_out.txt").read_text().split("\n\n") for t in [0, *learned().encode(d + "\n")]]
    windows = [ids[i:i + WINDOW] for i in range(0, 3 * WINDOW, WINDOW)]
    theirs = reference(model("optimum"), windows)
    for weights, agreement, kl, cost in (("mxint16", 0.99, 1e-6, 1.001), ("mxint8", 0.97, 5e-3, 1.01)):
        same, divergence, loss, expected = [], [], [], []
        for window, right in zip(windows, theirs):
            logits = WORK / "window.npy"
            run("ahm-run", compiled("optimum", weights), "--prompt-ids=" + ",".join(map(str, window)), "--generate=1", "--ignore-eos", "--print-ids",
                f"--logits={logits}", "--timing=off")
            mine = np.load(logits)
            p, q, rows = log_softmax(right), log_softmax(mine), np.arange(WINDOW - 1)
            same.append(mine.argmax(axis=1) == right.argmax(axis=1))
            divergence.append((np.exp(p) * (p - q)).sum(axis=1))
            loss.append(-q[rows, window[1:]])
            expected.append(-p[rows, window[1:]])
        ratio = np.exp(np.mean(loss) - np.mean(expected))
        print(f"     {weights}: top-1 {np.mean(same):.4f}, KL {np.mean(divergence):.2e}, perplexity {np.exp(np.mean(loss)):.3f} ({(ratio - 1) * 100:+.3f} %)")
        assert np.mean(same) >= agreement and np.mean(divergence) <= kl and ratio <= cost


finish()
