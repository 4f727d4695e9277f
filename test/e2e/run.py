"""End-to-end tests: whole models through ahm-compile and ahm-run against recorded answers of ONNX Runtime.

Usage: run.py BIN_DIR [FILTER]. Models: models/cache/moonshine (models/fetch_moonshine.sh) and, where it stands beside the project,
../shared/assets/kjv-llama. Tests whose model is not at hand are skipped and named. Exit 0 passed, 1 failed, 77 nothing could run.
"""
import json
import pathlib
import subprocess

import numpy as np

from harness import BIN, KJV, MOONSHINE, ROOT, WORK, clips, finish, kjv, last_ids, moonshine, prompts, run, test


# --- Moonshine: int8 speech recognition, the same ids on the real card and on cards that must stream -------------------------

for target in ("corsair", "test-small", "test-tiny"):
    @test(f"moonshine.ids.{target}", MOONSHINE)
    def _(target=target):
        for clip, ids in clips():
            got = last_ids(run("ahm-run", moonshine(target), f"--audio={clip}", "--print-ids", "--timing=off"))
            assert got == ids, f"{clip.name}: {got} != {ids}"


@test("moonshine.lengths", MOONSHINE)
def _():
    import wave
    for seconds in (0.5, 3.3, 20.0):
        path = WORK / "tone.wav"
        samples = int(seconds * 16000)
        tone = (np.sin(np.arange(samples) * 0.05) * 3000).astype("<i2")
        with wave.open(str(path), "wb") as out:
            out.setnchannels(1); out.setsampwidth(2); out.setframerate(16000); out.writeframes(tone.tobytes())
        run("ahm-run", moonshine("corsair"), f"--audio={path}", "--print-ids")


@test("moonshine.check-memory", MOONSHINE)
def _():
    clip, ids = next(clips())
    for target in ("corsair", "test-tiny"):
        assert last_ids(run("ahm-run", moonshine(target), f"--audio={clip}", "--print-ids", "--check-memory")) == ids


@test("moonshine.metrics", MOONSHINE)
def _():
    clip, _ = next(clips())
    for target in ("corsair", "test-tiny"):
        metrics = WORK / "metrics.json"
        run("ahm-run", moonshine(target), f"--audio={clip}", "--print-ids", f"--metrics={metrics}")
        for call in json.loads(metrics.read_text())["calls"]:
            assert call["lower_bound_ps"] <= call["latency_ps"] <= call["bound_ps"], call
            assert call["lower_bound_ps"] <= call["predicted_ps"] <= call["bound_ps"], call


@test("moonshine.phases", MOONSHINE)
def _():
    clip, _ = next(clips())
    for target in ("test-small", "test-tiny"):
        metrics = WORK / "phases.json"
        run("ahm-run", moonshine(target), f"--audio={clip}", "--print-ids", "--phases=1000", f"--metrics={metrics}")
        for call in json.loads(metrics.read_text())["calls"]:
            slowest = call["phases_ps"]["slowest"]
            assert call["lower_bound_ps"] <= call["phases_ps"]["fastest"], call
            assert slowest <= call["bound_ps"] <= 1.05 * slowest, call


@test("moonshine.trace", MOONSHINE)
def _():
    clip, _ = next(clips())
    traces = []
    for threads in (1, 2, 1):
        trace = WORK / "trace.json"
        run("ahm-run", moonshine("test-tiny"), f"--audio={clip}", "--print-ids", f"--threads={threads}", f"--trace={trace}")
        traces.append(trace.read_bytes())
    assert traces[0] == traces[1] == traces[2], "the trace is not the same"


# --- kjv-llama: a small Llama with a growing cache ---------------------------------------------------------------------

def compare_ids(got, case, bound, ids="greedy_ids", margins="margins"):
    for step, (a, b) in enumerate(zip(got, case[ids])):
        if a != b:
            assert margins in case, f"step {step}: {a} != {b}"
            margin = case[margins][step]
            assert margin < bound, f"step {step}: {a} != {b} with margin {margin}"
            return
    assert len(got) == len(case[ids])


for target in ("corsair", "kjv-half", "kjv-quarter"):
    @test(f"kjv.ids.mxint16.{target}", KJV)
    def _(target=target):
        for case in prompts():
            ids = ",".join(map(str, case["ids"]))
            got = last_ids(run("ahm-run", kjv("mxint16", target), f"--prompt-ids={ids}", "--generate=64", "--ignore-eos", "--print-ids", "--timing=off"))
            compare_ids(got, case, 0.06)


@test("kjv.logits.mxint16", KJV)
def _():
    reference = np.load(KJV / "prefill_logits.npy")[0]
    ids = ",".join(map(str, prompts()[0]["ids"]))
    rows = {}
    for chunk in (1, 7, 64):
        out = WORK / f"logits{chunk}.npy"
        run("ahm-run", kjv("mxint16", "corsair", "--prefill-logits=all", f"--prefill-chunk={chunk}"), f"--prompt-ids={ids}", "--generate=4", "--ignore-eos",
            "--print-ids", f"--logits={out}", "--timing=off")
        rows[chunk] = np.load(out)
    got = rows[64][: len(reference)]
    worst = (np.abs(got - reference).max(axis=1) / np.abs(reference).max(axis=1)).max()
    assert worst <= 1e-3, f"worst row differs by {worst:.2e} of its largest logit"
    for chunk in (1, 7):
        assert rows[chunk].tobytes() == rows[64].tobytes(), f"prefill in chunks of {chunk} gives other bits"


