"""The same trace from every build: over 20 repeats, one and two threads, a release and a debug build of ahm-run.

Usage: builds.py BIN_DIR [FILTER]. The other build's folder is $AHM_OTHER_BIN, else build-debug/bin:
    cmake --preset debug && cmake --build build-debug --target ahm-run
Models of the zoo are run in both readings and in the timing reading alone, with everything that a seed draws. Needs python3-onnx. Exit 0 passed,
1 failed, 77 skipped (no other build at hand).
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys

from harness import BIN, ROOT, WORK, finish, run, test
from zoomodels import write_model

OTHER = pathlib.Path(os.environ.get("AHM_OTHER_BIN", ROOT / "build-debug/bin"))
REPEATS = 20
if not (OTHER / "ahm-run").exists():
    print("SKIP: there is no other build of ahm-run; this file's beginning says how to make one")
    sys.exit(77)


def left(folder, program, label, words, threads):
    """Digests of all that a run leaves; of the metrics without the host's time."""
    out = {name: WORK / f"{label}.{name}" for name in ("trace", "report", "metrics", "counts")}
    done = subprocess.run([folder / "ahm-run", program, *words, f"--threads={threads}", *(f"--{name}={path}" for name, path in out.items())], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-2000:]
    metrics = json.loads(out["metrics"].read_text())
    for call in metrics["calls"]:
        del call["wall_seconds"]
    out["metrics"].write_text(json.dumps(metrics))
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in out.items()} | {"output": done.stdout}


def compared(name, words, *compile_words):
    write_model(WORK / name, name, "--scale=tiny", "--layers=2")
    program = WORK / name / "p.ahm"
    run("ahm-compile", WORK / name / "model.onnx", "-o", program, "--target=test-tiny", *compile_words)
    first = left(BIN, program, "first", words, 1)
    for folder, repeats in ((BIN, REPEATS), (OTHER, REPEATS if "--functional=off" in words else 2)):
        for i in range(repeats):
            again = left(folder, program, "again", words, 1 + i % 2)
            for what, digest in first.items():
                assert again[what] == digest, f"{what} of {folder / 'ahm-run'}, {1 + i % 2} threads, differs"
    print(f"     trace {first['trace'][:16]}", flush=True)


for model in ("llama-3.1-8b", "mixtral-8x7b"):
    @test(f"builds.timing {model}")
    def _(model=model):
        compared(model, ["--functional=off", "--context=40", "--generate=2", "--phases=20", "--routings=5", "--arrivals=1KiB/1ms", "--seed=3"], "--timing-only")

    @test(f"builds.values {model}")
    def _(model=model):
        compared(model, ["--prompt-ids=1,2,3", "--generate=3", "--ignore-eos"])

finish()
