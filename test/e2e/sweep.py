"""ahm-sweep: its table, its files, what it compiles again and what it refuses; and --set of the tools beneath it.

Usage: sweep.py BIN_DIR [FILTER]. Needs python3-onnx (the zoo's). Exit 0 passed, 1 failed, 77 skipped.
"""
import csv
import json
import subprocess
import sys
import xml.dom.minidom

from harness import BIN, ROOT, WORK, finish, run, test
from zoomodels import write_model

MODEL, PROGRAM = WORK / "model/model.onnx", WORK / "p.ahm"
write_model(WORK / "model", "smollm2-135m", "--scale=tiny", "--layers=4", "--hidden=192", "--weights=none")
run("ahm-compile", MODEL, "-o", PROGRAM, "--target=test-tiny", "--timing-only")


def sweep(*words, status=0):
    done = subprocess.run([BIN / "ahm-sweep", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done


@test("sweep.program")
def _():
    table, picture = WORK / "t.csv", WORK / "t.svg"
    done = sweep("launch.command=0..2us:3", PROGRAM, f"--csv={table}", f"--plot={picture}", "--", "--generate=2", "--context=10")
    rows = [r for r in csv.DictReader(table.open()) if r["entry"] == "decode"]
    assert [r["value"] for r in rows] == ["0 us", "1 us", "2 us"] and len(done.stdout.splitlines()) >= 4, rows
    latencies = [int(r["latency_ps"]) for r in rows]
    assert latencies == sorted(latencies) and latencies[0] < latencies[2], latencies
    assert all(int(r["lower_bound_ps"]) <= int(r["latency_ps"]) <= int(r["bound_ps"]) and r["calls"] == "2" for r in rows)
    xml.dom.minidom.parse(str(picture))
    # One of its points by hand.
    metrics = WORK / "one.json"
    run("ahm-run", PROGRAM, "--functional=off", "--generate=2", "--context=10", "--set=launch.command=1us", f"--metrics={metrics}")
    calls = [c["latency_ps"] for c in json.loads(metrics.read_text())["calls"] if c["entry"] == "decode"]
    assert round(sum(calls) / 2) == latencies[1], (calls, latencies)


@test("sweep.die_to_die")
def _():
    """On a card of several chiplets each exchange between them has the links' latency."""
    program = WORK / "chiplets.ahm"
    run("ahm-compile", MODEL, "-o", program, "--target=corsair", "--timing-only")
    sweep("die_to_die.latency=0..2us:3", program, f"--csv={WORK / 'd.csv'}", "--", "--generate=1", "--context=10")
    rows = [int(r["latency_ps"]) for r in csv.DictReader((WORK / "d.csv").open()) if r["entry"] == "decode"]
    assert rows[0] < rows[1] < rows[2], rows
    # The same beside a card with slower links, as entries of their own.
    done = sweep("die_to_die.latency=0..2us:2", program, "--beside=die_to_die.bandwidth=1GB/s", f"--csv={WORK / 'b.csv'}", f"--plot={WORK / 'b.svg'}", "--", "--generate=1", "--context=10")
    both = {(r["entry"], r["value"]): int(r["latency_ps"]) for r in csv.DictReader((WORK / "b.csv").open())}
    for value, alone in (("0 us", rows[0]), ("2 us", rows[2])):
        assert both["decode", value] == alone < both["decode, die_to_die.bandwidth=1GB/s", value], both
    assert "GB/s" in (WORK / "b.svg").read_text()
    assert "FIELD=VALUE" in sweep("die_to_die.latency=0..2us:2", program, "--beside=8", status=2).stderr
    # What is exchanged in sequence has it each time.
    assert rows[2] - rows[1] >= 1_000_000 * 4 * 4, rows


@test("sweep.memory_map")
def _():
    done = sweep("sram_per_core=82KiB,512KiB", MODEL, "--target=test-tiny", "--timing-only", f"--csv={WORK / 'm.csv'}")
    rows = [int(r["latency_ps"]) for r in csv.DictReader((WORK / "m.csv").open()) if r["entry"] == "decode"]
    assert len(rows) == 2 and rows[1] <= rows[0], done.stdout
    done = sweep("sram_per_core=82KiB,512KiB", PROGRAM, status=1)
    assert "memory map" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    done = run("ahm-run", PROGRAM, "--functional=off", "--generate=1", "--set=chiplets=2", status=1)
    assert "memory map" in done.stderr


@test("sweep.refusals")
def _():
    for words, status, says in (([], 2, "give FIELD"), (["launch.command=1..0us", PROGRAM], 2, "larger end"), (["launch.command=a..b", PROGRAM], 2, "no range"),
                                (["launch.comand=0..1us", PROGRAM], 1, "did you mean"), (["launch.command=0..1us", WORK / "none.ahm"], 1, "no such file"),
                                (["launch.command=0..1us", PROGRAM, f"--csv={WORK}/none/t.csv"], 1, "no folder")):
        done = sweep(*words, status=status)
        assert says in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (WORK / "none").exists()


finish()
