"""What ahm-run does around the calls: caches, outputs, limits, start ids, metrics. Usage: session.py BIN_DIR [FILTER]. Models as in harness.py."""
import json

import numpy as np
import onnx
from onnx import TensorProto as T, helper as h

from harness import KJV, MOONSHINE, WORK, clips, finish, kjv, last_ids, moonshine, run, test


def state(program, ids, count=1):
    """The caches after a generation, by name, and the generated ids."""
    folder = WORK / "state"
    if folder.exists():
        for file in folder.iterdir():
            file.unlink()
    got = last_ids(run("ahm-run", program, "--prompt-ids=" + ",".join(map(str, ids)), f"--generate={count}", "--ignore-eos", "--print-ids", "--timing=off",
                       f"--dump-state={folder}"))
    return {file.name: np.load(file) for file in sorted(folder.iterdir())}, got


# Contexts beyond the border of a page of 64 tokens, on a card that holds the weights and on one that must stream them.
TOKENS = 104
for weights in ("mxint16", "mxint8"):
    @test(f"kjv.caches.{weights}", KJV)
    def _(weights=weights):
        expected = None
        for target in ("corsair", "kjv-quarter"):
            # Token by token: all but the first go through decode.
            byone, ids = state(kjv(weights, target), [0], TOKENS)
            sequence = [0, *ids[: TOKENS - 1]]
            assert len(byone) == 12 and all(c.dtype == np.uint8 and c.shape[:2] == (4, TOKENS) for c in byone.values()), {n: c.shape for n, c in byone.items()}
            assert all(len(np.unique(c[:, :, 4:])) > 16 for c in byone.values()), "a cache is empty"
            for chunk in (1, 7, 64):
                chunked, last = state(kjv(weights, target, f"--prefill-chunk={chunk}"), sequence)
                assert last == ids[TOKENS - 1 :], f"chunks of {chunk} on {target}: next id {last}, decode has {ids[TOKENS - 1:]}"
                assert chunked.keys() == byone.keys()
                for name, cache in byone.items():
                    assert cache.tobytes() == chunked[name].tobytes(), f"{name}: chunks of {chunk} on {target} differ from decode"
            if expected is not None:
                assert all(expected[n].tobytes() == byone[n].tobytes() for n in byone), "the caches differ between the cards"
            expected = byone
        other, _ = state(kjv(weights), [0, *sequence[2:], 5])
        assert any(other[n].tobytes() != expected[n].tobytes() for n in other), "another prompt leaves the same caches"


@test("kjv.outputs", KJV)
def _():
    folder, logits = WORK / "outputs", WORK / "outputs-logits.npy"
    got = last_ids(run("ahm-run", kjv("mxint8"), "--prompt-ids=0,5,9", "--generate=4", "--ignore-eos", "--print-ids", f"--output-dir={folder}", f"--logits={logits}"))
    assert np.load(folder / "ids.npy").tolist() == got
    last = np.load(folder / "logits.npy")
    assert last.shape[-1] == 2048 and last.reshape(-1, 2048)[-1].tobytes() == np.load(logits)[-1].tobytes()
    assert np.load(folder / "next_ids.npy").reshape(-1)[-1] == got[-1]


@test("moonshine.outputs", MOONSHINE)
def _():
    folder = WORK / "speech"
    clip, ids = next(clips())
    run("ahm-run", moonshine("corsair"), f"--audio={clip}", "--print-ids", f"--output-dir={folder}", "--timing=off")
    assert np.load(folder / "ids.npy").tolist() == ids
    hidden = np.load(folder / "last_hidden_state.npy")
    assert hidden.shape[0] == 1 and hidden.shape[2] == 288 and np.isfinite(hidden).all(), hidden.shape
    assert np.load(folder / "logits.npy").reshape(-1, 32768)[-1].argmax() == ids[-1]
    # The encoder alone takes audio too, and gives the same.
    encoder = WORK / "encoder.ahm"
    run("ahm-compile", MOONSHINE / "encoder_model.onnx", "-o", encoder)
    done = run("ahm-run", encoder, f"--audio={clip}", "--timing=off")
    assert "last_hidden_state" in done.stderr and "--output-dir" in done.stderr, done.stderr
    run("ahm-run", encoder, f"--audio={clip}", "--timing=off", f"--output-dir={WORK / 'alone'}")
    assert np.load(WORK / "alone/last_hidden_state.npy").tobytes() == hidden.tobytes()


@test("kjv.capacity", KJV)
def _():
    # What cannot fit is refused before any call, with what would fit; what just fits runs.
    small = kjv("mxint8", "corsair", "--max-context=40")
    ids = ",".join(["0"] + ["17"] * 29)
    assert len(last_ids(run("ahm-run", small, f"--prompt-ids={ids}", "--generate=11", "--ignore-eos", "--print-ids", "--timing=off"))) == 11
    for options in (["--timing=off"], ["--functional=off"]):
        done = run("ahm-run", small, f"--prompt-ids={ids}", "--generate=12", "--ignore-eos", *options, status=1)
        assert "takes 40" in done.stderr and "--max-context=41" in done.stderr and not done.stdout, done.stderr
    done = run("ahm-run", small, "--functional=off", "--context=35", "--generate=6", status=1)
    assert "--max-context=41" in done.stderr, done.stderr
    run("ahm-run", small, "--functional=off", "--context=35", "--generate=5")


