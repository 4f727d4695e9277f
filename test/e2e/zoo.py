"""Tests of models/zoo: usage zoo.py. Full-size files without weights have the published parameter counts; small ones run in ONNX
Runtime (Node; $ORT_NODE_DIR or models/cache/oracle), where prefill, chunks and single tokens agree, and all styles and storage forms of one
family agree. Without the oracle only the files themselves are checked. Exit 0 passed, 1 failed, 77 python3-onnx is missing."""
import atexit
import contextlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
except ModuleNotFoundError as missing:
    print(f"SKIP: Python module {missing.name} is missing")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
ZOO = ROOT / "models/zoo"
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "models"))
from zoo_onnx import cli  # noqa: E402
ORACLE = pathlib.Path(os.environ.get("ORT_NODE_DIR", ROOT / "models/cache/oracle")).resolve()
WORK = pathlib.Path(tempfile.mkdtemp(prefix="ahm-zoo-"))
atexit.register(shutil.rmtree, WORK, True)
failures = []

# Published parameter counts.
PUBLISHED = {"Llama-3.1-8B": 8.03e9, "Llama-3.3-70B": 70.55e9, "Qwen2.5-32B": 32.76e9, "Qwen3-32B": 32.76e9, "Qwen3-235B-A22B": 235.1e9,
             "GPT-OSS-20B": 20.9e9, "GPT-OSS-120B": 116.8e9, "DeepSeek-V3": 671e9, "Qwen2.5-0.5B": 494e6, "SmolLM2-135M": 134.5e6,
             "Mixtral-8x7B": 46.7e9, "GPT-2": 124.4e6, "BERT-base": 109.5e6, "Whisper-base": 72.6e6}

# Small models: for each family the ways to write it that must give the same logits. The first of a list is the reference.
O, G, S = "--style=optimum", "--style=genai", "--style=onnx23"
STATIC = S + " --cache=static"
GROUPS = [
    ("llama-3.1-8b --layers=2", [O, G, S, STATIC, S + " --opset=24", O + " --mask=less", O + " --mask=bool",
                                O + " --rope=gathered --data=each"]),
    ("qwen2.5-0.5b --layers=2", [O, G, S, STATIC, O + " --decoder=merged"]),
    ("qwen3-32b --layers=2", [O, G, S, STATIC]),
    ("mixtral-8x7b --layers=2", [O, G, S, STATIC, O + " --moe=loop"]),
    ("qwen3-235b-a22b --layers=2", [O, G, S]),
    ("gpt-oss-20b --layers=2", [O, G, S, STATIC, O + " --moe=loop"]),
    ("deepseek-v3 --layers=2", [O, G, S, STATIC, O + " --cache=expanded", S + " --cache=expanded", O + " --cache=parts --decoder=merged", S + " --cache=parts",
                               O + " --rope=gathered", O + " --moe=loop"]),
    ("llama-3.1-8b --layers=2 --weights-bits=4", [O + " --dequantized", G]),
    ("qwen2.5-0.5b --layers=2 --weights-bits=4 --zero-points", [O + " --dequantized", G]),
    ("qwen3-32b --layers=2 --weights-bits=8 --block=64", [O + " --dequantized", G]),
    ("gpt-oss-20b --layers=2 --weights-bits=4", [O + " --dequantized", G]),
    ("smollm2-135m --scale=1/512 --seed=3", [O, G]),
    ("gpt-2 --layers=2", [O, G, S]),
    ("gpt-2 --layers=2 --weights-bits=8", [O + " --dequantized", G]),
    ("bert-base --layers=2", [O, G, S]),
    ("whisper-base", [O, G, S, O + " --decoder=split"]),
    ("qwen3-32b --scale=1/4096", [O, G, S]),
    ("gpt-oss-120b --scale=1/16384 --layers=2", [O, S]),
    ("deepseek-v3 --scale=1/32768 --layers=2 --seed=1", [O, G, S]),
    ("whisper-base --weights-bits=4", [O + " --dequantized", G]),
    ("llama-3.1-8b --layers=2 --weights-bits=8 --quantize=qdq", [O + " --dequantized", O]),
    ("mixtral-8x7b --layers=2 --weights-bits=4 --quantize=qdq", [O + " --opset=21 --dequantized", S, G]),
    ("whisper-base --weights-bits=8 --quantize=qdq", [O + " --dequantized", O]),
    ("gpt-oss-20b --layers=2 --weights-bits=4 --quantize=mxfp4 --dequantized", [O, S, G]),
]
TOKENS, CHUNK = 40, 7   # more tokens than the small models' window


