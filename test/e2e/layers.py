"""ahm-run --compare-layers: which node loses accuracy in which format. Usage: layers.py BIN_DIR [FILTER]. Models of models/zoo."""
import json
import subprocess

from harness import ROOT, WORK, finish, run, test


def model(words):
    out = WORK / words.replace(" ", "_").replace("--", "")
    if not out.exists():
        subprocess.run([str(ROOT / "models/zoo"), *words.split(), f"--out={out}"], check=True, capture_output=True)
    return out


def compiled(words, name, *options):
    program = WORK / f"{name}.ahm"
    run("ahm-compile", model(words) / "model.onnx", "-o", program, "--prefill-chunk=16", *options)
    return program


def layers(program, reference, *request):
    metrics = WORK / "layers.json"
    out = run("ahm-run", program, f"--compare-layers={reference}", *request, f"--metrics={metrics}").stdout
    return json.loads(metrics.read_text()), out


DECODER = "smollm2-135m --scale=tiny --style=optimum"
PROMPT = ("--prompt-ids=" + ",".join(str(3 * i + 5) for i in range(24)), "--generate=4", "--ignore-eos")
NODE = "/model/layers.1/mlp/MatMul_2"


@test("a program beside itself differs nowhere")
def _():
    program = compiled(DECODER, "same", "--weights=mxint8")
    found, text = layers(program, program, *PROMPT)
    assert len(found["layers"]) > 40 and not found["unmatched"] and len(found["ids"]) == 4, (len(found["layers"]), found["unmatched"], found["ids"])
    for layer in found["layers"]:
        assert layer["accumulated"] == layer["isolated"] == layer["worst_row"] == 0 and layer["cosine"] == 1, layer
    entries = {layer["entry"] for layer in found["layers"]}
    assert entries == {"prefill", "decode"}, entries
    assert NODE in text, text


@test("one product in another format is found: what is before it differs nowhere, what is behind it not by itself")
def _():
    reference = compiled(DECODER, "reference", "--weights=mxint8")
    program = compiled(DECODER, "mixed", f"--weights=mxint8,{NODE}=mxint4")
    found, text = layers(program, reference, *PROMPT)
    # The one product, in both entries; the other nodes have lost something only through it, and only in its layer and behind.
    alone = [layer for layer in found["layers"] if layer["isolated"] > 0]
    assert {layer["node"] for layer in alone} == {NODE}, [layer["node"] for layer in alone]
    for layer in alone:
        assert layer["weights"] == "mxint4" and layer["reference_weights"] == "mxint8", layer
        assert 0.01 < layer["isolated"] < 0.5, layer
    for entry in ("prefill", "decode"):
        order = [layer for layer in found["layers"] if layer["entry"] == entry]
        at = next(i for i, layer in enumerate(order) if layer["node"] == NODE)
        assert entry == "decode" or all(layer["accumulated"] == 0 for layer in order[:at]), "the first prefill call meets nothing lost before"
        logits = order[-1]
        assert logits["accumulated"] > 0 and logits["isolated"] == 0 and logits["cosine"] < 1, logits
    assert text.split("most lost in a node alone\n")[1].splitlines()[0].split()[-2] == NODE


@test("fewer bits lose more in every product")
def _():
    reference = compiled(DECODER, "wide", "--weights=mxint16")
    found = {bits: layers(compiled(DECODER, f"all{bits}", f"--weights=mxint{bits}"), reference, *PROMPT)[0]["layers"] for bits in (4, 8)}
    products = {bits: {(l["entry"], l["node"]): l["isolated"] for l in found[bits] if l["weights"]} for bits in found}
    assert len(products[8]) > 20 and products[4].keys() == products[8].keys()
    for node, error in products[8].items():
        assert 0 < error < 0.05 and products[4][node] > 3 * error, (node, error, products[4][node])


@test("what cannot be compared is said")
def _():
    program = compiled(DECODER, "same", "--weights=mxint8")
    other = WORK / "gpt2.ahm"
    run("ahm-compile", model("gpt-2 --scale=tiny") / "model.onnx", "-o", other)
    found, text = layers(program, other, *PROMPT)
    assert len(found["unmatched"]) > 20 and f"{len(found['unmatched'])} nodes without a counterpart" in text, text
    refused = run("ahm-run", program, f"--compare-layers={program}", *PROMPT, "--functional=off", status=2)
    assert "--functional=on" in refused.stderr, refused.stderr
    refused = run("ahm-run", program, "--compare-layers=absent.ahm", *PROMPT, status=1)
    assert "absent.ahm" in refused.stderr, refused.stderr


finish()
