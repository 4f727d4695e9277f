// Which ONNX node loses accuracy in which format: a program beside another one of the same model, node by node.
#pragma once

#include "runtime/session/Session.h"

namespace ahm::session {

/// What a node's float32 output differs by from the reference's, over all calls of an entry. Errors are the root of the
/// mean square of the difference over that of the reference.
struct LayerError {
  std::string entry, node, op;
  std::string weights, referenceWeights; // formats of its stationary operand; empty where it has none
  int64_t values = 0;
  double accumulated = 0; // each program on its own inputs: with what all nodes before have lost
  double isolated = 0;    // on the reference's inputs: what this node alone loses
  double worstRow = 0;    // isolated: the largest max|a-b| / max|b| of a row
  double cosine = 1;      // accumulated
};

struct LayerComparison {
  std::vector<LayerError> layers;     // in the order in which the program computes them
  std::vector<std::string> unmatched; // nodes of the program whose output the reference has not, or not in this shape
  std::vector<int64_t> ids;           // what the reference generated; both programs were fed these
};

/// Makes a request: with `forced`, which is then fed instead of what the session would choose, or null. Sets `ids` to
/// what was generated.
using LayerRequest = std::function<bool(Session &session, const std::vector<int64_t> *forced, std::vector<int64_t> &ids,
                                        std::string &error)>;

/// Runs the request three times: with the reference, whose outputs are kept in memory; with the program; and with the
/// program once more, where every output is replaced by the reference's as soon as it has been compared. False with an
/// error when a program cannot be run or when no node is in both.
bool compareLayers(const std::string &path, const std::string &referencePath, const SessionOptions &options,
                   const LayerRequest &request, LayerComparison &result, std::string &error);

/// A table for people, a line a node, and the nodes that lose most alone.
std::string layersText(const LayerComparison &comparison);
/// The same as a JSON object.
std::string layersJson(const LayerComparison &comparison);

} // namespace ahm::session