# The same model as other exporters write it: fused attention, rotary embedding and norms; packed projections in 4 bits.
for style, target in [(style, target) for style in ("genai", "onnx23", "genai_int4") for target in ("corsair", "kjv-quarter")]:
    @test(f"kjv.{style}.ids.{target}", KJV)
    def _(style=style, target=target):
        for case in prompts():
            ids = ",".join(map(str, case["ids"]))
            got = last_ids(run("ahm-run", kjv("mxint16", target, style=style), f"--prompt-ids={ids}", "--generate=64", "--ignore-eos", "--print-ids", "--timing=off"))
            if style == "genai_int4":
                compare_ids(got, case, 0.06, "greedy_ids_genai_int4", "margins_genai_int4")
            else:
                compare_ids(got, case, 0.06)


for style in ("genai", "onnx23", "genai_int4"):
    @test(f"kjv.{style}.logits.mxint16", KJV)
    def _(style=style):
        reference = np.load(KJV / "prefill_logits.npy")[0]
        ids = ",".join(map(str, prompts()[0]["ids"]))
        rows = {}
        for chunk in (1, 7, 64):
            out = WORK / f"logits-{style}{chunk}.npy"
            run("ahm-run", kjv("mxint16", "corsair", "--prefill-logits=all", f"--prefill-chunk={chunk}", style=style), f"--prompt-ids={ids}", "--generate=4",
                "--ignore-eos", "--print-ids", f"--logits={out}", "--timing=off")
            rows[chunk] = np.load(out)
        for chunk in (1, 7):
            assert rows[chunk].tobytes() == rows[64].tobytes(), f"prefill in chunks of {chunk} gives other bits"
        if style == "genai_int4":
            return  # its recorded logits are those of the float32 model; fused.py checks the arithmetic of its weights
        got = rows[64][: len(reference)]
        worst = (np.abs(got - reference).max(axis=1) / np.abs(reference).max(axis=1)).max()
        assert worst <= 1e-3, f"worst row differs by {worst:.2e} of its largest logit"


@test("kjv.styles.state", KJV)
def _():
    # Every style keeps its cache as state: prefill and decode read and write no past or present of the host's.
    for style in ("genai", "onnx23", "genai_int4"):
        listing = run("ahm-inspect", kjv("mxint16", style=style)).stdout
        assert "past_key_values" not in listing and "present" not in listing, f"{style}: the cache passes through the host"


@test("kjv.kv-formats", KJV)
def _():
    # Beside mxint16 weights only the cache's rounding is left: 16, about 8, 8 and 4 bits of it.
    values = {}
    for kv in ("mxint16", "bf16", "mxint8", "mxint4"):
        done = run("ahm-run", kjv("mxint16", "corsair", f"--kv={kv}"), f"--score={KJV / 'val_ids.npy'}", "--timing=off")
        values[kv] = float(done.stdout.strip().splitlines()[-1])
    for kv, tolerance in (("bf16", 1.001), ("mxint8", 1.001), ("mxint4", 1.02)):
        assert values[kv] <= values["mxint16"] * tolerance, f"{kv}: perplexity {values}"


@test("kjv.counts", KJV)
def _():
    # Three counts of one call: in the kernels, from the commands, and from the model's shape.
    config = json.loads((KJV / "config.json").read_text())
    hidden, ffn, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    heads, groups, size = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    layer = hidden * size * (2 * heads + 2 * groups) + 3 * hidden * ffn
    for target in ("corsair", "kjv-quarter"):
        metrics = WORK / "counts.json"
        run("ahm-run", kjv("mxint16", target), "--prompt-ids=" + ",".join(map(str, prompts()[0]["ids"])), "--generate=4", "--ignore-eos", "--print-ids",
            f"--metrics={metrics}")
        for call in json.loads(metrics.read_text())["calls"]:
            assert call["executed"]["macs"] == call["macs"], f"{target} {call['entry']}: {call['executed']['macs']} MACs executed, {call['macs']} counted"
            assert call["executed"]["bytes"] == call["bytes"], f"{target} {call['entry']}: executed {call['executed']['bytes']}, counted {call['bytes']}"
            if call["entry"] in ("prefill", "decode"):
                tokens, valid = call["tokens"], call["context"] + call["tokens"]
                # The head computes one row; attention runs over the valid context.
                want = layers * (tokens * layer + 2 * heads * tokens * valid * size) + hidden * config["vocab_size"]
                assert call["macs"] == want, f"{target} {call['entry']}: {call['macs']} MACs, the shape has {want}"


