"""Encoders, and encoders with decoders, of models/zoo against ONNX Runtime: usage encoders.py BIN_DIR [FILTER].

BERT: sequences of unequal lengths, padded to one batch, have the bits of each run alone, and ONNX Runtime's numbers within NUMERICS' bound for
mxint16. Whisper: the logits of a prompt and of cached decode over the encoder's output. Needs python3-onnx and the oracle.
"""
import json
import os
import subprocess
import sys

import numpy as np

from harness import ORACLE, ROOT, WORK, finish, run, test
from zoomodels import write_model

STYLES = ("optimum", "genai", "onnx23")
LENGTHS = (70, 33, 5)


def zoo(words):
    return write_model(WORK / "".join(c if c.isalnum() else "_" for c in words), *words.split(), "--scale=tiny")


def oracle(**job):
    jobs = WORK / "jobs.json"
    jobs.write_text(json.dumps([{key: str(value) if key in ("model", "encoder", "out") else value for key, value in job.items()}]))
    done = subprocess.run(["node", ROOT / "test/e2e/zoo.mjs", jobs], capture_output=True, text=True, env={**os.environ, "ORT_NODE_DIR": str(ORACLE.parents[1])})
    answer = json.loads(done.stdout.splitlines()[0]) if done.stdout else {"error": done.stderr}
    assert "error" not in answer, answer
    return np.fromfile(job["out"], "<f4")


def close(have, want, what):
    worst = float((np.abs(have - want).max(axis=-1) / np.abs(want).max(axis=-1)).max())
    assert worst <= 1e-3, f"{what}: a row differs by {worst:.2e} of its largest number"


def encode(program, arrays, out):
    words = []
    for name, array in arrays.items():
        path = WORK / f"{name}.npy"
        np.save(path, np.array(array, np.int64))
        words.append(f"--input={name}={path}")
    run("ahm-run", program, *words, f"--output-dir={out}", "--check-memory")
    return {name: np.load(out / f"{name}.npy") for name in ("last_hidden_state", "pooler_output")}


for style in STYLES:
    @test(f"BERT {style}", ORACLE)
    def _():
        folder = zoo(f"bert-base --layers=2 --style={style}")
        ids = [[int(i) for i in np.random.default_rng(n).integers(0, 512, n)] for n in LENGTHS]
        longest = max(LENGTHS)
        batch = {"input_ids": [row + [0] * (longest - len(row)) for row in ids],
                 "attention_mask": [[1] * len(row) + [0] * (longest - len(row)) for row in ids],
                 "token_type_ids": [[0] * (len(row) // 2) + [1] * (longest - len(row) // 2) for row in ids]}
        want = oracle(model=folder / "model.onnx", inputs=batch, ids=[], chunk=1, out=folder / "reference.f32").reshape(len(ids), longest, -1)
        one, many = folder / "one.ahm", folder / "many.ahm"
        run("ahm-compile", folder / "model.onnx", "-o", one, "--weights=mxint16")
        run("ahm-compile", folder / "model.onnx", "-o", many, "--weights=mxint16", f"--batch={len(ids)}")
        together = encode(many, batch, folder / "together")
        for i, n in enumerate(LENGTHS):
            alone = encode(one, {name: [rows[i][:n]] for name, rows in batch.items()}, folder / "alone")
            close(alone["last_hidden_state"][0], want[i, :n], f"{n} tokens")
            padded = encode(one, {name: [rows[i]] for name, rows in batch.items()}, folder / "padded")
            for other, row in ((together, i), (padded, 0)):
                assert other["last_hidden_state"][row, :n].tobytes() == alone["last_hidden_state"][0].tobytes(), f"{n} tokens beside others differ in a bit"
                assert other["pooler_output"][row].tobytes() == alone["pooler_output"][0].tobytes()

    @test(f"Whisper {style}", ORACLE)
    def _():
        folder = zoo(f"whisper-base --style={style}")
        shape, seed, noise = [1, 16, 192], 7, []
        for _ in range(np.prod(shape)):  # as zoo.mjs makes it
            seed = seed * 48271 % 2147483647
            noise.append(seed / 2147483647 * 2 - 1)
        features = np.array(noise, np.float32).reshape(shape)
        np.save(folder / "features.npy", features)
        program, prompt = folder / "whisper.ahm", [int(i) for i in np.random.default_rng(3).integers(0, 256, 70)]
        run("ahm-compile", folder / "encoder_model.onnx", folder / "model.onnx", "-o", program, "--weights=mxint16", "--prefill-logits=all")
        # The cross caches hold as many frames as the encoder gives, whichever file is named first.
        for files in (("encoder_model.onnx", "model.onnx"), ("model.onnx", "encoder_model.onnx")):
            other = folder / "order.ahm"
            run("ahm-compile", *(folder / file for file in files), "-o", other, "--weights=mxint16")
            listed = run("ahm-inspect", other, "--memory-map").stdout.split("Caches")[1].split("sram:")[0]
            capacities = {int(line.split()[4]) for line in listed.splitlines() if len(line.split()) > 7 and line.split()[4].isdigit()}
            assert 96 in capacities and 1000 not in capacities, listed
        name = {"genai": "audio_features"}.get(style, "input_features")
        out = folder / "logits.npy"
        done = run("ahm-run", program, f"--input={name}={folder / 'features.npy'}", "--prompt-ids=" + ",".join(map(str, prompt)), "--generate=12", "--ignore-eos",
                   "--print-ids", f"--logits={out}", "--check-memory")
        ids = prompt + [int(i) for i in done.stdout.strip().split(",")][:-1]
        have = np.load(out)
        assert len(have) == len(ids), have.shape
        want = oracle(model=folder / "model.onnx", encoder=folder / "encoder_model.onnx", features=shape, ids=ids, chunk=7, out=folder / "reference.f32")
        close(have, want.reshape(have.shape), "logits")

finish()
