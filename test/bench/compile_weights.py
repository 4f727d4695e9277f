"""Compiling a model with its weights: memory and speed.

Usage: compile_weights.py BIN_DIR [--gigabytes=8] [--weights=mxint8] [--folder=DIR]. Writes a Llama of float32 weights (shapes of
Llama-3.1-8B, as many layers as the size asks for) whose external data is all random numbers, none of them zero, compiles it on one core, and
says how fast: gigabytes of external data over seconds of wall clock and of processor time, and the peak of the resident anonymous memory
(RssAnon, sampled; what the compiler maps from files is the page cache's). The goals are 100 MB/s and 1.5 GB. The files go again at the end.
Exit 0 when both goals are met by processor time, 1 when not.
"""
import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYER, REST = 218_112_000 * 4, 2 * 128256 * 4096 * 4   # bytes of a layer; of the two tables


def external_bytes(model):
    return max(int({e.key: e.value for e in t.external_data}["offset"]) + int({e.key: e.value for e in t.external_data}["length"])
               for t in model.graph.initializer if t.external_data)


def write_data(path, size):
    """Normal numbers, 64 MiB of them again and again, each time begun elsewhere so that no two tensors are alike."""
    block = np.random.default_rng(1).standard_normal((16 << 20) + 65536, dtype=np.float32) * np.float32(0.02)
    block[block == 0] = 0.02
    with open(path, "wb") as file:
        for i, done in enumerate(range(0, size, 64 << 20)):
            part = block[i * 4099 % 65536:][: min(16 << 20, (size - done + 3) // 4)]
            file.write(memoryview(part).cast("B")[: size - done])


def rss_anon(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("bin")
    a.add_argument("--gigabytes", type=float, default=8)
    a.add_argument("--weights", default="mxint8")
    a.add_argument("--folder", default=None)
    a = a.parse_args()
    layers = max(1, -(-int(a.gigabytes * 1e9 - REST) // LAYER))
    with tempfile.TemporaryDirectory(prefix="ahm-compile-", dir=a.folder) as folder:
        folder = pathlib.Path(folder)
        subprocess.run([ROOT / "models/zoo", "llama-3.1-8b", f"--layers={layers}", "--weights=none", f"--out={folder}"], check=True, capture_output=True)
        model = onnx.load(folder / "model.onnx", load_external_data=False)
        size = external_bytes(model)
        location = next({e.key: e.value for e in t.external_data}["location"] for t in model.graph.initializer if t.external_data)
        begin = time.monotonic()
        write_data(folder / location, size)
        print(f"{layers} layers, {size / 1e9:.2f} GB of external data, written in {time.monotonic() - begin:.0f} s", flush=True)
        core = min(os.sched_getaffinity(0))
        begin, before, peak = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN), 0
        command = [f"{a.bin}/ahm-compile", folder / "model.onnx", "-o", folder / "out.ahm", f"--weights={a.weights}", "--cards=8"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        while process.poll() is None:
            peak = max(peak, rss_anon(process.pid))
            time.sleep(0.02)
        wall = time.monotonic() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        text = process.stdout.read()
        if process.returncode:
            sys.exit(text)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(text.strip())
        print(f"{a.weights}: {size / 1e6 / wall:.0f} MB/s of wall clock ({wall:.1f} s), {size / 1e6 / cpu:.0f} MB/s of processor time ({cpu:.1f} s), "
              f"RssAnon at most {peak / 1e6:.0f} MB")
        sys.exit(0 if peak < 1.5e9 and size / 1e6 / cpu > 100 else 1)


main()