@test("moonshine.counts", MOONSHINE)
def _():
    clip, _ = next(clips())
    for target in ("corsair", "test-tiny"):
        metrics = WORK / "counts.json"
        run("ahm-run", moonshine(target), f"--audio={clip}", "--print-ids", f"--metrics={metrics}")
        for call in json.loads(metrics.read_text())["calls"]:
            assert call["executed"]["macs"] == call["macs"], f"{target} {call['entry']}: {call['executed']['macs']} MACs executed, {call['macs']} counted"
            assert call["executed"]["bytes"] == call["bytes"], f"{target} {call['entry']}: executed {call['executed']['bytes']}, counted {call['bytes']}"


@test("kjv.check-memory", KJV)
def _():
    case = prompts()[0]
    for target in ("corsair", "kjv-quarter"):
        got = last_ids(run("ahm-run", kjv("mxint16", target), "--prompt-ids=" + ",".join(map(str, case["ids"])), "--generate=8", "--ignore-eos",
                           "--print-ids", "--check-memory", "--timing=off"))
        assert got == case["greedy_ids"][:8]


# --- what is wrong is said --------------------------------------------------------------------------------------------

@test("errors.compile")
def _():
    broken = WORK / "broken.onnx"
    broken.write_bytes(b"\x08\x07\x12\x03abc\xff\xff\xff")
    for source in (broken, WORK / "absent.onnx", ROOT / "README.md"):
        done = run("ahm-compile", source, "-o", WORK / "x.ahm", status=1)
        assert "error" in done.stderr and source.name in done.stderr, done.stderr
    assert not list(WORK.glob("x.ahm*")), "something was left behind"
    done = run("ahm-compile", broken, "-o", WORK / "x.ahm", "--target=nosuchcard", status=1)
    assert "nosuchcard" in done.stderr


@test("errors.run")
def _():
    foreign = WORK / "foreign.ahm"
    foreign.write_bytes(b"not a program at all, but long enough to look at" * 10)
    done = run("ahm-run", foreign, status=1)
    assert "foreign.ahm" in done.stderr, done.stderr
    run("ahm-run", WORK / "absent.ahm", status=1)
    run("ahm-run", status=2)


@test("errors.program", MOONSHINE)
def _():
    import random
    clip, _ = next(clips())
    program = moonshine("corsair")
    whole = program.read_bytes()
    rng = random.Random(5)
    copy = WORK / "damaged.ahm"
    weights = pathlib.Path(str(copy) + "w")
    weights.write_bytes(pathlib.Path(str(program) + "w").read_bytes())
    for kind in range(24):
        damaged = bytearray(whole)
        if kind % 3 == 0:
            damaged = damaged[: rng.randrange(len(whole))]
        else:
            for _ in range(kind):
                damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        copy.write_bytes(damaged)
        # Bits of names and options change nothing that matters; everything else is an error, never a crash.
        done = subprocess.run([BIN / "ahm-inspect", copy, "--verify"], capture_output=True, text=True)
        assert done.returncode in (0, 1), f"damage {kind}: exit {done.returncode}"
        assert done.returncode == 0 or "damaged.ahm" in done.stderr, done.stderr
    copy.write_bytes(whole)
    weights.write_bytes(weights.read_bytes()[:-5000])
    run("ahm-run", copy, f"--audio={clip}", status=1)
    weights.unlink()
    done = run("ahm-run", copy, f"--audio={clip}", status=1)
    assert "damaged.ahmw" in done.stderr, done.stderr


@test("errors.inputs", MOONSHINE)
def _():
    rate = WORK / "rate.wav"
    import wave
    with wave.open(str(rate), "wb") as out:
        out.setnchannels(1); out.setsampwidth(2); out.setframerate(44100); out.writeframes(b"\0\0" * 44100)
    done = run("ahm-run", moonshine("corsair"), f"--audio={rate}", status=1)
    assert "rate.wav" in done.stderr and "16000" in done.stderr, done.stderr
    long = WORK / "long.wav"
    with wave.open(str(long), "wb") as out:
        out.setnchannels(1); out.setsampwidth(2); out.setframerate(16000); out.writeframes(b"\0\0" * 16000 * 25)
    done = run("ahm-run", moonshine("corsair"), f"--audio={long}", status=1)
    assert "num_samples" in done.stderr, done.stderr
    card = WORK / "card.yaml"
    card.write_text((ROOT / "targets/cards/corsair.yaml").read_text().replace("sram_per_core: 1 MiB", "sram_per_core: 1 parsec"))
    done = run("ahm-compile", MOONSHINE / "encoder_model.onnx", "-o", WORK / "y.ahm", f"--target={card}", status=1)
    assert "card.yaml:" in done.stderr and "sram_per_core" in done.stderr, done.stderr
    assert not list(WORK.glob("y.ahm*"))


@test("errors.placement", MOONSHINE)
def _():
    done = run("ahm-compile", MOONSHINE / "encoder_model.onnx", MOONSHINE / "decoder_model_merged.onnx", "-o", WORK / "z.ahm", "--target=test-tiny",
               "--placement=sram-only", status=1)
    assert "does not fit" in done.stderr and "node '" in done.stderr and "remedy" in done.stderr, done.stderr


finish()
