"""Host speed of the functional simulator on a Llama of 110 M parameters (random weights), beside llama.cpp and ONNX Runtime on this machine.

Usage: llama_native.py BIN_DIR [REPEATS [MODEL]]   (default 5 Llama-110M). Needs node, /usr/bin/python3 with onnx and numpy, and of the peers
  llama.cpp     npm i node-llama-cpp in a folder that $LLAMA_NODE_DIR names (default models/cache/llama); its prebuilt library is used
  ONNX Runtime  npm i onnxruntime-node in $ORT_NODE_DIR (default models/cache/oracle; test/e2e/fetch_oracle.sh)
A peer that is missing is told and left out; exit 77 when both are, or node.

The same weights go to all: models/zoo writes the model once in float32 (for ahm-compile, and for gguf.py, which writes llama.cpp's Q8_0 and Q4_0) and in
onnxruntime-genai's style in blocks of 32 at 8 and 4 bits (accuracy_level 4: integer products, the fastest that ONNX Runtime has). One thread each. All
take turns in every repeat, so that a busy machine slows all; each figure is the median over repeats of a repeat's median. Decode is measured behind a
prompt of 8 ids and behind one of 512; prefill is the latter. A peer's first turn is left out (its memory is still cold; ahm-run has a prefill call
before). On a machine with two free cores the last lines are AHM's with two threads.
"""
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

import onnx

import gguf

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ROOT / "test/bench"
PEERS = {"llama.cpp": ("LLAMA_NODE_DIR", ROOT / "models/cache/llama", "node_modules/node-llama-cpp"),
         "ONNX Runtime": ("ORT_NODE_DIR", ROOT / "models/cache/oracle", "node_modules/onnxruntime-node")}
