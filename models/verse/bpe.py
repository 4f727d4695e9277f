"""Byte-level byte-pair encoding: learns merges from a text, encodes with them, and writes Hugging Face's tokenizer.json.

A text is cut into words as GPT-2 cuts it (for ASCII letters; other bytes count as punctuation), a word is a sequence of bytes, and
merges join the most frequent neighbours, ties in the order of the ids. Deterministic.
"""
import collections
import json
import re

WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")
END = "<|endoftext|>"


def printable():
    """A visible character for each byte, as GPT-2 has them: printable Latin-1 is itself, the others follow from U+0100 on."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {b: chr(b) for b in own}, 0
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + extra)
            extra += 1
    return table


class Bpe:
    """Token 0 ends a text, 1 to 256 are the bytes, then one token a merge."""

    def __init__(self, merges=()):
        self.merges = list(merges)
        self.rank = {pair: i for i, pair in enumerate(self.merges)}
        self.known = {}

    @staticmethod
    def learn(text, vocabulary):
        words = collections.Counter(WORDS.findall(text))
        pieces = [([1 + b for b in w.encode()], n) for w, n in sorted(words.items())]
        merges = []
        while 257 + len(merges) < vocabulary:
            pairs = collections.Counter()
            for piece, n in pieces:
                for pair in zip(piece, piece[1:]):
                    pairs[pair] += n
            if not pairs:
                break
            best = min(pairs, key=lambda p: (-pairs[p], p))
            for piece, _ in pieces:
                Bpe.join(piece, best, 257 + len(merges))
            merges.append(best)
        return Bpe(merges)

    @staticmethod
    def join(piece, pair, token):
        i = 0
        while i + 1 < len(piece):
            if (piece[i], piece[i + 1]) == pair:
                piece[i:i + 2] = [token]
            i += 1

    def word(self, word):
        if word not in self.known:
            piece = [1 + b for b in word.encode()]
            while True:
                ranks = [self.rank.get(p, len(self.merges)) for p in zip(piece, piece[1:])]
                if not ranks or min(ranks) == len(self.merges):
                    break
                self.join(piece, self.merges[min(ranks)], 257 + min(ranks))
            self.known[word] = piece
        return self.known[word]

    def encode(self, text):
        return [t for w in WORDS.findall(text) for t in self.word(w)]

    def save(self, path):
        letters = printable()
        names = [END] + [letters[b] for b in range(256)]
        for left, right in self.merges:
            names.append(names[left] + names[right])
        added = {"id": 0, "content": END, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        content = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [added], "normalizer": None,
                   "pre_tokenizer": level, "post_processor": None, "decoder": level,
                   "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                             "fuse_unk": False, "byte_fallback": False, "vocab": {n: i for i, n in enumerate(names)},
                             "merges": [f"{names[a]} {names[b]}" for a, b in self.merges]}}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, separators=(",", ":"))
            file.write("\n")
