"""Operator tests: single-node models (and small graphs of them) through import, compilation and simulation, against the
expected outputs stored beside them. Usage: operators.py BIN_DIR [--only=SUBSTRING] [--list-failures] [--onnx-node-tests=DIR].

Sources, each optional: Debian's libonnx-testdata, and a folder of the ONNX project's node tests (AHM_ONNX_NODE_TESTS, or
../shared/assets/onnx-node-tests beside the source tree). A test counts when all of its operators are named below and its
inputs and outputs are tensors of numbers. At most 3 % may be skipped, each with its reason."""
import collections
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto as T, numpy_helper

NAMED = set("""Constant Add Sub Mul Div Pow Sqrt Neg MatMul Gemm Gather Reshape Transpose Unsqueeze Squeeze Concat Slice Split
Shape Cast Identity ReduceMean ReduceSum Softmax Where Expand ConstantOfShape Range Equal Greater Less GreaterOrEqual LessOrEqual And
Or Xor Not Tanh Erf Sigmoid Exp Log Reciprocal Abs Floor Ceil Round Sign Mod Softplus Cos Sin Trilu Einsum GatherElements GatherND
ScatterElements ScatterND OneHot NonZero CumSum TopK ArgMax ReduceMax ReduceMin ReduceProd ReduceL2 LogSoftmax Tile Flatten Clip Min
Max IsNaN EyeLike LayerNormalization RMSNormalization SimplifiedLayerNormalization SkipLayerNormalization
SkipSimplifiedLayerNormalization Gelu FastGelu QuickGelu BiasGelu Swish RotaryEmbedding Attention GroupQueryAttention
MultiHeadAttention EmbedLayerNormalization FusedMatMul TensorScatter DynamicQuantizeLinear MatMulInteger QuantizeLinear
DequantizeLinear MatMulNBits GatherBlockQuantized QMoE MoE Conv InstanceNormalization Pad Relu LeakyRelu If""".split())

# Products run in mxint16 on the card: NUMERICS' bound for them. Everything else is float32 arithmetic.
PRODUCTS = {"MatMul", "Gemm", "Einsum", "Conv", "Attention", "GroupQueryAttention", "MultiHeadAttention", "FusedMatMul", "MatMulNBits",
            "MoE", "QMoE"}

# Test name (or its beginning with a final *) to the reason why it cannot run.
SKIPPED = {
    "test_castlike_BFLOAT16_to_FLOAT_expanded": "the test feeds an input of another rank than its model declares",
    "test_castlike_FLOAT_to_BFLOAT16_expanded": "the test feeds an input of another rank than its model declares",
}

# The function bodies of these write pi with six digits; what is expected has all of them.
SHORT_PI = ("test_blackmanwindow", "test_hammingwindow", "test_hannwindow")


def operators(graph):
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from operators(attribute.g)


def in_scope(model):
    if not set(operators(model.graph)) <= NAMED:
        return False
    kinds = [v.type for v in list(model.graph.input) + list(model.graph.output)]
    return all(k.WhichOneof("value") == "tensor_type" and k.tensor_type.elem_type != T.STRING for k in kinds)


def find_tests(arguments):
    shared = pathlib.Path(__file__).resolve().parents[2].parent / "shared/assets/onnx-node-tests"
    given = arguments.get("onnx-node-tests") or os.environ.get("AHM_ONNX_NODE_TESTS") or shared
    debian = pathlib.Path("/usr/share/libonnx-testdata/data")
    folders = [pathlib.Path(given)] + [debian / suite for suite in ("node", "pytorch-operator", "pytorch-converted", "simple")]
    tests = []
    for folder in folders:
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if not (path / "model.onnx").exists() or arguments.get("only", "") not in path.name:
                continue
            model = onnx.load(str(path / "model.onnx"), load_external_data=False)
            if in_scope(model):
                tests.append((folder.name, path, model))
    return tests


def read_tensor(path):
    tensor = T()
    tensor.ParseFromString(path.read_bytes())
    return numpy_helper.to_array(tensor), tensor.data_type


def run(command):
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=120)
    except subprocess.TimeoutExpired:
        return "took more than 120 s"
    if done.returncode == 0:
        return ""
    line = [l for l in done.stderr.strip().splitlines() if "error" in l] or done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
    return f"{pathlib.Path(command[0]).name} exit {done.returncode}: {line[0]}"


