// Builds the operator table from the generated operation classes.
#include "dialects/Onnx/OperatorTable.h"
#include "dialects/Onnx/Onnx.h"
#include <algorithm>
#include <vector>

using namespace ahm::onnx;

namespace {

template <typename Op> void addRow(std::vector<OperatorInfo> &rows) {
  if constexpr (requires { Op::getOperatorInfo(); })
    rows.push_back(Op::getOperatorInfo());
}

template <typename... Ops> std::vector<OperatorInfo> collectRows() {
  std::vector<OperatorInfo> rows;
  (addRow<Ops>(rows), ...);
  std::sort(rows.begin(), rows.end(), [](const OperatorInfo &a, const OperatorInfo &b) {
    return std::tie(a.domain, a.name) < std::tie(b.domain, b.name);
  });
  return rows;
}

llvm::StringRef canonicalDomain(llvm::StringRef domain) { return domain == "ai.onnx" ? "" : domain; }

} // namespace

llvm::ArrayRef<OperatorInfo> ahm::onnx::getOperatorTable() {
  static const std::vector<OperatorInfo> table = collectRows<
#define GET_OP_LIST
#include "dialects/Onnx/OnnxOps.cpp.inc"
      >();
  return table;
}

const OperatorInfo *ahm::onnx::findOperator(llvm::StringRef domain, llvm::StringRef name) {
  domain = canonicalDomain(domain);
  llvm::ArrayRef<OperatorInfo> table = getOperatorTable();
  const auto *it =
      std::lower_bound(table.begin(), table.end(), std::make_pair(domain, name),
                       [](const OperatorInfo &info, const std::pair<llvm::StringRef, llvm::StringRef> &key) {
                         return std::tie(info.domain, info.name) < std::tie(key.first, key.second);
                       });
  return it != table.end() && it->domain == domain && it->name == name ? it : nullptr;
}

std::string ahm::onnx::suggestOperator(llvm::StringRef domain, llvm::StringRef name) {
  domain = canonicalDomain(domain);
  const OperatorInfo *best = nullptr;
  unsigned bestDistance = static_cast<unsigned>(name.size() / 5) + 1;
  for (const OperatorInfo &info : getOperatorTable()) {
    unsigned distance = info.name.edit_distance_insensitive(name);
    // Between equals, the operator of the domain that was asked for.
    if (distance < bestDistance ||
        (best && distance == bestDistance && info.domain == domain && best->domain != domain)) {
      bestDistance = distance;
      best = &info;
    }
  }
  if (!best)
    return "";
  return (best->domain.empty() ? llvm::StringRef("ai.onnx") : best->domain).str() + "::" + best->name.str();
}

namespace {

/// Attributes that ONNX took away (they became inputs, or a default) or brought in later.
struct MovedAttribute {
  const char *operators; // separated by spaces
  const char *attributes;
  int since, last;
};

constexpr int kOpen = kMaxOpset;
constexpr MovedAttribute kMoved[] = {
    {"Add Sub Mul Div Pow And Or Xor Equal Greater Less", "axis broadcast", 1, 6},
    {"Gemm", "broadcast", 1, 6},
    {"Slice", "starts ends axes", 1, 9},
    {"Pad", "pads value", 2, 10},
    {"Clip", "min max", 6, 10},
    {"TopK", "k", 1, 9},
    {"TopK", "largest sorted", 11, kOpen},
    {"Squeeze Unsqueeze ReduceSum", "axes", 1, 12},
    {"ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp", "axes", 1, 17},
    {"ReduceSum", "noop_with_empty_axes", 13, kOpen},
    {"ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp",
     "noop_with_empty_axes", 18, kOpen},
    {"Split", "split", 2, 12},
    {"Split", "num_outputs", 18, kOpen},
    {"ArgMax ArgMin", "select_last_index", 12, kOpen},
    {"Reshape", "allowzero", 14, kOpen},
    {"Shape", "start end", 15, kOpen},
    {"ScatterElements ScatterND", "reduction", 16, kOpen},
    {"GatherND", "batch_dims", 12, kOpen},
    {"Dropout", "ratio", 7, 11},
    {"Dropout", "seed", 12, kOpen},
    {"BatchNormalization", "spatial", 7, 8},
    {"BatchNormalization", "training_mode", 14, kOpen},
    {"GroupNormalization", "stash_type", 21, kOpen},
    {"Cast CastLike", "saturate", 19, kOpen},
    {"Cast CastLike", "round_mode", 24, kOpen},
    {"QuantizeLinear DequantizeLinear", "axis", 13, kOpen},
    {"QuantizeLinear", "saturate", 19, kOpen},
    {"QuantizeLinear", "block_size output_dtype", 21, kOpen},
    {"QuantizeLinear", "precision", 23, kOpen},
    {"DequantizeLinear", "block_size", 21, kOpen},
    {"DequantizeLinear", "output_dtype", 23, kOpen},
};

bool hasWord(llvm::StringRef words, llvm::StringRef word) {
  llvm::SmallVector<llvm::StringRef> all;
  words.split(all, ' ');
  return llvm::is_contained(all, word);
}

} // namespace

AttributeOpsets ahm::onnx::attributeOpsets(const OperatorInfo &info, llvm::StringRef attribute) {
  if (info.domain.empty())
    for (const MovedAttribute &moved : kMoved)
      if (hasWord(moved.operators, info.name) && hasWord(moved.attributes, attribute))
        return {moved.since, moved.last};
  return {info.sinceOpset, info.lastOpset};
}

void ahm::onnx::printOperatorTable(llvm::raw_ostream &os, llvm::function_ref<bool(const OperatorInfo &)> compiled) {
  auto range = [&](int low, int high) {
    if (high == kUnlimited)
      os << low << " or more";
    else if (low == high)
      os << low;
    else
      os << low << " to " << high;
  };
  os << "| operator | domain | opsets | compiled | inputs | outputs | attributes (opsets where not all) | meaning |\n"
        "|---|---|---|---|---|---|---|---|\n";
  for (const OperatorInfo &info : getOperatorTable()) {
    os << "| " << info.name << " | " << (info.domain.empty() ? "ai.onnx" : info.domain) << " | ";
    range(info.sinceOpset, info.lastOpset);
    os << " | " << (compiled(info) ? "yes" : "") << " | ";
    range(info.minInputs, info.maxInputs);
    os << " | ";
    range(info.minOutputs, info.maxOutputs);
    os << " | ";
    llvm::interleaveComma(info.attributes, os, [&](llvm::StringRef name) {
      os << name;
      AttributeOpsets opsets = attributeOpsets(info, name);
      if (opsets.sinceOpset > info.sinceOpset || opsets.lastOpset < info.lastOpset) {
        os << " (";
        range(opsets.sinceOpset, opsets.lastOpset);
        os << ")";
      }
    });
    os << " | " << info.summary << " |\n";
  }
}