def check(name, good, detail=""):
    print(f"{'ok  ' if good else 'FAIL'} {name}{'' if good else ': ' + detail}", flush=True)
    if not good:
        failures.append(name)


def zoo(words, out):
    """Writes a model, in this process: starting Python a hundred times takes longer than the models."""
    with contextlib.redirect_stdout(io.StringIO()):
        cli.run([*words.split(), f"--out={out}"])


def command(words, out, status=0):
    done = subprocess.run([str(ZOO), *words.split(), f"--out={out}"], capture_output=True, text=True)
    if done.returncode != status:
        raise AssertionError(f"zoo {words}: exit {done.returncode}\n{done.stderr[-1500:]}")
    return done


def initializers(file):
    return onnx.load(str(file), load_external_data=False).graph.initializer


def entries(t):
    return {e.key: e.value for e in t.external_data}


def counts():
    for name, published in PUBLISHED.items():
        out = WORK / "full"
        zoo(name, out)
        count, sound, external = 0, True, 0
        for file in sorted(out.glob("*.onnx")):
            end = 0
            for t in initializers(file):
                size = int(np.prod(t.dims, dtype=np.int64))
                count += size if t.data_type == onnx.TensorProto.FLOAT and t.name not in ("cos_cached", "sin_cached") else 0
                if t.data_location == onnx.TensorProto.EXTERNAL:
                    e = entries(t)
                    sound &= int(e["offset"]) >= end and int(e["length"]) == 4 * size and not (out / e["location"]).exists()
                    end, external = int(e["offset"]) + int(e["length"]), external + 1
        check(f"{name}: {count:,} parameters", abs(count / published - 1) < 0.005, f"published {published:,.0f}")
        check(f"{name}: {external} external entries, absent file", sound and external > 0)
        shutil.rmtree(out)


def files():
    a, b, c = WORK / "a", WORK / "b", WORK / "c"
    command("LLAMA-3.1-8b --scale=tiny --style=genai", a)
    zoo("llama-3.1-8b --scale=tiny --style=genai", b)
    zoo("llama-3.1-8b --scale=tiny --style=genai --seed=1", c)
    same = lambda x, y: all((x / f).read_bytes() == (y / f).read_bytes() for f in ("model.onnx", "model.onnx.data"))
    check("the same seed, the same bytes", same(a, b) and not same(a, c))
    config, genai = (json.loads((a / f).read_text()) for f in ("config.json", "genai_config.json"))
    check("config.json, genai_config.json", config["num_hidden_layers"] == 3 and config["vocab_size"] == 512 and all(
        i < 512 for i in config["eos_token_id"]) and genai["model"]["decoder"]["filename"] == "model.onnx")
    kinds = lambda d: {(n.domain, n.op_type) for n in onnx.load(str(d / "model.onnx"), load_external_data=False).graph.node}
    check("genai style is fused", ("com.microsoft", "GroupQueryAttention") in kinds(a) and ("", "Softmax") not in kinds(a))
    zoo("llama-3.1-8b --scale=tiny", b)
    check("optimum style is primitive", all(d == "" for d, _ in kinds(b)) and ("", "Softmax") in kinds(b))
    zoo("llama-3.1-8b --scale=tiny --style=onnx23", b)
    check("onnx23 style", {("", "RMSNormalization"), ("", "RotaryEmbedding"), ("", "Attention")} <= kinds(b))
    for words, says in (("nothing", "no model nothing"), ("gpt-2 --window=4", "no attention window"), ("llama-3.1-8b --scale=7", "--scale=7"),
                        ("llama-3.1-8b --cache=static", "onnx23"), ("llama-3.1-8b --weights-bits=4 --quantize=mxfp4 --style=genai", "experts"), ("llama-3.1-8b --weights-bits=4", "genai"), ("llama-3.1-8b --layers=0", "--layers=0"),
                        ("llama-3.1-8b --seed=-1", "--seed=-1"), ("llama-3.1-8b --opset=9", "14 to 24"),
                        ("gpt-oss-20b --weights-bits=4 --block=128 --style=genai", "2880")):
        out = WORK / "refused"
        done = command(words, out, 1)
        check(f"refuses {words}", says in done.stderr and len(done.stderr.splitlines()) == 1 and not out.exists(), done.stderr)


