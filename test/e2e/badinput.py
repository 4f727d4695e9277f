"""Bad inputs to the tools end in exit 1 (2 for usage) and one clear line, never a crash. Usage: badinput.py BIN_DIR."""
import atexit
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto as T, helper as h

BIN = pathlib.Path(sys.argv[1]).resolve()
W = pathlib.Path(tempfile.mkdtemp(prefix="ahm-bad-"))
atexit.register(shutil.rmtree, W, True)
tally = [0, 0]


def check(name, status, names, tool, *args, absent=None):
    command = [str(BIN / tool), *map(str, args)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=20)
        code, err = done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        code, err = "timeout", ""
    bad = code != status or not err.strip() or (names and names not in err) or len(err.strip().splitlines()) > 1
    left = absent is not None and absent.exists()
    tally[bad or left] += 1
    print(f"{'FAIL' if bad or left else 'ok  '} {name}", flush=True)
    if bad or left:
        print(f"     {' '.join(command)}\n     exit {code}, left {left}: {err[:300]!r}", flush=True)


def model(path, op="MatMul", external=False):
    w = h.make_tensor("w", T.FLOAT, [64, 64], np.ones(4096, np.float32).tobytes(), raw=True)
    if external:
        w.ClearField("raw_data")
        w.data_location = T.EXTERNAL
        for k, v in (("location", "gone.bin"), ("offset", "0"), ("length", "16384")):
            e = w.external_data.add(); e.key, e.value = k, v
    g = h.make_graph([h.make_node(op, ["x", "w"], ["y"])], "g", [h.make_tensor_value_info("x", T.FLOAT, [4, 64])],
                     [h.make_tensor_value_info("y", T.FLOAT, [4, 64])], [w])
    path.write_bytes(h.make_model(g, opset_imports=[h.make_opsetid("", 17)]).SerializeToString())
    return path


r = random.Random(1)
good = model(W / "good.onnx")
data = good.read_bytes()
(W / "cut.onnx").write_bytes(data[:len(data) // 2])
(W / "random.onnx").write_bytes(bytes(r.randrange(256) for _ in range(4096)))
out = W / "out.ahm"
for n in ("cut", "random", "absent"):
    check(n + ".onnx", 1, n + ".onnx", "ahm-compile", W / f"{n}.onnx", "-o", out, absent=out)
check("operator", 1, "NoSuchOp", "ahm-compile", model(W / "op.onnx", "NoSuchOp"), "-o", out, absent=out)
check("external", 1, "gone.bin", "ahm-compile", model(W / "ext.onnx", external=True), "-o", out, absent=out)
check("folder", 1, str(W / "none/out.ahm"), "ahm-compile", good, "-o", W / "none/out.ahm")
os.mkfifo(W / "pipe")
check("pipe", 1, "not a regular file", "ahm-compile", good, "-o", W / "pipe")
assert (W / "pipe").is_fifo()
for n, t in (("unknown", "name: x\nnosuch: 1\n"), ("unit", "name: x\nclock: 1 parsec\n")):
    (W / f"{n}.yaml").write_text(t)
    check("target." + n, 1, n + ".yaml", "ahm-compile", good, "-o", out, f"--target={W}/{n}.yaml", absent=out)
check("option.run", 2, "", "ahm-run", "--nosuch")
check("option.simd", 2, "no instruction set is named 'sse9'", "ahm-run", W / "no.ahm", "--simd=sse9")
check("option.compile", 2, "", "ahm-compile", "--nosuch", good)
p = W / "p.ahm"
subprocess.run([str(BIN / "ahm-compile"), str(good), "-o", str(p)], check=False)
if p.exists():
    x = {"shape": ("x", np.ones((3, 7), np.float32)), "dtype": ("x", np.ones((4, 64), np.int64)), "name": ("zz", np.ones((4, 64), np.float32))}
    for n, (i, a) in x.items():
        np.save(W / f"{n}.npy", a)
        check("input." + n, 1, i, "ahm-run", p, f"--input={i}={W}/{n}.npy")
    b, w = p.read_bytes(), pathlib.Path(str(p) + "w").read_bytes()
    for n, c in (("truncated", b[:len(b) // 2]), ("foreign", b"hello" * 99)):
        (W / f"{n}.ahm").write_bytes(c); (W / f"{n}.ahmw").write_bytes(w)
        check("program." + n, 1, n + ".ahm", "ahm-run", W / f"{n}.ahm", f"--input=x={W}/dtype.npy")
    for n, c in (("wmissing", None), ("wcut", w[:len(w) // 2])):
        (W / f"{n}.ahm").write_bytes(b)
        if c is not None: (W / f"{n}.ahmw").write_bytes(c)
        np.save(W / "x.npy", x["name"][1])
        check("weights." + n, 1, n, "ahm-run", W / f"{n}.ahm", f"--input=x={W}/x.npy")
else:
    tally[1] += 1
    print("FAIL the good model does not compile")
print(f"{tally[0]} passed, {tally[1]} failed")
sys.exit(tally[1] > 0)