SHORT, LONG = 8, 512
STEPS = {SHORT: 48, LONG: 24}


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Peer:
    """A process that answers a line with a line; see llama_cpp.mjs."""
    def __init__(self, script, model, environment):
        self.child = subprocess.Popen(["node", BENCH / script, model, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      env={**os.environ, **environment, "OMP_NUM_THREADS": "1"})
        self.read()

    def read(self):
        for line in self.child.stdout:
            if line.startswith("{"):
                return json.loads(line)
        sys.exit(f"a peer ended: {self.child.args[1].name}")

    def measure(self, prompt):
        self.child.stdin.write(json.dumps({"prompt": prompt, "generate": STEPS[len(prompt)]}) + "\n")
        self.child.stdin.flush()
        answer = self.read()
        return answer["ids"], answer["prefill"], statistics.median(answer["steps"])


class Ours:
    def __init__(self, tools, program, *options):
        self.tools, self.program, self.options = tools, program, options or ("--timing=off", "--threads=1")

    def measure(self, prompt):
        metrics = self.program.with_suffix(".json")
        out = run(self.tools / "ahm-run", self.program, f"--prompt-ids={','.join(map(str, prompt))}", f"--generate={STEPS[len(prompt)]}", "--ignore-eos",
                  "--print-ids", f"--metrics={metrics}", *self.options)
        calls = json.loads(metrics.read_text())["calls"]
        seconds = lambda ending: [call["wall_seconds"] for call in calls if call["entry"].endswith(ending)]
        return [int(i) for i in out.split()[0].split(",")], sum(seconds("prefill")), statistics.median(seconds("decode"))


def accurate(folder):
    """A copy of a quantised model beside it, whose products are of integers."""
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    for node in model.graph.node:
        if node.op_type == "MatMulNBits" and not any(a.name == "accuracy_level" for a in node.attribute):
            node.attribute.append(onnx.helper.make_attribute("accuracy_level", 4))
    (folder / "level4.onnx").write_bytes(model.SerializeToString())
    return folder / "level4.onnx"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    tools = pathlib.Path(sys.argv[1]).resolve()
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    model = sys.argv[3] if len(sys.argv) > 3 else "Llama-110M"
    environment, present = {}, []
    for name, (variable, default, package) in PEERS.items():
        folder = pathlib.Path(os.environ.get(variable, default)).resolve()
        environment[variable] = str(folder)
        if (folder / package).exists() and shutil.which("node"):
            present.append(name)
        else:
            print(f"left out: {name} ({package} is not in {folder}, or node is missing)")
    if not present:
        print("skipped: no peer is at hand")
        sys.exit(77)
    vocabulary = None
    with tempfile.TemporaryDirectory(prefix="ahm-bench-") as scratch:
        work = pathlib.Path(scratch)
        zoo = lambda folder, *options: run(ROOT / "models/zoo", model, "--weights=random", f"--out={work / folder}", *options)
        zoo("float")
        vocabulary = json.loads((work / "float/config.json").read_text())["vocab_size"]
        contestants = {}
        for bits in (8, 4):
            program = work / f"mxint{bits}.ahm"
            run(tools / "ahm-compile", work / "float/model.onnx", "-o", program, f"--weights=mxint{bits}", f"--prefill-chunk={LONG}")
            contestants[f"AHM mxint{bits}"] = Ours(tools, program)
            contestants[f"AHM mxint{bits}, timing too"] = Ours(tools, program, "--threads=1")
            if "llama.cpp" in present:
                gguf.write(work / "float", work / f"q{bits}_0.gguf", f"q{bits}_0")
                contestants[f"llama.cpp q{bits}_0"] = Peer("llama_cpp.mjs", work / f"q{bits}_0.gguf", environment)
            if "ONNX Runtime" in present:
                zoo(f"genai{bits}", "--style=genai", f"--weights-bits={bits}")
                contestants[f"ONNX Runtime {bits} bits"] = Peer("llama_ort.mjs", accurate(work / f"genai{bits}"), environment)
        if len(os.sched_getaffinity(0)) > 1:
            contestants["AHM mxint8, two threads"] = Ours(tools, work / "mxint8.ahm", "--timing=off", "--threads=2")
        draw = random.Random(1)
        prompts = {n: [draw.randrange(vocabulary) for _ in range(n)] for n in (SHORT, LONG)}
        figures, ids = {name: {"prefill": [], SHORT: [], LONG: []} for name in contestants}, {}
        for peer in contestants.values():
            if isinstance(peer, Peer):
                peer.measure(prompts[SHORT])
        for _ in range(repeats):
            for name, contestant in contestants.items():
                for n, prompt in prompts.items():
                    ids[name, n], prefill, step = contestant.measure(prompt)
                    figures[name][n].append(step)
                    if n == LONG:
                        figures[name]["prefill"].append(prefill)
        for peer in contestants.values():
            if isinstance(peer, Peer):
                peer.child.stdin.close()
                peer.child.wait()
    mid = {name: {key: statistics.median(values) for key, values in rows.items()} for name, rows in figures.items()}
    print(f"{model}, {repeats} interleaved repeats, one thread, load average {os.getloadavg()[0]:.2f}; median (least)")
    print(f"  {'':28} {f'prefill {LONG}':>20}   {f'decode behind {SHORT}':>20}   {f'behind {LONG}':>20}")
    for name, rows in figures.items():
        cells = [f"{statistics.median(v) * 1e3:9.2f} ({min(v) * 1e3:.2f}) ms" for v in rows.values()]
        print(f"  {name:28} " + "   ".join(f"{cell:>20}" for cell in cells))
    print("tokens a second, as a multiple of the peer's")
    for bits in (8, 4):
        ours = f"AHM mxint{bits}"
        for peer in [name for name in mid if name in (f"llama.cpp q{bits}_0", f"ONNX Runtime {bits} bits")]:
            same = ids[ours, SHORT][0] == ids[peer, SHORT][0]
            print(f"  {ours} to {peer}: " + ", ".join(f"{title} {mid[peer][key] / mid[ours][key]:.2f}" for title, key in
                  (("prefill", "prefill"), (f"decode {SHORT}", SHORT), (f"decode {LONG}", LONG))) + f"; {'same' if same else 'another'} first id")
        both = f"{ours}, timing too"
        print(f"  {both}, to functional alone: " + ", ".join(f"{key} {mid[both][key] / mid[ours][key] - 1:+.1%} time" for key in mid[ours]))
    if "AHM mxint8, two threads" in mid:
        two, same = "AHM mxint8, two threads", ids["AHM mxint8", LONG] == ids["AHM mxint8, two threads", LONG]
        print(f"  two threads to one: " + ", ".join(f"{key} {mid['AHM mxint8'][key] / mid[two][key]:.2f}" for key in mid[two]) + f"; {'same' if same else 'DIFFERENT'} ids")


main()
