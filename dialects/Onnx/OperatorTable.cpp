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

void ahm::onnx::printOperatorTable(llvm::raw_ostream &os, llvm::function_ref<bool(const OperatorInfo &)> compiled) {
  os << "| operator | domain | opsets | compiled | meaning |\n|---|---|---|---|---|\n";
  for (const OperatorInfo &info : getOperatorTable())
    os << "| " << info.name << " | " << (info.domain.empty() ? "ai.onnx" : info.domain) << " | " << info.sinceOpset << " to "
       << info.lastOpset << " | " << (compiled(info) ? "yes" : "") << " | " << info.summary << " |\n";
}
