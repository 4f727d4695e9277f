"""Drives ahm-lsp-server as an editor does: it must know AHM's dialects, report their verifiers' errors where they stand, and explain an op.

Usage: lsp.py BIN_DIR. Exit 0 passed, 1 failed.
"""
import json
import pathlib
import queue
import subprocess
import sys
import threading

BIN = pathlib.Path(sys.argv[1]).resolve()
PATIENCE = 120  # seconds until a missing answer is a failure

GOOD = """module {
  nn.weight @w : tensor<96x64xf32> from tensor<96x64xf32> in "" at 0 size 24576 recipe [] {format = "mxint8"}
  func.func @main(%x: tensor<4x96xf32>) -> tensor<4x64xf32> {
    %y = nn.linear %x, @w : tensor<4x96xf32> -> tensor<4x64xf32>
    return %y : tensor<4x64xf32>
  }
}
"""
# Both parse; the dialects' verifiers refuse them.
BAD_NN = """func.func @kind(%x: tensor<4xf32>) {
  %0 = nn.unary "neg" %x : tensor<4xf32> -> tensor<4xf32>
  %1 = nn.unary "negate" %0 : tensor<4xf32> -> tensor<4xf32>
  return
}
"""
BAD_HMEM = """func.func @view(%x: memref<64xi8, #hmem.tier<stash>>) {
  hmem.exec "Fill"(%x : memref<64xi8, #hmem.tier<stash>>) ins [] outs [#hmem.view<"f32", 0, affine_map<() -> (20)>>]
  return
}
"""


class Editor:
    def __init__(self):
        self.server = subprocess.Popen([str(BIN / "ahm-lsp-server")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.messages, self.last = queue.Queue(), 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            length = None
            while (line := self.server.stdout.readline().strip()):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if length is None:
                break
            self.messages.put(json.loads(self.server.stdout.read(length)))
        self.messages.put(None)

    def send(self, method, params, request=False):
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        if request:
            self.last += 1
            message["id"] = self.last
        body = json.dumps(message).encode()
        self.server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.server.stdin.flush()

    def expect(self, wanted, what):
        """The next message that `wanted` takes."""
        while True:
            try:
                message = self.messages.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"no {what} within {PATIENCE} s")
            assert message is not None, f"the server ended before it sent {what}"
            if wanted(message):
                return message

    def ask(self, method, params):
        self.send(method, params, request=True)
        answer = self.expect(lambda m: m.get("id") == self.last, f"an answer to {method}")
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, name, text):
        """Opens a document; its diagnostics."""
        uri = f"file:///nowhere/{name}.mlir"
        self.send("textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": "mlir", "version": 1, "text": text}})
        return uri, self.expect(lambda m: m.get("method") == "textDocument/publishDiagnostics" and m["params"]["uri"] == uri, f"diagnostics of {name}")["params"]["diagnostics"]


def main():
    editor = Editor()
    capabilities = editor.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {}})["capabilities"]
    assert capabilities.get("hoverProvider"), capabilities
    editor.send("initialized", {})

    uri, diagnostics = editor.open("good", GOOD)
    assert diagnostics == [], diagnostics
    line = GOOD.split("\n")[3]
    hover = editor.ask("textDocument/hover", {"textDocument": {"uri": uri}, "position": {"line": 3, "character": line.index("nn.linear") + 4}})
    assert "nn.linear" in hover["contents"]["value"], hover
    definition = editor.ask("textDocument/definition", {"textDocument": {"uri": uri}, "position": {"line": 3, "character": line.index("%x") + 1}})
    assert definition and definition[0]["range"]["start"]["line"] == 2, definition

    for name, text, at, words in (("bad_nn", BAD_NN, 2, "unknown kind 'negate'"), ("bad_hmem", BAD_HMEM, 1, "views 80 bytes of a buffer of 64")):
        _, diagnostics = editor.open(name, text)
        errors = [d for d in diagnostics if d.get("severity") == 1]
        assert errors and errors[0]["range"]["start"]["line"] == at and words in errors[0]["message"], (name, diagnostics)

    editor.ask("shutdown", None)
    editor.send("exit", None)
    assert editor.server.wait(timeout=PATIENCE) == 0, f"exit status {editor.server.returncode}"
    print("ok   ahm-lsp-server: diagnostics, hover, definition")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        print(f"FAIL {error}")
        sys.exit(1)
