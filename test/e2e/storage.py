"""What weights are stored in: usage storage.py BIN_DIR [FILTER]. Models of models/zoo.

Experts that a model stores in MXFP4 are kept so and give what the same numbers in float32 give; --weights takes formats by names; a tied table is
stored once, whatever the format, and read by a row at a time.
"""
import json
import re
import subprocess

import numpy as np

from harness import ROOT, WORK, finish, run, test

IDS = [int(i) for i in np.random.default_rng(5).integers(0, 256, 40)]


def model(words):
    out = WORK / words.replace(" ", "_").replace("--", "")
    if not out.exists():
        subprocess.run([str(ROOT / "models/zoo"), *words.split(), "--scale=tiny", f"--out={out}"], check=True, capture_output=True)
    return out


def compiled(words, *options, status=0):
    program = model(words) / ("".join(options).replace("/", "_").replace("*", "+") + ".ahm")
    return program, run("ahm-compile", model(words) / "model.onnx", "-o", program, "--max-context=128", "--prefill-logits=all", *options, status=status)


def logits(program):
    out = program.with_suffix(".npy")
    run("ahm-run", program, "--prompt-ids=" + ",".join(map(str, IDS)), "--generate=2", "--ignore-eos", "--check-memory", f"--logits={out}")
    return np.load(out)


def listing(program):
    return run("ahm-inspect", program, "--commands").stdout.splitlines()


GPT_OSS = "gpt-oss-20b --layers=2 --style=genai --weights-bits=4 --quantize=mxfp4"


@test("mxfp4 experts are kept")
def _():
    program, done = compiled(GPT_OSS)
    experts = [line for line in listing(program) if " GemmExperts " in line]
    assert experts and all("tiles_fp4[" in line for line in experts), experts[:1]
    assert "rounded" not in done.stderr, done.stderr
    # 4.25 bits of each, in tiles of 64 columns.
    for line in experts:
        tiles = int(re.search(r"tiles_fp4\[(\d+)x", line)[1])
        assert tiles % 32 == 0, line


@test("mxfp4 experts compute what their floats do")
def _():
    kept = logits(compiled(GPT_OSS, "--weights=mxint16,*experts*=mxfp4", "--activations=mxint16")[0])
    wide = logits(compiled(GPT_OSS, "--weights=mxint16", "--activations=mxint16")[0])
    floats = logits(compiled(GPT_OSS + " --dequantized", "--weights=mxint16", "--activations=mxint16")[0])
    for name, other in {"mxint16 of the same": wide, "mxint16 of floats": floats}.items():
        worst = np.max(np.abs(kept - other).max(1) / np.abs(other).max(1))
        assert worst <= 1e-4, f"{name}: {worst:.1e} of the largest"


@test("formats by names")
def _():
    words = "llama-3.1-8b --layers=2 --style=genai"
    program, done = compiled(words, "--weights=mxint4,*down_proj*=mxfp6,/lm_head/*=mxint16")
    assert "weights *down_proj*=mxfp6: 2 (" in done.stderr, done.stderr
    kinds = {}
    for line in listing(program):
        if " GemmMx " in line:
            kinds.setdefault(re.search(r" (tiles_\w+)\[", line)[1], set()).add(line.split()[-1])
    assert set(kinds) == {"tiles_mx4", "tiles_fp6", "tiles_mx16"}, kinds
    assert all("down_proj" in name for name in kinds["tiles_fp6"]) and len(kinds["tiles_fp6"]) == 2, kinds
    assert len(kinds["tiles_mx16"]) == 1, kinds
    assert json.loads(next(line for line in listing(program) if line.startswith("options "))[8:])["mx_scale_rule"].startswith("2^(floor")
    _, done = compiled(words, "--weights=mxint4,*nothing*=mxint8", status=1)
    assert "has a name like '*nothing*'" in done.stderr, done.stderr


@test("tied tables are stored once")
def _():
    for weights in ("mxint16", "mxint8", "mxint4", "mxfp8", "mxfp6", "mxfp4"):
        program, _ = compiled("qwen2.5-0.5b --layers=2", f"--weights={weights}")
        lines = listing(program)
        gather = next(line for line in lines if " GatherTiles " in line)
        table, shape = re.search(r"dram:(\S+) tiles_\w+(\[\d+x\d+\])", gather).groups()
        loads = [line for line in lines if " HostToDram " in line and shape in line]
        assert len(loads) == 1 and f"dram:{table} " in loads[0], loads
        assert any(" GemmMx " in line and f"sram:{table} " in line for line in lines), table
        assert np.isfinite(logits(program)).all()


finish()
