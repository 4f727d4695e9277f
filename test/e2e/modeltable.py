"""Models of full size without weights, compiled in every format of weights and caches: parameters, bytes, time and memory, as docs/models.md.

Usage: modeltable.py BIN_DIR [FILTER] [--update]. Checks that parameters are the published ones within 0.5 % and that a token's keys and values take
the bytes of the shape's arithmetic; --update writes docs/models.md. Times and memory are shown, never judged. Takes minutes: not part of ctest.
"""
import contextlib
import io
import re
import resource
import sys

UPDATE = "--update" in sys.argv
sys.argv = [word for word in sys.argv if word != "--update"]
from harness import ROOT, WORK, failed, finish, run, test  # noqa: E402

sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "models"))
from zoo_onnx import cli  # noqa: E402

# Published parameters, style, cards, and what a token keeps: [(layers, heads, head size)] of keys and values together.
MODELS = {
    "Llama-3.1-8B": (8.03e9, "genai", 1, [(32, 8, 128)] * 2),
    "Llama-3.3-70B": (70.55e9, "genai", 1, [(80, 8, 128)] * 2),
    "Qwen2.5-32B": (32.76e9, "genai", 1, [(64, 8, 128)] * 2),
    "Qwen3-32B": (32.76e9, "onnx23", 1, [(64, 8, 128)] * 2),
    "Qwen3-235B-A22B": (235.1e9, "optimum", 4, [(94, 4, 128)] * 2),
    "GPT-OSS-20B": (20.9e9, "genai", 1, [(24, 8, 64)] * 2),
    "GPT-OSS-120B": (116.8e9, "genai", 2, [(36, 8, 64)] * 2),
    "DeepSeek-V3": (671e9, "onnx23", 8, [(61, 1, 512 + 64)]),
    "Whisper-base": (72.6e6, "optimum", 1, [(6, 8, 64)] * 2),
}
# Weights beside each format of the cache.
FORMATS = [("mxint4", "mxint4"), ("mxint8", "mxint8"), ("mxint16", "mxint16"), ("mxint8", "bf16")]
CONTEXT = 4096


def row_bytes(fmt, dim):
    """A row of a block format: its scales, padded to 4 bytes, then its blocks' elements."""
    if fmt == "bf16":
        return 2 * dim
    blocks = -(-dim // 32)
    return -(-blocks // 4) * 4 + blocks * 32 * int(fmt[5:]) // 8


def cache_bytes(program):
    """Bytes that a token adds to the caches, as the program declares them. Those of another capacity hold no generated tokens."""
    listed = re.findall(r"^  (?:kv|latent)\d+ +(bf16|mx_rows\d+) +(\d+) +(\d+) +(\d+)", run("ahm-inspect", program, "--memory-map").stdout, re.M)
    own = [(f.replace("mx_rows", "mxint"), int(h), int(d)) for f, h, d, capacity in listed if int(capacity) != 1500]
    return sum(heads * row_bytes(fmt, dim) for fmt, heads, dim in own)


rows = []
for name, (published, style, cards, kept) in MODELS.items():
    @test(name)
    def _():
        folder, text = WORK / name, io.StringIO()
        with contextlib.redirect_stdout(text):
            cli.run([name, f"--style={style}", "--weights=none", f"--out={folder}"])
        parameters = int(re.search(r"([\d,]+) parameters", text.getvalue()).group(1).replace(",", ""))
        assert abs(parameters / published - 1) < 0.005, f"{parameters:,} parameters, published {published:,.0f}"
        files = sorted(folder.glob("*.onnx"))
        program, weights, caches, seconds, memory = WORK / "model.ahm", {}, {}, [], []
        spent = lambda: resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        for fmt, kv in FORMATS:
            before = spent()
            done = run("ahm-compile", *files, "-o", program, "--timing-only", f"--weights={fmt}", f"--kv={kv}", f"--max-context={448 if 'Whisper' in name else CONTEXT}",
                       f"--cards={cards}")
            weights[fmt] = float(re.search(r"weights ([\d.]+) MB", done.stderr + done.stdout).group(1)) / 1000
            seconds.append(spent() - before)
            memory.append(int(re.search(r"peak memory (\d+) MiB", done.stderr + done.stdout).group(1)))
            caches[kv] = cache_bytes(program)
            wanted = sum(layers * heads * row_bytes(kv, dim) for layers, heads, dim in kept)
            assert caches[kv] == wanted, f"{kv}: a token takes {caches[kv]} bytes, the shape's arithmetic {wanted}"
        size = lambda gb: f"{gb:.2f}" if gb < 10 else f"{gb:.1f}"
        rows.append(f"| {name} | {style} | {parameters / 1e9:.4g} | {parameters / published - 1:+.2%} | {size(weights['mxint4'])} | {size(weights['mxint8'])} | "
                    f"{size(weights['mxint16'])} | {caches['bf16']:,} | {caches['mxint16']:,} | {caches['mxint8']:,} | {caches['mxint4']:,} | {cards} | {max(seconds):.1f} | {max(memory)} |")
        print("     " + rows[-1], flush=True)

if UPDATE and not failed:
    (ROOT / "docs/models.md").write_text(f"""# Models of full size

Written by `test/e2e/modeltable.py build/bin --update`: models of `models/zoo` with their true shapes and without weights, compiled with
`--timing-only --max-context={CONTEXT}` (Whisper-base: 448) for so many cards. Parameters are those of the ONNX file, beside them their distance from the published count.
Weights count what the program stores, embedding tables and vectors included. A token's keys and values are what the program's caches grow by; the script
holds them to the shape's arithmetic: layers times heads times a row, which is its blocks' scale bytes, padded to 4, and its elements. DeepSeek-V3
keeps its latent and the rotated part, 576 numbers a layer; the layers of GPT-OSS that see a window only keep that window. Time is the processor's,
on one core, and memory the peak; both are the largest of the four compiles.

| model | style | parameters, 10⁹ | from published | weights mxint4, GB | mxint8 | mxint16 | KV bytes a token, bf16 | mxint16 | mxint8 | mxint4 | cards | compile, CPU s | memory, MiB |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
""" + "\n".join(rows) + "\n")

finish()
