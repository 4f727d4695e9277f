"""Models of models/zoo for the end-to-end tests; a script that imports it is skipped (exit 77) where python3-onnx is missing."""
import contextlib
import io
import sys

from harness import ROOT

try:
    import onnx  # noqa: F401  (the zoo's)
except ModuleNotFoundError:
    print("SKIP: Python module onnx is missing")
    sys.exit(77)
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "models"))
from zoo_onnx import cli  # noqa: E402


def write_model(folder, *words):
    """Writes the model that `models/zoo WORDS` writes, without its line; the folder."""
    with contextlib.redirect_stdout(io.StringIO()):
        cli.run([*words, f"--out={folder}"])
    return folder
