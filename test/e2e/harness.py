"""What the end-to-end tests share: running a tool, naming a test, skipping it where its model is not at hand, and the tally.

A test script takes BIN_DIR [FILTER] and ends with finish(): exit 0 passed, 1 failed, 77 nothing could run. Models:
models/cache/moonshine (models/fetch_moonshine.sh) and, where it stands beside the project, ../shared/assets.
"""
import atexit
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.argv[1]).resolve()
FILTER = sys.argv[2] if len(sys.argv) > 2 else ""
MOONSHINE = ROOT / "models/cache/moonshine"
SHARED = ROOT.parent / "shared/assets"
KJV = SHARED / "kjv-llama"
ORACLE = pathlib.Path(os.environ.get("ORT_NODE_DIR", ROOT / "models/cache/oracle")) / "node_modules/onnxruntime-node"
WORK = pathlib.Path(tempfile.mkdtemp(prefix="ahm-e2e-"))
atexit.register(shutil.rmtree, WORK, True)

passed, failed, skipped = [], [], []


def run(tool, *args, status=0):
    """Runs a tool; the finished process. Fails the test when the exit status is another than expected."""
    done = subprocess.run([str(BIN / tool), *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == status, f"{tool} {' '.join(map(str, args))}\nexit {done.returncode}, expected {status}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done


def test(name, *needs):
    """Runs the decorated body at once, unless a path of `needs` is missing or the filter excludes it."""
    def decorate(body):
        if FILTER and FILTER not in name:
            return body
        missing = [path for path in needs if path is not None and not path.exists()]
        if missing:
            skipped.append(name)
            print(f"SKIP {name}: {missing[0].name} is not at hand", flush=True)
            return body
        try:
            body()
            passed.append(name)
            print(f"ok   {name}", flush=True)
        except Exception as error:  # the next test still runs
            failed.append(name)
            print(f"FAIL {name}\n     {error!r}"[:4000], flush=True)
        return body
    return decorate


def finish():
    print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    sys.exit(1 if failed else 77 if not passed else 0)


def last_ids(done):
    return [int(i) for i in done.stdout.strip().splitlines()[-1].split(",")]


def moonshine(target, *extra):
    program = WORK / f"moonshine-{target}{''.join(extra)}.ahm"
    if not program.exists():
        run("ahm-compile", MOONSHINE / "encoder_model.onnx", MOONSHINE / "decoder_model_merged.onnx", "-o", program, f"--target={target}", *extra)
    return program


def kjv(weights, target="corsair", *extra, style="optimum"):
    program = WORK / f"kjv-{style}-{weights}-{target}{''.join(extra)}.ahm"
    if not program.exists():
        run("ahm-compile", KJV / f"model_{style}.onnx", "-o", program, f"--weights={weights}", f"--target={target}", *extra)
    return program


def prompts():
    return json.loads((KJV / "expected.json").read_text())["prompts"]


def clips():
    folder = ROOT / "test/e2e/clips"
    for case in json.loads((folder / "expected.json").read_text())["clips"]:
        yield folder / case["clip"], case["ids"]
    if (SHARED / "moonshine/expected.json").exists():
        for case in json.loads((SHARED / "moonshine/expected.json").read_text())["cases"]:
            yield SHARED / "moonshine" / case["wav"], case["ids"]
