"""What one may rely on of the timing reading, over the families of models/zoo, small and without weights: a slower card never makes a compiled program
faster, its bounds hold for every call and under every change of the card, and a dense model's bound is tight over refresh phases.

Usage: card.py BIN_DIR [FILTER]. Needs python3-onnx (the zoo's) and python3-yaml. Exit 0 passed, 1 failed, 77 skipped.
"""
import concurrent.futures
import json
import os
import re
import subprocess
import sys

from harness import BIN, ROOT, WORK, finish, run, test
from zoomodels import write_model

import numpy as np

try:
    import yaml
except ModuleNotFoundError:
    print("SKIP: Python module yaml is missing")
    sys.exit(77)

DECODERS = ["llama-3.1-8b", "qwen2.5-0.5b", "qwen3-32b", "smollm2-135m", "gpt-2"]
ENCODERS = ["bert-base", "whisper-base"]
DENSE = DECODERS + ENCODERS
ROUTED = ["gpt-oss-20b", "mixtral-8x7b", "deepseek-v3"]
TARGET = "test-tiny"  # small enough that these models stream
PROMPT = ",".join(str(i % 50) for i in range(40))
TIMES = ("latency_ps", "lower_bound_ps", "predicted_ps", "bound_ps")


def program(name):
    path = WORK / name / "p.ahm"
    if not path.exists():
        write_model(WORK / name, name, "--scale=tiny", *(["--layers=2"] if name != "whisper-base" else []), "--weights=none")
        files = [f for f in (WORK / name / "encoder_model.onnx", WORK / name / "model.onnx") if f.exists()]
        run("ahm-compile", *files, "-o", path, f"--target={TARGET}", "--timing-only", "--prefill-chunk=16")
    return path


def request(name):
    if name not in ENCODERS:
        return [f"--prompt-ids={PROMPT}", "--generate=3"]
    shapes = {"input_features": ((1, 16, 192), np.float32)} if name == "whisper-base" else {
        n: ((1, 40), np.int64) for n in ("input_ids", "attention_mask", "token_type_ids")}
    for n, (shape, kind) in shapes.items():
        if not (WORK / name / f"{n}.npy").exists():
            np.save(WORK / name / f"{n}.npy", np.ones(shape, kind))
    return [f"--input={n}={WORK / name / n}.npy" for n in shapes] + (["--prompt-ids=1,2", "--generate=3"] if name == "whisper-base" else [])


def calls(path, label, *words):
    metrics = path.with_name(f"{label}.json")
    done = subprocess.run([BIN / "ahm-run", path, "--functional=off", *request(path.parent.name), f"--metrics={metrics}", *words],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return json.loads(metrics.read_text())["calls"]


def scaled(value, factor):
    number, unit = re.match(r"([\d.]+)\s*(.*)", str(value)).groups()
    return f"{float(number) * factor:.10g} {unit}".strip()


def slower(folder, prefix=""):
    """Each bandwidth of a card's or DRAM type's fields halved and each latency doubled, as settings."""
    for name, value in folder.items():
        path = prefix + name
        if isinstance(value, dict):
            if name not in ("energy", "power"):
                yield from slower(value, path + ".")
        elif path == "pcie.raw":
            continue  # with pcie.bandwidth, below
        elif path == "pcie.bandwidth":
            yield [f"{path}={scaled(value, 0.5)}", f"pcie.raw={scaled(folder['raw'], 0.5)}"]
        elif name in ("channels", "lanes_per_slice") or re.search(r"(B/cycle|B/s|MT/s|[^a-z]Hz|[MG]Hz)$", str(value)):
            yield [f"{path}={scaled(value, 0.5)}"]
        elif re.search(r"(cycles|CK|ps|ns|us|ms)$", str(value)) and not name.startswith("tREFI") and name != "tAAD":
            # The time between refreshes is no latency; tAAD is how much later the second half of an activation may come.
            yield [f"{path}={scaled(value, 2)}"]


CARD = list(slower(yaml.safe_load((ROOT / f"targets/cards/{TARGET}.yaml").read_text())))
CHANNEL = list(slower(yaml.safe_load((ROOT / "targets/Dram/types/lpddr5-6400-x16.yaml").read_text()), "dram.timing."))


def ordered(call):
    assert call["roofline_peak_ps"] <= call["latency_ps"], call
    assert call["lower_bound_ps"] <= call["latency_ps"] <= call["bound_ps"], call
    assert call["lower_bound_ps"] <= call["predicted_ps"] <= call["bound_ps"], call
    limit = call["limit"]
    assert limit["busy_ps"] + sum(limit["waited_ps"].values()) == call["latency_ps"], limit


def compared(name, changes, tolerance):
    """Every change of the card: nothing gets faster by more than the tolerance, and the bounds hold."""
    path = program(name)
    base = calls(path, "base")
    assert len({c["entry"] for c in base}) >= (2 if name == "bert-base" else 3), base
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda at: calls(path, at[0], *(f"--set={s}" for s in at[1])), enumerate(changes)))
    effective = 0
    for change, slow in zip(changes, found):
        for before, after in zip(base, slow):
            ordered(after)
            for key in TIMES:
                assert after[key] >= before[key] * (1 - tolerance), f"{change}: {key} of {before['entry']} falls from {before[key]} to {after[key]}"
        effective += any(after["latency_ps"] > before["latency_ps"] for before, after in zip(base, slow))
    return effective


