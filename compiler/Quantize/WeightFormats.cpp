// Rules of --weights, and formats that models store. See WeightFormats.h.
#include "compiler/Quantize/WeightFormats.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace ahm {

static const char *const kFormats[] = {"auto", "mxint16", "mxint8", "mxint4", "mxfp8", "mxfp6", "mxfp4", "int8"};

bool isWeightFormat(StringRef name) { return llvm::is_contained(kFormats, name); }

std::string weightFormatNames() { return llvm::join(std::begin(kFormats), std::end(kFormats), ", "); }

bool WeightFormats::parse(StringRef text, std::string &error) {
  SmallVector<StringRef> parts;
  text.split(parts, ',');
  bool given = false;
  for (StringRef part : parts) {
    auto [pattern, format] = part.rsplit('=');
    bool rule = part.contains('=');
    if (!rule)
      format = part;
    if (!isWeightFormat(format) || (rule && (pattern.empty() || format == "int8"))) {
      error = "weights=" + part.str() + (pattern.empty() && rule ? " has no pattern before the '='" : " is not known") +
              "; choose one of " + weightFormatNames() +
              (rule ? ", but int8, after a pattern of names" : ", or PATTERN=FORMAT for the weights or nodes it names");
      return false;
    }
    if (!rule) {
      if (given) {
        error = "weights=" + text.str() + " gives two formats for all weights; give one, and PATTERN=FORMAT for others";
        return false;
      }
      given = true;
      standard = format.str();
      continue;
    }
    auto glob = llvm::GlobPattern::create(pattern);
    if (!glob) {
      error = "weights=" + part.str() + " has no valid pattern: " + llvm::toString(glob.takeError());
      return false;
    }
    rules.push_back({pattern.str(), format.str(), std::move(*glob), {}});
  }
  return true;
}

static void addNames(Location location, SmallVectorImpl<StringRef> &names) {
  if (auto name = dyn_cast<NameLoc>(location))
    names.push_back(name.getName().getValue());
  if (auto fused = dyn_cast<FusedLoc>(location))
    for (Location part : fused.getLocations())
      addNames(part, names);
}

StringRef WeightFormats::ruleFor(Operation *user, nn::WeightOp weight) {
  if (rules.empty())
    return "";
  SmallVector<StringRef> names;
  addNames(weight.getLoc(), names);
  StringRef symbol = weight.getSymName(), shown = names.empty() ? symbol : names.front();
  names.push_back(symbol);
  if (size_t module = symbol.find("::"); module != StringRef::npos)
    names.push_back(symbol.substr(module + 2));
  // What was derived from an initializer goes by its name.
  for (size_t i = 0, count = names.size(); i < count; ++i)
    for (StringRef suffix : {".dequantised", ".folded"})
      if (size_t at = names[i].find(suffix); at != StringRef::npos)
        names.push_back(names[i].substr(0, at));
  addNames(user->getLoc(), names);
  Rule *last = nullptr;
  for (Rule &rule : rules)
    if (llvm::any_of(names, [&](StringRef name) { return rule.glob.match(name); })) {
      rule.matched = true;
      last = &rule;
    }
  if (!last)
    return "";
  last->taken.insert(shown);
  return last->format;
}

StringRef WeightFormats::unusedPattern() const {
  for (const Rule &rule : rules)
    if (!rule.matched)
      return rule.pattern;
  return "";
}

std::vector<std::string> WeightFormats::report() const {
  constexpr size_t most = 8; // names on a line
  std::vector<std::string> lines;
  for (const Rule &rule : rules) {
    std::string line = "weights " + rule.pattern + "=" + rule.format + ": " + std::to_string(rule.taken.size());
    for (size_t i = 0; i < std::min(most, rule.taken.size()); ++i)
      line += (i ? ", " : " (") + rule.taken[i].str();
    if (rule.taken.size() > most)
      line += ", and " + std::to_string(rule.taken.size() - most) + " more";
    lines.push_back(line + (rule.taken.empty() ? ", as later patterns name the same" : ")"));
  }
  return lines;
}

/// The same of elements as they are stored, under a recipe.
static StringRef storedFormat(Type element, ArrayAttr recipe, int64_t contraction) {
  // Quantising E2M1's numbers again keeps them, whatever the scale was; E4M3's 1.875 * 2^8 would saturate.
  StringRef format = isa<Float4E2M1FNType>(element) ? "mxfp4" : "";
  int64_t axis = -1;
  if (format.empty())
    return "";
  for (Attribute attribute : recipe) {
    auto step = dyn_cast<ArrayAttr>(attribute);
    auto name = step && !step.empty() ? dyn_cast<StringAttr>(step[0]) : StringAttr();
    if (!name)
      return "";
    if (name.getValue() == "cast")
      continue;
    if (name.getValue() == "block_dequant" && axis < 0 && step.size() == 2) {
      auto parts = dyn_cast<DictionaryAttr>(step[1]);
      auto number = [&](StringRef key) {
        auto value = parts ? parts.getAs<IntegerAttr>(key) : IntegerAttr();
        return value ? value.getInt() : 0;
      };
      auto scales = parts ? parts.getAs<DictionaryAttr>("scales") : DictionaryAttr();
      auto type = scales ? scales.getAs<TypeAttr>("type") : TypeAttr();
      auto zero = parts ? parts.getAs<FloatAttr>("zero") : FloatAttr();
      Type scale = type ? cast<RankedTensorType>(type.getValue()).getElementType() : Type();
      if (auto value = scales ? scales.getAs<ElementsAttr>("value") : ElementsAttr())
        scale = value.getElementType();
      // Larger blocks are several of 32 that have one scale.
      if (!scale || !isa<Float8E8M0FNUType>(scale) || parts.get("zeros") || (zero && zero.getValueAsDouble() != 0) ||
          number("block") <= 0 || number("block") % 32 != 0)
        return "";
      axis = number("axis");
      continue;
    }
    if (name.getValue() != "transpose" || axis < 0)
      return "";
    int64_t moved = -1;
    for (size_t i = 1; i < step.size(); ++i)
      if (auto from = dyn_cast<IntegerAttr>(step[i]); from && from.getInt() == axis)
        moved = static_cast<int64_t>(i) - 1;
    axis = moved;
  }
  return axis == contraction ? format : "";
}

StringRef storedFormat(nn::WeightOp weight, int64_t contraction) {
  ArrayAttr recipe = weight.getRecipe();
  auto stack = recipe.size() == 1 ? dyn_cast<ArrayAttr>(recipe[0]) : ArrayAttr();
  if (!stack || stack.size() < 2 || stack[0] != StringAttr::get(weight.getContext(), "stack"))
    return storedFormat(cast<RankedTensorType>(weight.getSourceType()).getElementType(), recipe, contraction);
  // A stack has the format that all of its parts have.
  StringRef common;
  for (size_t i = 1; i < stack.size(); ++i) {
    auto part = dyn_cast<DictionaryAttr>(stack[i]);
    auto type = part ? part.getAs<TypeAttr>("type") : TypeAttr();
    auto steps = part ? part.getAs<ArrayAttr>("recipe") : ArrayAttr();
    StringRef format =
        type && steps ? storedFormat(cast<RankedTensorType>(type.getValue()).getElementType(), steps, contraction - 1)
                      : StringRef();
    if (format.empty() || (i > 1 && format != common))
      return "";
    common = format;
  }
  return common;
}

} // namespace ahm