@test("moonshine.capacity", MOONSHINE)
def _():
    # The length of a transcription is not known beforehand: a full cache ends it, with the ids so far.
    clip, ids = max(clips(), key=lambda case: len(case[1]))
    small = moonshine("corsair", "--max-context=8")
    done = run("ahm-run", small, f"--audio={clip}", "--print-ids", "--timing=off")
    got = last_ids(done)
    assert 0 < len(got) < len(ids) and got == ids[: len(got)], got
    assert f"note: stopped after {len(got)} ids" in done.stderr and "--max-context" in done.stderr, done.stderr


@test("kjv.start-ids", KJV)
def _():
    options = ["--generate=5", "--ignore-eos", "--print-ids", "--timing=off"]
    assert last_ids(run("ahm-run", kjv("mxint8"), "--start-ids=0,7", *options)) == last_ids(run("ahm-run", kjv("mxint8"), "--prompt-ids=0,7", *options))
    assert last_ids(run("ahm-run", kjv("mxint8"), "--start-ids=0", "--prompt-ids=7,9", *options)) == \
        last_ids(run("ahm-run", kjv("mxint8"), "--prompt-ids=0,7,9", *options))
    run("ahm-run", kjv("mxint8"), "--start-ids=0", f"--score={KJV / 'val_ids.npy'}", status=2)


@test("kjv.predicted", KJV)
def _():
    for target in ("corsair", "kjv-half", "kjv-quarter"):
        metrics = WORK / "predicted.json"
        run("ahm-run", kjv("mxint8", target), "--prompt-ids=0,5,9", "--generate=500", "--ignore-eos", "--functional=off", f"--metrics={metrics}")
        found = json.loads(metrics.read_text())
        decode = [call for call in found["calls"] if call["entry"] == "decode"]
        for call in found["calls"]:
            assert call["lower_bound_ps"] <= call["predicted_ps"] <= call["bound_ps"], call
        if target == "corsair":  # where nothing streams, attention over the context shows
            assert decode[0]["predicted_ps"] < decode[-1]["predicted_ps"], "the prediction does not know the context"
        kept = found["program"]
        stash = kept["stash_bytes"] - kept["cache_bytes"]
        assert kept["weights_bytes"] == kept["sram_bytes"] + stash + kept["streamed_bytes"] + kept["in_place_bytes"], kept
        assert (kept["streamed_bytes"] > 0) == (target != "corsair"), kept
        assert kept["sram_bytes"] <= kept["reserved"]["sram_bytes"] - kept["reserved"]["ring_bytes"], kept
        assert (kept["reserved"]["ring_bytes"] > 0) == (target != "corsair"), kept


@test("kjv.untimed", KJV)
def _():
    metrics = WORK / "untimed.json"
    run("ahm-run", kjv("mxint8"), "--prompt-ids=0", "--generate=2", "--ignore-eos", "--timing=off", f"--metrics={metrics}")
    for call in json.loads(metrics.read_text())["calls"]:
        for key in ("latency_ps", "predicted_ps", "bound_ps", "lower_bound_ps", "roofline_peak_ps", "energy_pj", "utilization"):
            assert call[key] is None, (key, call[key])
        assert call["macs"] >= 0 and call["wall_seconds"] > 0


@test("cast.rounds")
def _():
    rng = np.random.default_rng(3)
    x = (rng.standard_normal(4096) * np.exp(rng.uniform(-20, 14, 4096))).astype(np.float32)
    x[:6] = [0, -0.0, 65504, 65519.9, 65520, -1e30]
    bits = x.view(np.uint32).astype(np.uint64)
    bf16 = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
    with np.errstate(over="ignore"):
        fp16 = x.astype(np.float16).astype(np.float32)
    np.save(WORK / "x.npy", x)
    for kind, expected in ((T.FLOAT16, fp16), (T.BFLOAT16, bf16)):
        graph = h.make_graph([h.make_node("Cast", ["x"], ["s"], to=kind), h.make_node("Cast", ["s"], ["y"], to=T.FLOAT)], "g",
                             [h.make_tensor_value_info("x", T.FLOAT, [4096])], [h.make_tensor_value_info("y", T.FLOAT, [4096])])
        (WORK / "cast.onnx").write_bytes(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)]).SerializeToString())
        run("ahm-compile", WORK / "cast.onnx", "-o", WORK / "cast.ahm")
        run("ahm-run", WORK / "cast.ahm", f"--input=x={WORK / 'x.npy'}", f"--output-dir={WORK / 'cast'}")
        assert np.load(WORK / "cast/y.npy").tobytes() == expected.tobytes(), kind


finish()
