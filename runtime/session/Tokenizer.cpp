// Byte-pair encoding from tokenizer.json.
#include "runtime/session/Tokenizer.h"
#include "runtime/session/Files.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <queue>

namespace ahm::session {

using Json = nlohmann::json;
static const std::string kBlank = "\xE2\x96\x81"; // U+2581

static std::string utf8(uint32_t code) {
  if (code < 0x80)
    return std::string(1, char(code));
  if (code < 0x800)
    return {char(0xC0 | code >> 6), char(0x80 | (code & 63))};
  return {char(0xE0 | code >> 12), char(0x80 | (code >> 6 & 63)), char(0x80 | (code & 63))};
}

/// Length of the character that starts at `at`; a broken one counts as one byte.
static size_t charLength(const std::string &text, size_t at) {
  unsigned char c = text[at];
  size_t length = c < 0x80 ? 1 : c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
  return std::min(length, text.size() - at);
}

/// GPT-2's table: printable bytes stand for themselves, the others for code points from 256 on.
static const std::array<std::string, 256> &byteTable() {
  static const std::array<std::string, 256> table = [] {
    std::array<std::string, 256> result;
    uint32_t next = 256;
    for (uint32_t b = 0; b < 256; ++b) {
      bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      result[b] = utf8(printable ? b : next++);
    }
    return result;
  }();
  return table;
}

bool Tokenizer::load(const std::string &path, std::string &error) {
  std::vector<uint8_t> bytes;
  return readFile(path, bytes, error) && parse(std::string(bytes.begin(), bytes.end()), path, error);
}

bool Tokenizer::parse(const std::string &text, const std::string &name, std::string &error) {
  auto fail = [&](const std::string &what) {
    error = name + ": " + what;
    return false;
  };
  Json root = Json::parse(text, nullptr, false);
  if (root.is_discarded() || !root.is_object())
    return fail("not a JSON object; a Hugging Face tokenizer.json is needed");
  const Json model = root.value("model", Json());
  if (!model.is_object() || !model.contains("vocab") || !model["vocab"].is_object() || !model.contains("merges") ||
      !model["merges"].is_array())
    return fail("no model with vocab and merges; only BPE tokenizers are supported");
  *this = Tokenizer();
  for (auto &[token, id] : model["vocab"].items()) {
    if (!id.is_number_integer())
      return fail("the id of token '" + token + "' is not a number");
    vocabulary[token] = id.get<int64_t>();
    tokens[id.get<int64_t>()] = token;
  }
  for (const Json &merge : model["merges"]) {
    std::string pair;
    if (merge.is_string())
      pair = merge.get<std::string>();
    else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
      pair = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    else
      return fail("merge " + std::to_string(merges.size()) + " is neither a string nor a pair");
    merges.emplace(pair, int64_t(merges.size()));
  }
  if (root.contains("added_tokens") && root["added_tokens"].is_array())
    for (const Json &token : root["added_tokens"]) {
      if (!token.is_object() || !token.contains("id") || !token["id"].is_number_integer() ||
          !token.contains("content") || !token["content"].is_string())
        return fail("an added token lacks id or content");
      int64_t id = token["id"].get<int64_t>();
      std::string content = token["content"].get<std::string>();
      vocabulary[content] = id;
      tokens[id] = content;
      if (!content.empty())
        added.emplace_back(content, id);
      special[id] = true;
    }
  std::sort(added.begin(), added.end(), [](const auto &a, const auto &b) {
    return a.first.size() != b.first.size() ? a.first.size() > b.first.size() : a.first < b.first;
  });
  for (const char *key : {"pre_tokenizer", "decoder"})
    if (root.contains(key) &&
        root[key].dump(-1, ' ', false, Json::error_handler_t::replace).find("\"ByteLevel\"") != std::string::npos)
      byteLevel = true;
  ignoreMerges =
      model.contains("ignore_merges") && model["ignore_merges"].is_boolean() && model["ignore_merges"].get<bool>();
  if (model.contains("unk_token") && model["unk_token"].is_string())
    unknown = id(model["unk_token"].get<std::string>());
  return true;
}

int64_t Tokenizer::id(const std::string &token) const {
  auto found = vocabulary.find(token);
  return found == vocabulary.end() ? -1 : found->second;
}

/// Merges the lowest-ranked neighbours first, the leftmost on a tie: a heap over a linked list, n log n.
bool Tokenizer::encodePiece(const std::string &piece, std::vector<int64_t> &ids, std::string &error) const {
  if (ignoreMerges && id(piece) >= 0) {
    ids.push_back(id(piece));
    return true;
  }
  struct Part {
    std::string text;
    int previous, next;
    bool alive = true;
  };
  std::vector<Part> parts;
  for (size_t at = 0; at < piece.size(); at += parts.back().text.size())
    parts.push_back({piece.substr(at, charLength(piece, at)), int(parts.size()) - 1, int(parts.size()) + 1});
  if (parts.empty())
    return true;
  parts.back().next = -1;
  struct Merge {
    int64_t rank;
    int left;
    size_t leftSize, rightSize; // stale when the parts have grown since
    bool operator<(const Merge &other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
  };
  std::priority_queue<Merge> heap;
  auto offer = [&](int left) {
    if (left < 0 || parts[left].next < 0)
      return;
    const std::string &a = parts[left].text, &b = parts[parts[left].next].text;
    auto found = merges.find(a + " " + b);
    if (found != merges.end())
      heap.push({found->second, left, a.size(), b.size()});
  };
  for (int i = 0; i < int(parts.size()); ++i)
    offer(i);
  while (!heap.empty()) {
    Merge top = heap.top();
    heap.pop();
    Part &left = parts[top.left];
    if (!left.alive || left.next < 0 || left.text.size() != top.leftSize ||
        parts[left.next].text.size() != top.rightSize)
      continue;
    Part &right = parts[left.next];
    left.text += right.text;
    right.alive = false;
    left.next = right.next;
    if (left.next >= 0)
      parts[left.next].previous = top.left;
    offer(left.previous);
    offer(top.left);
  }
  for (int i = 0; i >= 0; i = parts[i].next) {
    int64_t whole = id(parts[i].text);
    if (whole >= 0) {
      ids.push_back(whole);
      continue;
    }
    for (unsigned char byte : parts[i].text) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", byte);
      int64_t fallback = byteLevel ? -1 : id(name);
      if (fallback < 0)
        fallback = unknown;
      if (fallback < 0) {
        error = "the tokenizer has no token for '" + parts[i].text + "' in the prompt";
        return false;
      }
      ids.push_back(fallback);
      if (fallback == unknown)
        break;
    }
  }
  return true;
}

/// Classes of GPT-2's pattern. Characters beyond ASCII count as letters, but for blanks and general punctuation: the
/// Unicode tables proper are not carried.
enum class CharClass { Letter, Digit, Space, Other };
static CharClass classOf(const std::string &text, size_t at) {
  unsigned char c = text[at];
  if (c < 0x80) {
    if ((c | 32) >= 'a' && (c | 32) <= 'z')
      return CharClass::Letter;
    if (c >= '0' && c <= '9')
      return CharClass::Digit;
    return c == ' ' || (c >= 9 && c <= 13) ? CharClass::Space : CharClass::Other;
  }
  std::string character = text.substr(at, charLength(text, at));
  if (character == "\xC2\xA0" || character == "\xE3\x80\x80")
    return CharClass::Space;
  if (character.size() == 2 && c == 0xC2 && character != "\xC2\xAA" && character != "\xC2\xB5" &&
      character != "\xC2\xBA")
    return CharClass::Other; // Latin-1 signs
  if (character == "\xC3\x97" || character == "\xC3\xB7")
    return CharClass::Other;
  if (character.size() == 3 && c == 0xE2)
    return CharClass::Other; // U+2000..U+2FFF: punctuation, currency, arrows, symbols
  if (character.size() == 3 && c == 0xE3 && static_cast<unsigned char>(character[1]) == 0x80)
    return CharClass::Other; // CJK punctuation
  return character.size() == 4 && static_cast<unsigned char>(character[1]) == 0x9F ? CharClass::Other
                                                                                   : CharClass::Letter;
}

/// GPT-2: 's|'t|'re|'ve|'m|'ll|'d| ?letters| ?digits| ?others|blanks before a blank or the end|blanks.
static std::vector<std::string> splitGpt2(const std::string &text) {
  std::vector<std::string> pieces;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    if (text[at] == '\'')
      for (const char *suffix : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
        if (text.compare(at, std::string(suffix).size(), suffix) == 0) {
          end = at + std::string(suffix).size();
          break;
        }
    if (end == at) {
      size_t start = text[at] == ' ' && at + 1 < text.size() && classOf(text, at + 1) != CharClass::Space ? at + 1 : at;
      CharClass kind = classOf(text, start);
      size_t last = start;
      for (end = start; end < text.size() && classOf(text, end) == kind; end += charLength(text, end))
        last = end;
      // A run of blanks leaves its last one to what follows.
      if (kind == CharClass::Space && end < text.size() && last > at)
        end = last;
    }
    pieces.push_back(text.substr(at, end - at));
    at = end;
  }
  return pieces;
}

bool Tokenizer::encodeText(const std::string &text, std::vector<int64_t> &ids, std::string &error) const {
  if (text.empty())
    return true;
  if (!byteLevel) {
    std::string piece = kBlank;
    for (char c : text)
      piece += c == ' ' ? kBlank : std::string(1, c);
    return encodePiece(piece, ids, error);
  }
  for (const std::string &piece : splitGpt2(text)) {
    std::string mapped;
    for (unsigned char byte : piece)
      mapped += byteTable()[byte];
    if (!encodePiece(mapped, ids, error))
      return false;
  }
  return true;
}

bool Tokenizer::encode(const std::string &text, std::vector<int64_t> &ids, std::string &error) const {
  ids.clear();
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const std::pair<std::string, int64_t> *hit = nullptr;
    for (const auto &token : added)
      if (text.compare(at, token.first.size(), token.first) == 0) {
        hit = &token;
        break;
      }
    if (!hit) {
      ++at;
      continue;
    }
    if (!encodeText(text.substr(begin, at - begin), ids, error))
      return false;
    ids.push_back(hit->second);
    begin = at += hit->first.size();
  }
  return encodeText(text.substr(begin), ids, error);
}

std::string Tokenizer::decode(const std::vector<int64_t> &ids) const {
  static const std::unordered_map<std::string, char> bytes = [] {
    std::unordered_map<std::string, char> result;
    for (int b = 0; b < 256; ++b)
      result[byteTable()[b]] = char(b);
    return result;
  }();
  std::string text;
  for (int64_t id : ids) {
    auto found = tokens.find(id);
    if (found == tokens.end() || special.count(id))
      continue;
    const std::string &token = found->second;
    unsigned value = 0;
    if (!byteLevel && token.size() == 6 && std::sscanf(token.c_str(), "<0x%2X>", &value) == 1) {
      text += char(value);
      continue;
    }
    for (size_t at = 0; at < token.size();) {
      std::string character = token.substr(at, charLength(token, at));
      at += character.size();
      auto byte = bytes.find(character);
      if (byteLevel && byte != bytes.end())
        text += byte->second;
      else
        text += !byteLevel && character == kBlank ? " " : character;
    }
  }
  if (!byteLevel && !text.empty() && text[0] == ' ')
    text.erase(0, 1);
  return text;
}

} // namespace ahm::session
