// Outputs of two programs meet by the ONNX node from which their commands come.
#include "runtime/session/Layers.h"

#include "runtime/program/Sizes.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <unordered_map>

namespace ahm::session {
namespace {

constexpr size_t kMostKept = size_t(4) << 30; // bytes of the reference's outputs

const char *weightsName(program::DType dtype) {
  switch (program::tileFormatOf(dtype)) {
  case formats::TileFormat::MxInt4:
    return "mxint4";
  case formats::TileFormat::MxInt8:
    return "mxint8";
  case formats::TileFormat::MxInt16:
    return "mxint16";
  case formats::TileFormat::Int8:
    return "int8";
  case formats::TileFormat::MxFp4:
    return "mxfp4";
  case formats::TileFormat::MxFp6:
    return "mxfp6";
  case formats::TileFormat::MxFp8:
    return "mxfp8";
  }
  return "";
}

/// A place that commands of a node write float32 to, seen after the last of them.
struct Point {
  std::string node, op, key; // key: the node and which of its places
  std::string weights;       // of the node
};
/// By command and output.
using Points = std::map<std::pair<uint32_t, size_t>, Point>;

/// A node's places are told apart by region and offset: a product in column groups writes one place several times. The
/// place that is complete last is the same whatever a node's commands are; the others count where their number agrees.
Points findPoints(const program::Program &program, const program::Entry &entry) {
  struct Place {
    uint32_t region, command;
    program::ExprId offset;
    size_t out;
  };
  struct Node {
    std::vector<Place> places;
    std::string weights;
  };
  std::map<uint32_t, Node> nodes;
  std::map<std::pair<std::string, std::string>, uint32_t> firstSource; // a node may stand among the sources twice
  for (uint32_t i = 0; i < entry.commands.size(); ++i) {
    const program::Command &command = entry.commands[i];
    bool moves = command.op == program::Opcode::HostToStash || command.op == program::Opcode::DmaDramToStash;
    if (command.source >= program.sources.size() || command.repeat >= 0 || moves)
      continue;
    const program::Source &source = program.sources[command.source];
    if (source.node.empty())
      continue;
    Node &node = nodes[firstSource.try_emplace({source.node, source.op}, command.source).first->second];
    for (const program::Operand &operand : command.ins)
      if (program::isTiles(operand.dtype))
        node.weights = weightsName(operand.dtype);
    for (size_t out = 0; out < command.outs.size(); ++out) {
      const program::Operand &operand = command.outs[out];
      if (operand.dtype != program::DType::F32 || program.regions[operand.region].tier != program::Tier::Stash)
        continue;
      auto same = std::find_if(node.places.begin(), node.places.end(), [&](const Place &place) {
        return place.region == operand.region && place.offset == operand.byteOffset;
      });
      if (same == node.places.end())
        same = node.places.insert(same, Place{operand.region, i, operand.byteOffset, out});
      same->command = i;
      same->out = out;
    }
  }
  Points points;
  for (const auto &[source, node] : nodes)
    for (size_t p = 0; p < node.places.size(); ++p) {
      const Place &place = node.places[p];
      bool last = std::all_of(node.places.begin(), node.places.end(), [&](const Place &other) {
        return std::pair(other.command, other.out) <= std::pair(place.command, place.out);
      });
      std::string which = last ? "last" : std::to_string(p) + " of " + std::to_string(node.places.size());
      const program::Source &named = program.sources[source];
      points[{place.command, place.out}] =
          Point{named.node, named.op, named.node + '\n' + named.op + '\n' + which, node.weights};
    }
  return points;
}

struct Sums {
  double difference = 0, reference = 0, ours = 0, dot = 0, worstRow = 0;
  int64_t values = 0;