for model in DENSE + ROUTED:
    @test(f"card.monotone {model}")
    def _(model=model):
        assert len(CARD) > 25 and compared(model, CARD, 0) > 12

    @test(f"card.bounds {model}")
    def _(model=model):
        for call in calls(program(model), "phases", "--phases=200", "--routings=20"):
            ordered(call)
            phases = call["phases_ps"]
            assert call["lower_bound_ps"] <= phases["fastest"] <= phases["p50"] <= phases["p99"] <= phases["max"] <= phases["bound"], call
            assert phases["runs"] == 200 and phases["bound"] == call["bound_ps"], call
            if model in DENSE:
                assert phases["bound"] <= 1.05 * phases["max"], call


@test("card.die_to_die")
def _():
    """On a card of four chiplets the links between them take time, and faster ones never lose it; on one chiplet they do nothing."""
    card = WORK / "four.yaml"
    text = (ROOT / f"targets/cards/{TARGET}.yaml").read_text()
    for field, value in (("chiplets", "4"), ("quads_per_chiplet", "1"), ("slices_per_quad", "2"), ("stash_per_quad", "12 MiB")):
        text, count = re.subn(rf"(?m)^{field}: .*$", f"{field}: {value}", text)
        assert count == 1, field
    card.write_text(text)
    for model in (DECODERS[0], DECODERS[3], ROUTED[0]):
        program(model)
        path = WORK / model / "four.ahm"
        run("ahm-compile", WORK / model / "model.onnx", "-o", path, f"--target={card}", "--timing-only", "--prefill-chunk=16")
        base = calls(path, "four")
        for setting in ("die_to_die.bandwidth=64 GB/s", "die_to_die.bandwidth=1 GB/s", "die_to_die.latency=230 ns"):
            for before, after in zip(base, calls(path, "four-slow", f"--set={setting}")):
                ordered(after)
                assert all(after[key] >= before[key] for key in TIMES), (setting, before, after)
            assert setting.endswith("64 GB/s") or after["latency_ps"] > before["latency_ps"], setting
        for call in base:
            ordered(call)
            assert 0 < call["utilization"]["die_to_die"] < 1 and call["die_to_die_bytes"] > 0 and call["energy_parts_pj"]["die-to-die"]["nominal"] > 0, call
        alone = calls(program(model), "one")[-1]
        assert alone["utilization"]["die_to_die"] == 0 and alone["die_to_die_bytes"] == 0 and "die-to-die" not in alone["energy_parts_pj"], alone


# A controller that serves what is ready first may by chance do a little better with a slower part: it arbitrates at run time.
for model in DENSE[:1] + ROUTED[:1]:
    @test(f"card.monotone.channel {model}")
    def _(model=model):
        assert len(CHANNEL) > 20 and compared(model, CHANNEL, 0.002) > 10


@test("card.arrivals")
def _():
    path = program(DENSE[0])
    quiet, busy = calls(path, "quiet", "--phases=50"), calls(path, "busy", "--phases=50", "--arrivals=8KiB/200us")
    for before, after in zip(quiet, busy):
        assert after["latency_ps"] == before["latency_ps"] and after["bound_ps"] == before["bound_ps"]
        a, b = before["phases_ps"], after["phases_ps"]
        assert a["max"] <= b["bound"] and a["fastest"] <= b["max"] <= b["bound"], (a, b)
    assert any(b["phases_ps"]["max"] > a["phases_ps"]["max"] for a, b in zip(quiet, busy))
    assert calls(path, "again", "--phases=50", "--arrivals=8KiB/200us", "--threads=1")[-1]["phases_ps"] == busy[-1]["phases_ps"]
    for words, status, says in ((["--arrivals=8KiB"], 2, "64KiB/1ms"), (["--arrivals=1 s/1 ms"], 2, "size"), (["--arrivals=1MB/1us"], 1, "no time for transfers")):
        done = run("ahm-run", path, "--functional=off", "--prompt-ids=1", "--generate=1", *words, status=status)
        assert says in done.stderr, done.stderr


@test("card.power")
def _():
    path = program(DENSE[0])
    for call in calls(path, "power"):
        power, time = call["power_w"], call["latency_ps"]
        for level in ("low", "nominal", "high"):
            assert abs(power["average"][level] * time / call["energy_pj"][level] - 1) < 1e-9, call
            assert abs(sum(part[level] for part in call["energy_parts_pj"].values()) / call["energy_pj"][level] - 1) < 1e-9, call
            assert power["peak"][level] >= power["average"][level] * 0.999999, power
        assert power["peak"]["low"] < power["peak"]["nominal"] < power["peak"]["high"] and power["cap"] > 0 and not power["over_cap"], power
        if call["tokens"]:
            assert abs(call["energy_per_token_pj"]["nominal"] * call["tokens"] / call["energy_pj"]["nominal"] - 1) < 1e-9
    static = float(str(yaml.safe_load((ROOT / f"targets/cards/{TARGET}.yaml").read_text())["power"]["static"]).split()[0])
    highest = max(c["power_w"]["peak"]["nominal"] for c in calls(path, "power"))
    capped = calls(path, "capped", f"--set=power.cap={(static + highest) / 2:.6f} W")
    assert any(c["power_w"]["over_cap"] for c in capped) and [c["latency_ps"] for c in capped] == [c["latency_ps"] for c in calls(path, "power")]
    done = run("ahm-run", path, "--functional=off", "--prompt-ids=1", "--generate=1", f"--set=power.cap={static + 1e-6:.6f} W")
    assert "ABOVE THE CAP" in done.stderr, done.stderr


finish()
