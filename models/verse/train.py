#!/usr/bin/env python3
"""Trains the model `Verse-1M` and its tokenizer, and writes weights.npz, tokenizer.json and held_out.txt here.

  apt-get install bible-kjv bible-kjv-text python3-torch libopenblas0-pthread
  models/verse/train.py [--minutes=M] [--threads=N]

The text is the King James Bible as Debian's bible-kjv-text has it (public domain). A document is a chapter, a verse a line, without
the references; each twentieth chapter is held out. The model is Qwen3's architecture at the size that models/zoo's catalogue states.
Another machine or another time limit gives another model; the files here are one run's.
"""
import argparse
import math
import os
import re
import subprocess
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bpe import Bpe

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from zoo_onnx import catalogue  # noqa: E402

MODEL = catalogue.find("Verse-1M")


def chapters():
    text = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, check=True).stdout.decode("latin-1")
    found, last = [], None
    for verse in re.finditer(r"^(\S+?\d+):\d+ (.*)$", text, re.M):
        if verse[1] != last:
            found.append([])
        last = verse[1]
        found[-1].append(" ".join(verse[2].split()))
    return ["\n".join(c) + "\n" for c in found]


def norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + MODEL.eps) * weight


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        m, d = MODEL, MODEL.head_dim
        def matrix(k, n):
            return nn.Parameter(torch.randn(k, n) * k ** -0.5 * 0.7)
        self.parts = nn.ParameterDict({
            "q": matrix(m.hidden, m.heads * d), "k": matrix(m.hidden, m.kv_heads * d), "v": matrix(m.hidden, m.kv_heads * d),
            "o": matrix(m.heads * d, m.hidden), "gate": matrix(m.hidden, m.ffn), "up": matrix(m.hidden, m.ffn), "down": matrix(m.ffn, m.hidden),
            "q_norm": nn.Parameter(torch.ones(d)), "k_norm": nn.Parameter(torch.ones(d)),
            "before": nn.Parameter(torch.ones(m.hidden)), "between": nn.Parameter(torch.ones(m.hidden))})

    def forward(self, x, cos, sin, mask):
        p, m, (batch, length, _) = self.parts, MODEL, x.shape
        h = norm(x, p["before"])
        q, k, v = ((h @ p[w]).view(batch, length, n, m.head_dim) for w, n in (("q", m.heads), ("k", m.kv_heads), ("v", m.kv_heads)))
        q, k = norm(q, p["q_norm"]).transpose(1, 2), norm(k, p["k_norm"]).transpose(1, 2)
        q, k = (torch.cat([a * cos - b * sin, b * cos + a * sin], -1) for a, b in (q.chunk(2, -1), k.chunk(2, -1)))
        k, v = (t.repeat_interleave(m.heads // m.kv_heads, 1) for t in (k, v.transpose(1, 2)))
        weights = (q @ k.transpose(2, 3) * m.head_dim ** -0.5 + mask).softmax(-1)
        x = x + (weights @ v).transpose(1, 2).reshape(batch, length, -1) @ p["o"]
        h = norm(x, p["between"])
        return x + (F.silu(h @ p["gate"]) * (h @ p["up"])) @ p["down"]

    NAMES = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj", "gate": "mlp.gate_proj",
             "up": "mlp.up_proj", "down": "mlp.down_proj", "q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm",
             "before": "input_layernorm", "between": "post_attention_layernorm"}


class Verse(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(MODEL.vocab, MODEL.hidden) * 0.05)
        self.layers = nn.ModuleList(Layer() for _ in range(MODEL.layers))
        self.norm = nn.Parameter(torch.ones(MODEL.hidden))

    def forward(self, ids):
        length, half = ids.shape[1], MODEL.head_dim // 2
        angles = torch.outer(torch.arange(length), MODEL.theta ** (-torch.arange(half) / half))
        mask = torch.full((length, length), -math.inf).triu(1)
        x = self.table[ids]
        for layer in self.layers:
            x = layer(x, angles.cos(), angles.sin(), mask)
        return norm(x, self.norm) @ self.table.T

    def save(self, path):
        """float16, linear weights [in, out], named as in the published checkpoints of the architecture."""
        arrays = {"model.embed_tokens.weight": self.table, "model.norm.weight": self.norm}
        for i, layer in enumerate(self.layers):
            for part, weight in layer.parts.items():
                arrays[f"model.layers.{i}.{Layer.NAMES[part]}.weight"] = weight
        np.savez(path, **{n: w.detach().numpy().astype(np.float16) for n, w in arrays.items()})


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--minutes", type=float, default=12, help="of training (default 12)")
    a.add_argument("--threads", type=int, default=os.cpu_count())
    a = a.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(a.threads)
    documents = chapters()
    held = documents[7::20]
    rest = [d for i, d in enumerate(documents) if i % 20 != 7]
    tokenizer = Bpe.learn("".join(rest), MODEL.vocab)
    tokenizer.save(os.path.join(HERE, "tokenizer.json"))
    with open(os.path.join(HERE, "held_out.txt"), "w") as file:
        file.write("\n".join(held[:24]))
    ids = torch.tensor([t for d in rest for t in [0, *tokenizer.encode(d)]])
    test = torch.tensor([t for d in held for t in [0, *tokenizer.encode(d)]])
    model, length, batch = Verse(), 256, 8
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(ids):,} tokens", flush=True)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], lr=1, betas=(0.9, 0.95))
    begin, step, progress = time.process_time(), 0, 0.0
    while progress < 1:
        progress = min(1, (time.process_time() - begin) / (60 * a.minutes * a.threads))
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * min(1, (step + 1) / 100) * (0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * progress)))
        starts = torch.randint(len(ids) - length - 1, (batch,))
        rows = torch.stack([ids[s:s + length + 1] for s in starts])
        loss = F.cross_entropy(model(rows[:, :-1]).reshape(-1, MODEL.vocab), rows[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0 or progress == 1:
            with torch.no_grad():
                windows = test[:len(test) // (length + 1) * (length + 1)].view(-1, length + 1)[:32]
                held_loss = F.cross_entropy(model(windows[:, :-1]).reshape(-1, MODEL.vocab), windows[:, 1:].reshape(-1))
            print(f"step {step}, {100 * progress:.0f} %: loss {loss:.3f}, held out {held_loss:.3f}", flush=True)
    model.save(os.path.join(HERE, "weights.npz"))


if __name__ == "__main__":
    main()
