"""The page and the trace that a run writes: well-formed, complete, and in agreement with the metrics.

Usage: report.py BIN_DIR [FILTER]. Needs python3-onnx (the zoo's). Where chromium is at hand the page is also drawn, light and dark, 1280 wide; the
pictures land in $AHM_REPORT_PICTURES when that is set. Exit 0 passed, 1 failed, 77 skipped.
"""
import html.parser
import json
import os
import pathlib
import shutil
import subprocess
import sys

from harness import ROOT, WORK, finish, run, test
from zoomodels import onnx, write_model

page, trace, metrics, program = WORK / "run.html", WORK / "run.json", WORK / "metrics.json", WORK / "p.ahm"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(html.parser.HTMLParser):
    """Balance of the tags that must be closed, titles of drawn marks, references."""
    CLOSED = {"html", "body", "main", "table", "svg", "details", "summary", "div", "title", "style", "rect", "h1", "h2", "h3", "p", "circle"}

    def __init__(self):
        super().__init__()
        self.open, self.marks, self.references, self.headings, self.names = [], 0, [], [], []

    def handle_starttag(self, tag, attributes):
        if tag in self.CLOSED:
            self.open.append(tag)
        self.marks += tag in ("rect", "circle")
        self.references += [v for k, v in attributes if k in ("src", "href", "xlink:href")]
        assert tag not in ("script", "iframe", "link", "img"), tag

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag in self.CLOSED:
            assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h2", "h3"):
            self.headings.append(data)
        if self.open[-2:] in (["rect", "title"], ["circle", "title"]):
            self.names.append(data)


@test("report.run")
def _():
    write_model(WORK / "model", "smollm2-135m", "--scale=tiny", "--layers=12", "--hidden=192")
    run("ahm-compile", WORK / "model/model.onnx", "-o", program, "--target=test-tiny")
    run("ahm-run", program, "--prompt-ids=1,2,3,4,5", "--generate=12", "--ignore-eos", f"--report={page}", f"--trace={trace}", f"--metrics={metrics}")


@test("report.page")
def _():
    text = page.read_text()
    parsed = Page()
    parsed.feed(text)
    parsed.close()
    assert not parsed.open and not parsed.references and "http" not in text.replace("http-equiv", ""), (parsed.open, parsed.references)
    for heading in ("Latency", "prefill", "decode", "What works when", "By layer", "Roofline", "KV cache", "Bytes moved", "Energy", "Placement", "Calls",
                    "What limited it", "Runs that differ", "Decisions about weights"):
        assert heading in parsed.headings, heading
    weights = [i.name for i in onnx.load(str(WORK / "model/model.onnx"), load_external_data=False).graph.initializer]
    assert sum(w in text for w in weights) > 20 and "SRAM is full" in text and "the bound" in text, "placement's reasons"
    assert parsed.marks > 100 and len(parsed.names) > 100
    nodes = {n.name for n in onnx.load(str(WORK / "model/model.onnx"), load_external_data=False).graph.node}
    named = sum(any(node in name for node in nodes) for name in parsed.names)
    assert named > 50, f"{named} of {len(parsed.names)} marks name an ONNX node"
    assert "nan" not in text.lower().replace("nanos", "") and "inf" not in [w.strip('"') for w in text.split()]


@test("report.trace")
def _():
    events = json.loads(trace.read_text())["traceEvents"]
    last = json.loads(metrics.read_text())["calls"][-1]
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    latency = last["latency_ps"] * 1e-6
    slices = [e for e in events if e["ph"] == "X"]
    busy = {e["args"]["name"]: e["args"]["utilization_percent"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    for name, part in last["utilization"].items():
        assert abs(busy[name] / 100 - part) < 1e-4, (name, busy[name], part)
    assert all(any(s["tid"] == tid for s in slices) for tid, name in tracks.items() if busy[name]), busy
    assert {"arrays", "vector", "dram.0", "queue dma", "queue gemm"} <= set(tracks.values()) and all(e["tid"] in tracks for e in slices)
    # Behind the results only what the next call reads first still comes.
    assert all(0 <= e["ts"] and (e["ts"] + e["dur"] <= latency + 1e-5 or e["name"] == "DmaTiles") for e in slices)
    starts, ends = ({e["id"]: e for e in events if e["ph"] == phase} for phase in "sf")
    assert starts and starts.keys() == ends.keys() and all(starts[i]["ts"] <= ends[i]["ts"] for i in starts)
    for end in (*starts.values(), *ends.values()):  # an arrow ends in a slice
        assert any(s["tid"] == end["tid"] and s["ts"] <= end["ts"] <= s["ts"] + s["dur"] for s in slices), end
    curves = {}
    for e in events:
        if e["ph"] == "C":
            curves.setdefault(e["name"], []).append((e["ts"], e["args"]["value"]))
    assert set(curves) == {"SRAM held (MB)", "stash held (MB)", "DRAM (GB/s)", "power (W)"}, set(curves)
    area = lambda c: sum(v * (after - t) for (t, v), (after, _) in zip(c, c[1:]))
    moved = sum(last["bytes"]["dram"].values())
    assert abs(area(curves["DRAM (GB/s)"]) * 1e3 / moved - 1) < 0.01, (area(curves["DRAM (GB/s)"]) * 1e3, moved)
    assert abs(area(curves["power (W)"]) * 1e6 / last["energy_pj"]["nominal"] - 1) < 0.01
    assert max(v for _, v in curves["SRAM held (MB)"]) > 0


@test("report.pictures", pathlib.Path(CHROMIUM or "chromium"))
def _():
    folder = pathlib.Path(os.environ.get("AHM_REPORT_PICTURES", WORK))
    sizes = {}
    for name, scheme in (("light", 1), ("dark", 0)):
        picture = folder / f"report-{name}.png"
        subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--blink-settings=preferredColorScheme={scheme}",
                        "--window-size=1280,2400", f"--user-data-dir={WORK / 'browser'}", f"--screenshot={picture}", str(page)], check=True,
                       capture_output=True, timeout=300)
        sizes[name] = picture.read_bytes()
        assert sizes[name][:8] == b"\x89PNG\r\n\x1a\n" and len(sizes[name]) > 50000, name
    assert sizes["light"] != sizes["dark"]


finish()