  void add(const float *a, const float *b, int64_t rows, int64_t width) {
    for (int64_t r = 0; r < rows; ++r) {
      double worst = 0, top = 0;
      for (int64_t i = r * width; i < (r + 1) * width; ++i) {
        // Masks hold infinities; the same on both sides they differ by nothing.
        double x = a[i], y = b[i], d = x == y ? 0 : std::abs(x - y);
        difference += d * d;
        if (std::isfinite(y) && std::isfinite(x)) {
          reference += y * y;
          ours += x * x;
          dot += x * y;
        }
        worst = std::max(worst, d);
        top = std::max(top, std::abs(y));
      }
      if (worst > 0)
        worstRow = std::max(worstRow, top > 0 ? worst / top : INFINITY);
    }
    values += rows * width;
  }
  double error() const { return difference == 0 ? 0 : reference > 0 ? std::sqrt(difference / reference) : INFINITY; }
  double cosine() const {
    return difference == 0 ? 1 : ours > 0 && reference > 0 ? dot / std::sqrt(ours * reference) : 0;
  }
};

/// What is known of the places of a program's entries.
class Watch {
public:
  const Point *at(const program::Program &program, const program::Entry &entry, uint32_t command, size_t out) {
    auto found = entries.find(entry.name);
    if (found == entries.end())
      found = entries.emplace(entry.name, findPoints(program, entry)).first;
    auto point = found->second.find({command, out});
    return point == found->second.end() ? nullptr : &point->second;
  }

private:
  std::map<std::string, Points> entries;
};

} // namespace

bool compareLayers(const std::string &path, const std::string &referencePath, const SessionOptions &options,
                   const LayerRequest &request, LayerComparison &result, std::string &error) {
  struct Row {
    LayerError layer;
    Sums accumulated, isolated;
  };
  std::unordered_map<std::string, std::vector<float>> kept; // the reference's, by call, entry and place
  std::map<std::string, std::string> referenceWeights;      // by node
  size_t keptBytes = 0;
  bool tooMuch = false;
  std::vector<Row> rows;
  std::map<std::string, size_t> rowOf; // by entry and place
  enum { Reference, Accumulated, Isolated };
  for (int pass : {Reference, Accumulated, Isolated}) {
    SessionOptions here = options;
    here.timing = false;
    here.functional = true;
    Watch watch;
    const program::Program *program = nullptr;
    here.observe = [&](size_t call, const program::Entry &entry, uint32_t command, size_t out,
                       const std::vector<int64_t> &dims, float *values) {
      const Point *point = watch.at(*program, entry, command, out);
      if (!point)
        return;
      int64_t count = 1;
      for (int64_t dim : dims)
        count *= dim;
      std::string place = entry.name + '\n' + point->key, key = std::to_string(call) + '\n' + place;
      if (pass == Reference) {
        keptBytes += size_t(count) * 4;
        tooMuch |= keptBytes > kMostKept;
        if (!tooMuch)
          kept[key].assign(values, values + count);
        referenceWeights[point->node] = point->weights;
        return;
      }
      auto theirs = kept.find(key);
      if (theirs == kept.end() || theirs->second.size() != size_t(count)) {
        if (pass == Accumulated &&
            std::find(result.unmatched.begin(), result.unmatched.end(), point->node) == result.unmatched.end())
          result.unmatched.push_back(point->node);
        return;
      }
      auto [at, isNew] = rowOf.try_emplace(place, rows.size());
      if (isNew) {
        rows.emplace_back();
        LayerError &layer = rows.back().layer;
        layer.entry = entry.name;
        layer.node = point->node;
        layer.op = point->op;
        layer.weights = point->weights;
        layer.referenceWeights = referenceWeights[point->node];
      }
      Row &row = rows[at->second];
      int64_t width = dims.empty() ? 1 : dims.back();
      (pass == Accumulated ? row.accumulated : row.isolated)
          .add(values, theirs->second.data(), width > 0 ? count / width : 0, width);
      if (pass == Isolated)
        std::memcpy(values, theirs->second.data(), size_t(count) * 4);
    };
    auto session = Session::open(pass == Reference ? referencePath : path, here, error);
    if (!session)
      return false;
    program = &session->program();
    std::vector<int64_t> ids;
    if (!session->load(error) || !request(*session, pass == Reference ? nullptr : &result.ids, ids, error))
      return false;
    if (tooMuch) {
      error = referencePath + ": the outputs of all its nodes take more than " + std::to_string(kMostKept >> 30) +
              " GiB in this request; compare with fewer ids";
      return false;
    }
    if (pass == Reference)
      result.ids = ids;
  }
  if (rows.empty()) {
    error = path + ": no ONNX node has an output of the same shape in " + referencePath +
            "; the reference must be the same model, compiled with the same --prefill-chunk and --max-context";
    return false;
  }
  for (Row &row : rows) {
    row.layer.values = row.accumulated.values;
    row.layer.accumulated = row.accumulated.error();
    row.layer.cosine = row.accumulated.cosine();
    row.layer.isolated = row.isolated.error();
    row.layer.worstRow = row.isolated.worstRow;
    result.layers.push_back(std::move(row.layer));
  }
  return true;
}

std::string layersText(const LayerComparison &comparison) {
  std::string text = "accumulated    isolated   worst row  weights   entry: node (operator)\n";
  auto line = [&](const LayerError &layer) {
    char numbers[96];
    std::snprintf(numbers, sizeof numbers, "%11.3e %11.3e %11.3e  %-8s  ", layer.accumulated, layer.isolated,
                  layer.worstRow, layer.weights.c_str());
    text += numbers + layer.entry + ": " + layer.node + " (" + layer.op + ")\n";
  };
  for (const LayerError &layer : comparison.layers)
    line(layer);
  std::vector<LayerError> most = comparison.layers;
  std::stable_sort(most.begin(), most.end(),
                   [](const LayerError &a, const LayerError &b) { return a.isolated > b.isolated; });
  most.resize(std::min<size_t>(most.size(), 5));
  text += "most lost in a node alone\n";
  for (const LayerError &layer : most)
    line(layer);
  if (!comparison.unmatched.empty()) {
    text += std::to_string(comparison.unmatched.size()) + " nodes without a counterpart:";
    for (size_t i = 0; i < std::min<size_t>(comparison.unmatched.size(), 5); ++i)
      text += " " + comparison.unmatched[i];
    text += comparison.unmatched.size() > 5 ? " ...\n" : "\n";
  }
  return text;
}

std::string layersJson(const LayerComparison &comparison) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const LayerError &layer : comparison.layers)
    layers.push_back({{"entry", layer.entry},
                      {"node", layer.node},
                      {"op", layer.op},
                      {"weights", layer.weights},
                      {"reference_weights", layer.referenceWeights},
                      {"values", layer.values},
                      {"accumulated", layer.accumulated},
                      {"isolated", layer.isolated},
                      {"worst_row", layer.worstRow},
                      {"cosine", layer.cosine}});
  return nlohmann::ordered_json{{"ids", comparison.ids}, {"layers", layers}, {"unmatched", comparison.unmatched}}.dump(
      1);
}

} // namespace ahm::session