def widen(bits):
    """bfloat16, which these tests store as the bits of uint16, in float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def compare(got, want, product, half, loose):
    """A message, or "" where they agree."""
    if list(got.shape) != list(want.shape):
        return f"shape {list(got.shape)} instead of {list(want.shape)}"
    if want.dtype.kind in "iub":
        if got.dtype.kind not in "iub":
            return f"type {got.dtype} instead of {want.dtype}"
        wrong = got.astype(np.int64) != want.astype(np.int64)
        return f"{int(wrong.sum())} of {wrong.size} integers differ" if wrong.any() else ""
    if want.dtype == np.float64:  # computed in float32, where what is too large is infinite
        with np.errstate(over="ignore"):
            want = want.astype(np.float32)
    got, want = got.astype(np.float64), want.astype(np.float64)
    relative, absolute = (1e-2, 1e-2) if half else (1e-3, 1e-3) if product else (1e-3, 1e-6) if loose else (1e-4, 1e-6)
    if product and want.size:
        absolute = max(absolute, absolute * float(np.abs(np.nan_to_num(want, posinf=0, neginf=0)).max()))
    close = np.isclose(got, want, rtol=relative, atol=absolute, equal_nan=True)
    if close.all():
        return ""
    worst = np.nanmax(np.abs(got - want)[~close]) if (~np.isnan(got - want)[~close]).any() else float("nan")
    return f"{int((~close).sum())} of {close.size} numbers differ, by up to {worst:.3g}"


def run_test(bin_dir, path, model):
    """"" when it passes, else what went wrong."""
    names = set(operators(model.graph))
    fed = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in fed]
    with tempfile.TemporaryDirectory(prefix="ahm-operator-") as temporary:
        work = pathlib.Path(temporary)
        failed = run([bin_dir / "ahm-compile", path / "model.onnx", "-o", work / "p.ahm", "--weights=mxint16"])
        if failed:
            return failed
        for data in sorted(path.glob("test_data_set_*")):
            command = [bin_dir / "ahm-run", work / "p.ahm", "--output-dir", work / "out"]
            half = False
            for k, value in enumerate(inputs):
                array, kind = read_tensor(data / f"input_{k}.pb")
                half |= kind in (T.FLOAT16, T.BFLOAT16)
                np.save(work / f"in{k}.npy", array)
                command += ["--input", f"{value.name}={work / f'in{k}.npy'}"]
            failed = run(command)
            if failed:
                return failed
            for k, value in enumerate(model.graph.output):
                want, kind = read_tensor(data / f"output_{k}.pb")
                file = work / "out" / (value.name.replace("/", "_").replace(":", "_") + ".npy")
                if not file.exists():
                    return f"output '{value.name}' is not written"
                if value.type.tensor_type.elem_type == T.BFLOAT16 and want.dtype == np.uint16:
                    want, kind = widen(want), T.BFLOAT16
                halves = half or kind in (T.FLOAT16, T.BFLOAT16)
                wrong = compare(np.load(file), want, bool(names & PRODUCTS), halves, path.name.startswith(SHORT_PI))
                if wrong:
                    return f"output '{value.name}': {wrong}"
    return ""


def reason_to_skip(name):
    for pattern, reason in SKIPPED.items():
        if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
            return reason
    return ""


def main():
    arguments = dict(a[2:].partition("=")[::2] for a in sys.argv[2:] if a.startswith("--"))
    bin_dir = pathlib.Path(sys.argv[1]).resolve()
    tests = find_tests(arguments)
    if not tests:
        print("operators: no operator tests found; install libonnx-testdata or set AHM_ONNX_NODE_TESTS")
        return 77
    rows = collections.defaultdict(lambda: [0, 0, 0])
    suites = collections.defaultdict(lambda: [0, 0, 0])
    messages = []

    def work(test):
        suite, path, model = test
        reason = reason_to_skip(path.name)
        return (1, reason) if reason else (lambda wrong: (2, wrong) if wrong else (0, ""))(run_test(bin_dir, path, model))

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (suite, path, model), (outcome, text) in zip(tests, pool.map(work, tests)):
            names = set(operators(model.graph)) - {"Constant"}
            row = names.pop() if len(names) == 1 else "Constant" if not names else "(several)"
            rows[row][outcome] += 1
            suites[suite][outcome] += 1
            if outcome:
                messages.append(f"{('', 'skip', 'FAIL')[outcome]} {suite}/{path.name}: {text}")
    print(f"{'operator':32} pass skip fail")
    for name in sorted(rows):
        print(f"{name:32} {rows[name][0]:4} {rows[name][1]:4} {rows[name][2]:4}")
    for name in suites:
        print(f"{'[' + name + ']':32} {suites[name][0]:4} {suites[name][1]:4} {suites[name][2]:4}")
    total = [sum(r[i] for r in rows.values()) for i in range(3)]
    print(f"{'total':32} {total[0]:4} {total[1]:4} {total[2]:4}")
    print("\n".join(messages))
    share = total[1] / len(tests)
    if share > 0.03 and "only" not in arguments:
        print(f"{share:.1%} of the tests are skipped; 3 % are the most")
        return 1
    return 1 if total[2] else 0


if __name__ == "__main__":
    sys.exit(main())
