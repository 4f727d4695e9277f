"""Models of full size without weights: they compile, fit, and their bytes are those of the shape's arithmetic.

Usage: fullsize.py BIN_DIR [FILTER]. Prints a table; times and memory are shown, never judged. AHM_FULLSIZE=all takes every dense model.
"""
import json
import os
import resource
import subprocess
import time

from harness import ROOT, WORK, finish, run, test

# CARD.md: layers, hidden, heads, kv heads, head dim, ffn, vocabulary.
SHAPES = {
    "Llama-3.1-8B": (32, 4096, 32, 8, 128, 14336, 128256),
    "Llama-3.3-70B": (80, 8192, 64, 8, 128, 28672, 128256),
    "Qwen2.5-32B": (64, 5120, 40, 8, 128, 27648, 152064),
    "Qwen3-32B": (64, 5120, 64, 8, 128, 25600, 151936),
}
TILE = {"mxint4": (128, 4352), "mxint8": (64, 4224)}


def tiles(k, n, weights):
    columns, size = TILE[weights]
    return -(-k // 64) * -(-n // columns) * size


def product_bytes(name, weights):
    layers, hidden, heads, kv, dim, ffn, vocabulary = SHAPES[name]
    layer = [(hidden, heads * dim), (hidden, kv * dim), (hidden, kv * dim), (heads * dim, hidden), (hidden, ffn), (hidden, ffn), (ffn, hidden)]
    return layers * sum(tiles(k, n, weights) for k, n in layer) + tiles(hidden, vocabulary, weights)


def model(name):
    folder = WORK / name
    if not folder.exists():
        subprocess.run([str(ROOT / "models/zoo"), name, "--style=genai", "--weights=none", f"--out={folder}"], check=True, capture_output=True)
    return folder / "model.onnx"


def compile_and_count(name, weights, context, *extra):
    path, program, metrics = model(name), WORK / "full.ahm", WORK / "full.json"
    begin = time.time()
    run("ahm-compile", path, "-o", program, "--timing-only", f"--weights={weights}", f"--max-context={context}", *extra)
    seconds = time.time() - begin
    valid = context - 64
    run("ahm-run", program, "--functional=off", f"--context={valid}", "--generate=2", f"--metrics={metrics}")
    data = json.loads(metrics.read_text())
    decode = [c for c in data["calls"] if c["entry"] == "decode"][-1]
    assert decode["lower_bound_ps"] <= decode["latency_ps"] <= decode["bound_ps"], decode
    weight = decode["bytes_by_class"]["weights"]["sram"]["read"]
    assert weight == product_bytes(name, weights), f"{weight} bytes of tiles read, the shape's products have {product_bytes(name, weights)}"
    # Keys and values, mxint8: a row is its blocks' scales, padded to 4 bytes, and its elements; whole pages stand in their homes.
    layers, _, _, kv, dim, _, _ = SHAPES[name]
    token = layers * 2 * kv * (-(-dim // 32 // 4) * 4 + dim)
    read = sum(tier["read"] for where, tier in decode["bytes_by_class"]["kv"].items() if where in ("sram", "stash"))
    assert token * (valid + 1) <= read <= token * (valid + 1 + 64), f"{read} bytes of cache read, {valid + 1} tokens have {token * (valid + 1)}"
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"     {name} {weights} context {context} {' '.join(extra)}: weights {data['program']['weights_bytes'] / 1e9:.2f} GB, cache {token} B a token, "
          f"decode {decode['latency_ps'] / 1e9:.2f} ms, compiled in {seconds:.1f} s, at most {memory:.0f} MiB in any process so far", flush=True)


for name in SHAPES if os.environ.get("AHM_FULLSIZE") == "all" else ("Llama-3.1-8B", "Llama-3.3-70B"):
    @test(f"full size {name}")
    def _(name=name):
        compile_and_count(name, "mxint4", 4096)
        if name == "Llama-3.1-8B":
            compile_and_count(name, "mxint8", 32768)
            compile_and_count(name, "mxint4", 4096, "--cards=8")


@test("smallest number of cards")
def _():
    arguments = ["ahm-compile", model("Llama-3.1-8B"), "-o", WORK / "no.ahm", "--timing-only", "--weights=mxint4", "--placement=sram-only", "--max-context=1024"]
    done = run(*arguments, status=1)
    cards = int(done.stderr.rsplit("--cards=", 1)[1].split()[0])
    assert "smallest number of cards" in done.stderr and cards > 1, done.stderr
    run(*arguments, f"--cards={cards}")
    run(*arguments, f"--cards={cards - 1}", status=1)


finish()
