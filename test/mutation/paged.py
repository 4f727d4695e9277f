"""A model and a card on which its caches stand in pages: some at home in SRAM, the others in DRAM, and attention runs in pieces.

Usage: paged.py DIR   writes DIR/decoder.onnx and DIR/paged.yaml.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from decoder import SMALL, card, decoder

folder = pathlib.Path(sys.argv[1])
decoder(folder / "decoder.onnx")
card(folder / "paged.yaml", **SMALL, sram_per_core="40 KiB", stash_per_quad="160 KiB")
