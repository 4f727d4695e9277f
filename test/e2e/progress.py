"""What a tool that works for long shows on a terminal: a line after a second, erased at the end, and nothing of it in a pipe.

Usage: progress.py BIN_DIR. Exit 0 passed, 1 failed, 77 when this machine does the work below in no time.
"""
import os
import pathlib
import pty
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

import determinism


def on_terminal(command):
    """All that the command writes, its standard output and error being a terminal; its exit status; seconds."""
    begin = time.monotonic()
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], command)
    written = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the terminal's other end is closed
            break
        if not part:
            break
        written += part
    return written.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), time.monotonic() - begin


def visible(text):
    """What stays on the screen: carriage returns and erasures carried out."""
    return [re.sub(r".*\r", "", re.sub(r"[^\n]*\r\x1b\[K", "", line)) for line in text.replace("\r\n", "\n").split("\n")]


def main():
    with tempfile.TemporaryDirectory(prefix="ahm-progress-") as folder:
        work = pathlib.Path(folder)
        determinism.small_model(work / "small.onnx", 1, blocks=12)
        np.save(work / "x.npy", np.ones((1, 17, 96), np.float32))
        determinism.run("ahm-compile", work / "small.onnx", "-o", work / "small.ahm", "--target=test-tiny", "--placement=dram-only", "--max-dim=tokens=32")
        phases = 1000
        while True:
            command = [str(determinism.BIN / "ahm-run"), str(work / "small.ahm"), f"--input=x={work}/x.npy", f"--phases={phases}"]
            shown, status, seconds = on_terminal(command)
            if seconds > 1.5 or phases == 100000:
                break
            phases = min(100000, phases * 10)
        piped = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert status == 0 and piped.returncode == 0, shown + piped.stderr
        assert "\r" not in piped.stderr and "\x1b" not in piped.stderr and "refresh phase" not in piped.stderr, piped.stderr
        assert visible(shown) == piped.stderr.split("\n"), f"what stays on a terminal differs from what a pipe gets:\n{visible(shown)}\n{piped.stderr}"
        if seconds <= 1.5:
            print(f"{phases} refresh phases take {seconds:.1f} s here: no progress to look at")
            return 77
        assert re.search(r"\rahm-run: main, call \d+, refresh phase \d+ of \d+, \d+\.\d s\x1b\[K", shown), repr(shown[:500])
        assert not re.search(r", 0\.\d s", shown), "progress within the first second"
        print(f"ok   progress over {seconds:.1f} s")
        return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AssertionError as error:
        print(f"FAIL {error}")
        sys.exit(1)
