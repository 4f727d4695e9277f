// Hugging Face tokenizer.json: byte-level BPE (GPT-2's pre-tokeniser) and the sentencepiece-like form (Llama: U+2581
// for blanks, <0xNN> byte fallback).
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace ahm::session {

class Tokenizer {
public:
  /// Error opens with the path.
  bool load(const std::string &path, std::string &error);
  bool parse(const std::string &json, const std::string &name, std::string &error);

  /// Added tokens that stand in the text literally are taken as such; no start id is put in front.
  bool encode(const std::string &text, std::vector<int64_t> &ids, std::string &error) const;
  /// Special tokens are skipped, unknown ids too.
  std::string decode(const std::vector<int64_t> &ids) const;
  /// -1 when the token does not exist.
  int64_t id(const std::string &token) const;

private:
  bool encodePiece(const std::string &piece, std::vector<int64_t> &ids, std::string &error) const;
  bool encodeText(const std::string &text, std::vector<int64_t> &ids, std::string &error) const;

  bool byteLevel = false;
  bool ignoreMerges = false;
  int64_t unknown = -1;
  std::unordered_map<std::string, int64_t> vocabulary;
  std::unordered_map<int64_t, std::string> tokens;
  std::unordered_map<std::string, int64_t> merges;    // "left right" to rank
  std::vector<std::pair<std::string, int64_t>> added; // longest first
  std::unordered_map<int64_t, bool> special;
};

} // namespace ahm::session
