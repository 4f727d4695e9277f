"""Caches in pages: wherever a cache's pages stand (stash, SRAM, DRAM, or a window's ring) the ids and logits are the same to the bit, and a
call moves no more of it than it must.

Usage: caches.py BIN_DIR [FILTER]. Models are made here (decoder.py) or, where at hand, kjv-llama. Exit 0 passed, 1 failed.
"""
import atexit
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np

from decoder import SMALL, card, decoder

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.argv[1]).resolve()
FILTER = sys.argv[2] if len(sys.argv) > 2 else ""
KJV = ROOT.parent / "shared/assets/kjv-llama/model_optimum.onnx"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="ahm-caches-"))
atexit.register(shutil.rmtree, WORK, True)
passed, failed = [], []
PAGE = 64


class Skip(Exception):
    pass


def run(tool, *args, status=0):
    done = subprocess.run([str(BIN / tool), *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == status, f"{tool} {' '.join(map(str, args))}\nexit {done.returncode}, expected {status}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done


def test(name, needs=None):
    def decorate(body):
        if FILTER not in name:
            return
        if needs is not None and not needs.exists():
            print(f"SKIP {name}: {needs.name} is not at hand", flush=True)
            return
        try:
            body()
            passed.append(name)
            print(f"ok   {name}", flush=True)
        except Skip as reason:
            print(f"SKIP {name}: {reason}", flush=True)
        except Exception as error:
            failed.append(name)
            print(f"FAIL {name}\n     {error}", flush=True)
    return decorate


CARDS = {
    "stash": "corsair",
    # Pages in SRAM, rings in the stash.
    "sram": card(WORK / "pages-sram.yaml", **SMALL, sram_per_core="192 KiB", stash_per_quad="160 KiB"),
    # A part of the pages in SRAM, the rest in DRAM.
    "split": card(WORK / "pages-split.yaml", **SMALL, sram_per_core="40 KiB", stash_per_quad="160 KiB"),
    # Hardly a page in SRAM.
    "dram": card(WORK / "pages-dram.yaml", **SMALL, sram_per_core="20 KiB", stash_per_quad="160 KiB"),
}


def model(*windows):
    path = WORK / f"decoder{'-'.join(map(str, windows))}.onnx"
    if not path.exists():
        decoder(path, windows=windows)
    return path


def windows():
    """Whether recognition reads a window from a mask; what the importer cannot take yet is no matter of caches."""
    out = WORK / "window.mlir"
    done = subprocess.run([str(BIN / "ahm-compile"), str(model(40, 0)), "-o", str(out), "--max-context=4096", "--compile-to=recognized"], capture_output=True)
    return done.returncode == 0 and "window = 40" in out.read_text()


def compiled(source, target, *extra):
    program = WORK / (re.sub(r"\W+", "-", "_".join([pathlib.Path(source).stem, target, *extra])) + ".ahm")
    if not program.exists():
        run("ahm-compile", source, "-o", program, f"--target={CARDS.get(target, target)}", *extra)
    return program


def homes(program):
    """{cache: (ring, sram, dram)} from the listing; ring None for a flat one."""
    table, found = run("ahm-inspect", program).stdout.split("\nCaches\n")[1].split("\n\n")[0], {}
    for line in table.splitlines()[1:]:
        cells = line.split()
        if len(cells) >= 8 and cells[-1].isdigit():
            found[cells[0]] = (None if cells[-3] == "flat" else int(cells[-3]), int(cells[-2]), int(cells[-1]))
    assert found, table
    return found


PROMPT = np.random.default_rng(7).integers(0, 96, 5000)


def generate(program, tokens, count, *extra):
    """Ids and the bytes of all logits."""
    out = WORK / "logits.npy"
    done = run("ahm-run", program, "--prompt-ids=" + ",".join(map(str, PROMPT[:tokens])), f"--generate={count}", "--ignore-eos", "--print-ids",
               f"--logits={out}", *extra)
    return done.stdout.strip().splitlines()[-1], np.load(out).tobytes()


LONG = ("--max-context=4096", "--weights=mxint16", "--prefill-logits=all")

for kv in ("mxint16", "mxint8", "mxint4", "bf16"):
    @test(f"caches.homes.{kv}")
    def _(kv=kv):
        # Across pages, segments (1,024) and pieces, from the first token on.
        want = generate(compiled(model(), "stash", *LONG, f"--kv={kv}"), 2100, 70, "--timing=off")
        for target in ("sram", "split", "dram"):
            program = compiled(model(), target, *LONG, f"--kv={kv}")
            got = generate(program, 2100, 70, "--timing=off")
            assert got == want, f"{target} {homes(program)}: other ids or logits than with the cache in the stash"


@test("caches.tiers")
def _():
    # The cards above do what their names say.
    def tiers(target):
        return homes(compiled(model(), target, *LONG, "--kv=mxint16")).values()
    assert all(ring is None for ring, _, _ in tiers("stash")), tiers("stash")
    assert all(ring and sram and not dram for ring, sram, dram in tiers("sram")), tiers("sram")
    assert all(ring and sram and dram for ring, sram, dram in tiers("split")), tiers("split")
    assert all(ring and dram for ring, _, dram in tiers("dram")), tiers("dram")


@test("caches.chunks")
def _():
    for target in ("stash", "split", "dram"):
        want = None
        for chunk in (64, 7, 1):
            got = generate(compiled(model(), target, *LONG, "--kv=mxint8", f"--prefill-chunk={chunk}"), 1100 if chunk > 1 else 1100, 3, "--timing=off")
            want = want or got
            assert got == want, f"{target}: prefill in chunks of {chunk} gives other bits"


@test("caches.windows")
def _():
    # A window within a page, over pages, over segments; beside a layer that sees everything.
    if not windows():
        raise Skip("masks with a window are not recognised")
    for window in (40, 128, 1500):
        source = model(window, 0)
        full = generate(compiled(source, "stash", *LONG, "--kv=mxint8"), 2100, 40, "--timing=off")
        ring = [r for r, _, _ in homes(compiled(source, "stash", *LONG, "--kv=mxint8")).values() if r]
        assert len(ring) == 2 and all(r <= (window + 64 + PAGE - 1) // PAGE + 1 for r in ring), f"window {window}: rings of {ring} pages"
        # The same bits as from a cache that keeps everything: a mask that is not recognised as a window would be one.
        for target in ("sram", "split", "dram"):
            got = generate(compiled(source, target, *LONG, "--kv=mxint8"), 2100, 40, "--timing=off")
            assert got == full, f"window {window} on {target}: other ids or logits"


@test("caches.check-memory")
def _():
    for source in (model(), *((model(100, 0), model(1500, 1500)) if windows() else ())):
        for target in ("stash", "sram", "split", "dram"):
            generate(compiled(source, target, *LONG, "--kv=mxint8"), 1090, 8, "--check-memory", "--timing=off")


@test("caches.counts-and-bounds")
def _():
    for source in (model(), *((model(1500, 0),) if windows() else ())):
        for target in ("stash", "sram", "split", "dram"):
            metrics = WORK / "metrics.json"
            generate(compiled(source, target, *LONG, "--kv=mxint8"), 1090, 4, f"--metrics={metrics}")
            for call in json.loads(metrics.read_text())["calls"]:
                assert call["executed"]["macs"] == call["macs"], f"{target} {call['entry']}: {call['executed']['macs']} MACs executed, {call['macs']} counted"
                assert call["executed"]["bytes"] == call["bytes"], f"{target} {call['entry']}: executed {call['executed']['bytes']}, counted {call['bytes']}"
                assert call["lower_bound_ps"] <= call["latency_ps"] <= call["bound_ps"], f"{target}: {call}"


@test("caches.decode-traffic")
def _():
    # A decode call reads the valid cache once, written nowhere else: what grows with the context is whole pages at most.
    row, caches, groups = 4 + 32, 4, 2
    for target in ("stash", "sram", "split", "dram"):
        program, calls = compiled(model(), target, *LONG, "--kv=mxint8"), {}
        for context in (640, 1280, 3840):
            metrics = WORK / "decode.json"
            run("ahm-run", program, "--functional=off", f"--context={context}", "--generate=1", f"--metrics={metrics}")
            calls[context] = [c for c in json.loads(metrics.read_text())["calls"] if c["entry"] == "decode"][-1]["bytes"]
        token, page = caches * groups * row, caches * groups * row * PAGE
        for a, b in ((640, 1280), (1280, 3840)):
            def grown(tier, way):
                return calls[b][tier][way] - calls[a][tier][way]
            valid = (b - a) * token
            reads = grown("stash", "read") + grown("sram", "read")
            assert 0 <= reads - valid <= page, f"{target}: {reads} bytes of cache read on the chip for {valid} more valid ones"
            assert 0 <= grown("dram", "read") <= valid + page, f"{target}: {grown('dram', 'read')} bytes of DRAM read for {valid} valid ones"
            assert grown("sram", "written") == grown("dram", "read"), f"{target}: what DRAM gives is written to SRAM once"
            assert grown("stash", "written") == 0 and grown("dram", "written") == 0, f"{target}: something of the cache is copied: {calls}"
            if target in ("stash", "sram"):
                assert grown("dram", "read") == 0, target


@test("caches.batch")
def _():
    # Sequences of unequal lengths in pages: each has the bits of its run alone with a cache in the stash.
    lengths, cards = (1990, 70, 1090), {
        "stash": "corsair",
        "sram": card(WORK / "batch-sram.yaml", **SMALL, sram_per_core="96 KiB", stash_per_quad="256 KiB"),
        "split": card(WORK / "batch-split.yaml", **SMALL, sram_per_core="48 KiB", stash_per_quad="256 KiB"),
        "dram": card(WORK / "batch-dram.yaml", **SMALL, sram_per_core="32 KiB", stash_per_quad="256 KiB")}
    for source in (model(), *((model(1500, 0),) if windows() else ())):
        alone = [generate(compiled(source, "stash", *LONG, "--kv=mxint8"), n, 70, "--timing=off") for n in lengths]
        for name, target in cards.items():
            CARDS["batch-" + name] = target
            program, out, metrics = compiled(source, "batch-" + name, *LONG, "--kv=mxint8", "--batch=3"), WORK / "batch.npy", WORK / "batch.json"
            places = homes(program).values()
            assert source != model() or {"stash": not any(s or d for _, s, d in places), "sram": any(s for _, s, _ in places) and not any(d for _, _, d in places),
                    "split": any(s and d for _, s, d in places), "dram": any(d for _, _, d in places)}[name], f"{name}: {list(places)}"
            done = run("ahm-run", program, *("--prompt-ids=" + ",".join(map(str, PROMPT[:n])) for n in lengths), "--generate=70", "--ignore-eos", "--print-ids",
                       f"--logits={out}", "--timing=off")
            assert done.stdout.strip().splitlines() == [ids for ids, _ in alone] and np.load(out).tobytes() == b"".join(rows for _, rows in alone), \
                f"{name} {list(places)}: other ids or logits than alone"
            run("ahm-run", program, *("--prompt-ids=" + ",".join(map(str, PROMPT[:n])) for n in (1090, 64, 200)), "--generate=3", "--ignore-eos", "--check-memory",
                f"--metrics={metrics}")
            for call in json.loads(metrics.read_text())["calls"]:
                assert call["executed"]["macs"] == call["macs"] and call["executed"]["bytes"] == call["bytes"], f"{name}: {call}"
                assert call["lower_bound_ps"] <= call["latency_ps"] <= call["bound_ps"], f"{name}: {call}"


@test("caches.kjv", KJV)
def _():
    # A real model whose cache of 512 tokens exceeds the stash; over page borders, in chunks of 1, 7 and 64.
    CARDS["kjv-pages"] = card(WORK / "kjv-pages.yaml", chiplets=1, quads_per_chiplet=2, slices_per_quad=4, cores_per_slice=16, sram_per_core="26 KiB",
                              stash_per_quad="768 KiB")
    prompt = ",".join(map(str, np.random.default_rng(3).integers(0, 2048, 150)))
    want = None
    for target, chunk in (("corsair", 64), ("kjv-pages", 64), ("kjv-pages", 7), ("kjv-pages", 1)):
        program, out = compiled(KJV, target, "--weights=mxint16", "--prefill-logits=all", f"--prefill-chunk={chunk}"), WORK / "kjv.npy"
        assert (target == "corsair") == all(ring is None for ring, _, _ in homes(program).values()), homes(program)
        done = run("ahm-run", program, f"--prompt-ids={prompt}", "--generate=50", "--ignore-eos", "--print-ids", f"--logits={out}", "--timing=off",
                   *(["--check-memory"] if chunk == 7 else []))
        got = done.stdout.strip().splitlines()[-1], np.load(out).tobytes()
        want = want or got
        assert got == want, f"{target} in chunks of {chunk}: other ids or logits"


@test("caches.errors")
def _():
    # What has no room is named, with its bytes, its tier and what to do.
    tiny = card(WORK / "pages-none.yaml", **SMALL, sram_per_core="20 KiB", stash_per_quad="8 KiB")
    done = run("ahm-compile", model(), "-o", WORK / "none.ahm", f"--target={tiny}", *LONG, "--prefill-chunk=1", status=1)
    for word in ("does not fit", "stash", "bytes", "--max-context", "--kv", "--cards"):
        assert word in done.stderr, f"'{word}' is not in: {done.stderr}"
    done = run("ahm-compile", model(), "-o", WORK / "none.ahm", f"--target={CARDS['dram']}", *LONG, "--placement=sram-only", status=1)
    assert "does not fit" in done.stderr and "--placement=hybrid" in done.stderr, done.stderr
    assert not list(WORK.glob("none.ahm*")), "something was left behind"


print(f"{len(passed)} passed, {len(failed)} failed")
sys.exit(1 if failed else 0)