def agreement():
    ids = [int(i) for i in np.random.default_rng(5).integers(0, 256, TOKENS)]
    jobs, groups = [], []
    for number, (model, ways) in enumerate(GROUPS):
        model = model if "--scale" in model else model + " --scale=tiny"
        members = []
        for way in ways:
            out = WORK / f"{number}-{len(members)}"
            zoo(f"{model} {way}", out)
            members.append(f"{model} {way}")
            job = {"model": str(out / "model.onnx"), "ids": ids, "chunk": CHUNK, "out": str(out / "logits.bin")}
            if (out / "encoder_model.onnx").exists():
                job.update(encoder=str(out / "encoder_model.onnx"), features=[1, 16, 192])
            if (out / "decoder_with_past_model.onnx").exists():
                job["later"] = str(out / "decoder_with_past_model.onnx")
            if way in (O, S) and "bert" not in model and "whisper" not in model:   # fused and fixed caches have no padding in front
                job["pad"] = 5
            if "qdq" in model:   # the optimiser would compute in int8
                job["level"] = "disabled"
            if "bert" in model:   # two sequences, one of them padded
                types = [0] * 9 + [1] * (TOKENS - 9)
                job["inputs"] = {"input_ids": [ids, ids[::-1]], "attention_mask": [[1] * TOKENS, [1] * (TOKENS - 9) + [0] * 9], "token_type_ids": [types, types]}
            jobs.append(job)
        groups.append(members)
    if not shutil.which("node") or not (ORACLE / "node_modules/onnxruntime-node").exists():
        print("SKIP agreement: no node, or no onnxruntime-node in $ORT_NODE_DIR or models/cache/oracle (test/e2e/fetch_oracle.sh)")
        return
    (WORK / "jobs.json").write_text(json.dumps(jobs))
    done = subprocess.run(["node", str(ROOT / "test/e2e/zoo.mjs"), str(WORK / "jobs.json")], capture_output=True, text=True,
                          env=dict(os.environ, ORT_NODE_DIR=str(ORACLE)))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(jobs):
        check("ONNX Runtime runs all", False, done.stderr[-1500:])
        return
    results = iter(zip(jobs, answers))
    for members in groups:
        reference = None
        for words in members:
            job, answer = next(results)
            if "error" in answer:
                check(words, False, answer["error"])
                continue
            logits = np.fromfile(job["out"], np.float32)
            reference = logits if reference is None else reference
            apart = float(np.abs(logits - reference).max()) if logits.shape == reference.shape else float("inf")
            spread = float(logits.std())
            within = max(answer.get(key, 0) for key in ("chunked", "stepped", "padded"))
            check(words, max(apart, within) < 1e-3 and 0.5 < spread < 6, f"from the reference {apart:.2g}, chunks, steps and padding {within:.2g}, spread {spread:.2f}")


try:
    counts()
    files()
    agreement()
finally:
    shutil.rmtree(WORK)
print(f"{len(failures)} failed" if failures else "all passed")
sys.exit(1 if failures else 0)
