"""Three counts of every call: in the kernels, from the commands, and derived from the ONNX graph and the formats (graphcount.py).

Usage: counts.py BIN_DIR [FILTER]. Compares MACs, and bytes by class, tier and direction, operation by operation; what the program states as padding
or as read again is taken off before. Models: models/cache/moonshine (models/fetch_moonshine.sh) and, where it stands beside the project,
../shared/assets/kjv-llama. Exit 0 passed, 1 failed, 77 nothing could run.
"""
import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import wave

import numpy as np
import onnx

import graphcount
import onnxshapes

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.argv[1]).resolve()
FILTER = sys.argv[2] if len(sys.argv) > 2 else ""
MOONSHINE = ROOT / "models/cache/moonshine"
KJV = ROOT.parent / "shared/assets/kjv-llama"
CLIP = ROOT / "test/e2e/clips/say01.wav"

passed, failed, skipped = [], [], []


def run(tool, *args):
    done = subprocess.run([str(BIN / tool), *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{tool} {' '.join(map(str, args))}\nexit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


# --- What is read from the program: its decisions, not its counts -------------------------------------------------------------

class Listing:
    """options: as compiled. streamed: {entry: {operation: {piece of a weight: its columns}}} of what moves from DRAM to SRAM in a call."""

    def __init__(self, program):
        self.options, self.streamed = {}, collections.defaultdict(lambda: collections.defaultdict(dict))
        entry = None
        for line in run("ahm-inspect", program, "--commands").splitlines():
            if line.startswith("options "):
                self.options = json.loads(line[len("options "):])
            header = re.match(r"entry (\S+):", line)
            entry = header[1] if header else entry
            moved = re.match(r"\s*\d+\s+dma\s+DmaTiles\s+dram:(\S+) tiles_\w+\[\d+x(\d+)\].*\s(\S+)\s*$", line)
            if moved:
                self.streamed[entry][moved[3]][moved[1]] = int(moved[2])

    def loaded(self):
        return {piece for pieces in self.streamed["load"].values() for piece in pieces}

    def columns(self, entry):
        return {operation: sum(pieces.values()) for operation, pieces in self.streamed[entry].items()}


def operations(call):
    """{operation: {command: how many}} in the order of their first command; transfers into SRAM run ahead and do not count."""
    found = {}
    for node in call["nodes"]:
        if node["op"] != "DmaTiles":
            found.setdefault(node["node"], {})[node["op"]] = node["commands"]
    return found


# --- The comparison -----------------------------------------------------------------------------------------------------------

def counted(nodes):
    """A call's counts as the program states them, less padding and what is read again."""
    counts = graphcount.Counts()
    for node in nodes:
        counts.macs[node["node"]] += node["macs"]
        for kind, tiers in node["bytes_by_class"].items():
            for tier, numbers in tiers.items():
                counts.add(node["node"], kind, tier, "read", numbers["read"] - numbers.get("read_padding", 0) - numbers.get("read_again", 0))
                counts.add(node["node"], kind, tier, "written", numbers["written"] - numbers.get("written_padding", 0))
    return counts


def compare(where, call, derived):
    got = counted(call["nodes"])
    wrong = []
    for owner in {**got.macs, **derived.macs}:
        if got.macs[owner] != derived.macs[owner]:
            wrong.append(f"'{owner}': {got.macs[owner]} MACs counted, {derived.macs[owner]} derived from the graph")
    for owner in {**got.bytes, **derived.bytes}:
        for key in {**got.bytes[owner], **derived.bytes[owner]}:
            a, b = got.bytes[owner].get(key, 0), derived.bytes[owner].get(key, 0)
            if a != b:
                kind, tier, direction = key
                wrong.append(f"'{owner}': {kind} {direction} in {tier}: {a} bytes counted less padding, {b} derived from the graph")
    assert not wrong, f"{where}: {len(wrong)} counts differ\n       " + "\n       ".join(wrong[:10])


def consistent(where, call, nodes):
    """The metrics are the sums of the parts; what the kernels counted is what the commands say."""
    for tier, numbers in call["bytes"].items():
        for direction in ("read", "written"):
            parts = sum(kind.get(tier, {}).get(direction, 0) for kind in call["bytes_by_class"].values())
            assert parts == numbers[direction], f"{where}: {tier} {direction}: classes sum up to {parts}, all to {numbers[direction]}"
            single = sum(kind.get(tier, {}).get(direction, 0) for node in nodes["nodes"] for kind in node["bytes_by_class"].values())
            assert single == parts, f"{where}: {tier} {direction}: operations sum up to {single}, classes to {parts}"
    assert call["macs"] == sum(n["macs"] for n in nodes["nodes"]), f"{where}: operations' MACs do not sum up to the call's"
    assert call["executed"]["macs"] == call["macs"], f"{where}: {call['executed']['macs']} MACs executed, {call['macs']} counted"
    assert call["executed"]["bytes"] == call["bytes"], f"{where}: executed {call['executed']['bytes']}, counted {call['bytes']}"


# --- Models -------------------------------------------------------------------------------------------------------------------

class Module:
    """One ONNX file."""

    def __init__(self, path):
        self.path = path
        graph = onnx.load(str(path), load_external_data=False).graph
        self.inputs = {i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.input}
        self.integer = any(n.op_type == "MatMulInteger" for n in onnxshapes.all_nodes(graph))

    def evaluate(self, dims, others, values=None):
        """dims: sizes by dimension name. others: the sizes of another call; what is the same in both, a program may fold."""
        shapes = lambda sizes: {name: [d if isinstance(d, int) else sizes[d] for d in shape] for name, shape in self.inputs.items()}
        return onnxshapes.evaluate(self.path, shapes(dims), values, shapes({**dims, **others}))


class Check:
    """Compares all calls of one run, and keeps what they read, for `load`."""

    def __init__(self, name, program, arguments):
        self.name, self.listing = name, Listing(program)
        metrics, counts = program.with_suffix(".metrics.json"), program.with_suffix(".counts.json")
        run("ahm-run", program, "--print-ids", f"--metrics={metrics}", f"--counts={counts}", *arguments)
        self.calls = list(zip(json.loads(metrics.read_text())["calls"], json.loads(counts.read_text())["calls"]))
        self.tiles, self.tables, self.moved, self.first = {}, {}, {}, {}

    def where(self, call):
        return f"{call['entry']} of {call['tokens']} tokens after {call['context']}"

    def call(self, call, nodes, module, evaluation, logits="own"):
        formats = graphcount.Formats.of_program(self.listing.options, module.integer)
        columns = self.listing.columns(call["entry"])
        derivation = graphcount.Derivation(evaluation, formats, operations(nodes), logits, columns)
        compare(self.where(call), nodes, derivation.run())
        consistent(self.where(call), call, nodes)
        for weight, size in derivation.stationary.items():
            self.tiles[module.path, weight] = size
        for table, size in derivation.tables.items():
            if table not in derivation.stationary or derivation.stationary[table] != size:  # else it is stored once, as both
                self.tables[module.path, table] = size
        for weight, size in derivation.moved.items():
            self.moved[module.path, weight] = size
            pieces = self.listing.streamed[call["entry"]][derivation.reader[weight]]
            loaded = self.listing.loaded()
            if again := sum(columns for piece, columns in pieces.items() if piece in loaded):
                self.first[module.path, weight] = size * again // sum(pieces.values())

    def load(self):
        """Every weight once from the host to DRAM; what does not stream goes on to SRAM, and what calls find in the ring and move again at their end."""
        for call, nodes in self.calls:
            if call["entry"] != "load":
                continue
            consistent("load", call, nodes)
            got = collections.Counter()
            for owner in counted(nodes["nodes"]).bytes.values():
                got.update(owner)
            vectors = got["weights", "stash", "written"]
            tiles, tables, moved, first = (sum(d.values()) for d in (self.tiles, self.tables, self.moved, self.first))
            resident = tiles - moved + first
            for key, number in {("weights", "host", "read"): tiles + tables + vectors, ("weights", "dram", "written"): tiles + tables + vectors,
                                ("weights", "sram", "written"): resident, ("weights", "dram", "read"): resident + vectors}.items():
                assert got[key] == number, f"load: {' '.join(key)}: {got[key]} bytes counted less padding, {number} derived from the graph"


def moonshine(target):
    encoder = Module(MOONSHINE / "encoder_model.onnx")
    decoder = Module(MOONSHINE / "decoder_model_merged.onnx")
    program = WORK / f"moonshine-{target}.ahm"
    run("ahm-compile", encoder.path, decoder.path, "-o", program, f"--target={target}")
    check = Check("moonshine", program, [f"--audio={CLIP}"])
    with wave.open(str(CLIP)) as audio:
        samples = audio.getnframes()
    frames = None
    for call, nodes in check.calls:
        if call["entry"] == "encoder.main":
            evaluation = encoder.evaluate({"batch_size": 1, "num_samples": samples}, {"num_samples": samples + 4000})
            frames = next(iter(evaluation.outputs.values())).shape[1]
            check.call(call, nodes, encoder, evaluation)
        elif call["entry"].startswith("decoder."):
            cached = call["entry"] == "decoder.decode"
            dims = {"batch_size": 1, "decoder_sequence_length": 1, "encoder_sequence_length": frames,
                    "encoder_sequence_length_out": frames if cached else 0, "past_decoder_sequence_length": call["context"]}
            others = {name: size + 1 for name, size in dims.items() if name not in ("batch_size", "decoder_sequence_length")}
            evaluation = decoder.evaluate(dims, others, {"use_cache_branch": np.array([cached])})
            check.call(call, nodes, decoder, evaluation)
    assert {"load", "encoder.main", "decoder.prefill", "decoder.decode"} <= {c["entry"] for c, _ in check.calls}
    check.load()


def kjv(target, *options, model="model_optimum.onnx"):
    module = Module(KJV / model)
    program = WORK / f"kjv-{target}{''.join(options)}.ahm"
    run("ahm-compile", module.path, "-o", program, f"--target={target}", *options)
    check = Check("kjv", program, ["--prompt-ids=" + ",".join(str(i) for i in range(1, 71)), "--generate=4", "--ignore-eos"])
    for call, nodes in check.calls:
        if call["entry"] == "load":
            continue
        tokens, past = call["tokens"], call["context"]
        prefill = call["entry"] == "prefill"
        sizes = lambda tokens, past: {"batch_size": 1, "sequence_length": tokens, "past_sequence_length": past, "total_sequence_length": past + tokens}
        evaluation = module.evaluate(sizes(tokens, past), sizes(tokens + prefill, past + 1))
        check.call(call, nodes, module, evaluation, check.listing.options["prefill_logits"] if prefill else "own")
    assert sum(c["entry"] == "prefill" for c, _ in check.calls) > 1 and sum(c["entry"] == "decode" for c, _ in check.calls) > 1
    check.load()


def test(name, needs, body, *arguments):
    if FILTER and FILTER not in name:
        return
    if not needs.exists():
        skipped.append(name)
        print(f"SKIP {name}: {needs.name} is not at hand", flush=True)
        return
    try:
        body(*arguments)
        passed.append(name)
        print(f"ok   {name}", flush=True)
    except Exception as error:  # the next test still runs
        failed.append(name)
        print(f"FAIL {name}\n     {type(error).__name__}: {error}", flush=True)


with tempfile.TemporaryDirectory(prefix="ahm-counts-") as folder:
    WORK = pathlib.Path(folder)
    for target in ("corsair", "test-small", "test-tiny"):
        test(f"counts.moonshine.{target}", MOONSHINE, moonshine, target)
    for target in ("corsair", "kjv-half", "kjv-quarter"):
        test(f"counts.kjv.{target}", KJV, kjv, target, "--weights=mxint16")
    for target in ("corsair", "kjv-quarter"):
        test(f"counts.kjv.mxint8.{target}", KJV, kjv, target, "--weights=mxint8", "--prefill-chunk=16")
    test("counts.kjv.formats", KJV, kjv, "kjv-quarter", "--weights=mxint4", "--activations=mxint16", "--kv=mxint8")
    for weights in ("mxfp8", "mxfp6", "mxfp4"):
        test(f"counts.kjv.{weights}", KJV, kjv, "kjv-quarter", f"--weights={weights}")
    test("counts.kjv.all-logits", KJV, kjv, "corsair", "--weights=mxint16", "--prefill-logits=all")

print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
sys.exit(1 if failed else 77 if not passed else 0)
