// Einsum: its equation as transposes, matrix products and sums.
//
// Every dimension has a label; those of an ellipsis get labels of their own. Labels that repeat within a term are its
// diagonal, labels of one term that the result lacks are summed there, and then terms are joined one after the other:
// labels that both have and somebody still needs are batches, labels that both have and nobody needs are contracted.
#include "compiler/OnnxToNN/Build.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

#include <map>

using namespace mlir;

namespace ahm::onnxtonn {

namespace {

using Labels = std::string;

struct Term {
  Value value;
  Labels labels;
};

class Einsum {
public:
  Einsum(Converter &c, Operation *op) : c(c), op(op), b(c, op->getLoc()) {}

  LogicalResult run() {
    if (failed(parse()))
      return failure();
    for (Term &term : terms) {
      takeDiagonals(term);
      sumAlone(term);
    }
    Term joined = terms.front();
    for (size_t i = 1; i < terms.size(); ++i)
      joined = join(joined, terms[i], i);
    return c.finish(op, b.transpose(joined.value, order(joined.labels, output)));
  }

private:
  InFlightDiagnostic error() { return op->emitError("Einsum: "); }

  /// Splits the equation into labels a term; an ellipsis becomes the labels '0', '1', ... of its dimensions, aligned at
  /// the right.
  LogicalResult parse() {
    auto attribute = op->getAttrOfType<StringAttr>("equation");
    if (!attribute)
      return error() << "the equation is missing";
    std::string equation;
    for (char letter : attribute.getValue())
      if (letter != ' ')
        equation += letter;
    auto [left, right] = StringRef(equation).split("->");
    bool isExplicit = StringRef(equation).contains("->");
    SmallVector<StringRef> parts;
    left.split(parts, ',');
    if (parts.size() != op->getNumOperands())
      return error() << "'" << equation << "' has " << parts.size() << " terms for " << op->getNumOperands()
                     << " inputs";
    for (auto [i, part] : llvm::enumerate(parts)) {
      Symbolic &input = c.get(op->getOperand(i));
      if (input.element != c.get(op->getOperand(0)).element)
        return error() << "input " << i << " has another element type than the first; remedy: Cast it";
      Labels labels;
      if (failed(expand(part, input.shape.size(), labels)))
        return failure();
      for (auto [label, size] : llvm::zip(labels, input.shape)) {
        AffineExpr &known = sizes.try_emplace(label, size).first->second;
        if (known == size || size == c.constant(1))
          continue;
        if (known == c.constant(1)) {
          known = size;
        } else if (c.dims.unify(known, size)) {
          c.restart = true;
          return failure();
        } else {
          return error() << "dimensions of label '" << std::string(1, label) << "' differ between inputs";
        }
      }
      terms.push_back({c.materialise(input, op->getLoc()), labels});
    }
    if (isExplicit)
      return failed(expand(right, std::nullopt, output)) ? failure() : checkOutput();
    // Without an arrow: the ellipsis, then all labels that occur once, in alphabetical order.
    output = ellipsis();
    std::map<char, int> occurrences;
    for (const Term &term : terms)
      for (char label : term.labels)
        ++occurrences[label];
    for (auto [label, count] : occurrences)
      if (count == 1 && llvm::isAlpha(label))
        output += label;
    return success();
  }

  Labels ellipsis() const {
    Labels labels;
    for (size_t i = 0; i < widest; ++i)
      labels += static_cast<char>('0' + (widest - 1 - i));
    return labels;
  }

  /// '0' is the last dimension of an ellipsis, so that terms of different width align.
  LogicalResult expand(StringRef part, std::optional<size_t> rank, Labels &labels) {
    auto [before, after] = part.split("...");
    bool has = part.contains("...");
    for (char letter : (before + after).str())
      if (!llvm::isAlpha(letter))
        return error() << "'" << part << "' has the unknown label '" << std::string(1, letter) << "'";
    size_t named = before.size() + after.size();
    if (rank && (has ? named > *rank : named != *rank))
      return error() << "'" << part << "' does not fit an input of " << *rank << " dimensions";
    size_t hidden = !has ? 0 : rank ? *rank - named : widest;
    if (hidden > 8)
      return error() << "an ellipsis of " << hidden << " dimensions is not supported";
    widest = std::max(widest, hidden);
    labels = before.str();
    for (size_t i = 0; i < hidden; ++i)
      labels += static_cast<char>('0' + (hidden - 1 - i));
    labels += after.str();
    return success();
  }

  LogicalResult checkOutput() {
    for (auto [i, label] : llvm::enumerate(output))
      if (!sizes.count(label) || output.find(label, i + 1) != Labels::npos)
        return error() << "label '" << std::string(1, label) << "' of the result occurs twice or in no input";
    return success();
  }

  static SmallVector<int64_t> order(const Labels &from, const Labels &to) {
    SmallVector<int64_t> perm;
    for (char label : to)
      perm.push_back(static_cast<int64_t>(from.find(label)));
    return perm;
  }

  void takeDiagonals(Term &term) {
    for (size_t p = 0; p < term.labels.size(); ++p)
      for (size_t q = term.labels.find(term.labels[p], p + 1); q != Labels::npos;
           q = term.labels.find(term.labels[p], p + 1)) {
        Labels rest;
        SmallVector<int64_t> perm;
        for (size_t i = 0; i < term.labels.size(); ++i)
          if (i != p && i != q) {
            rest += term.labels[i];
            perm.push_back(static_cast<int64_t>(i));
          }
        perm.append({static_cast<int64_t>(p), static_cast<int64_t>(q)});
        Value turned = b.transpose(term.value, perm);
        Shape shape = b.shapeOf(turned);
        AffineExpr size = shape.pop_back_val();
        shape.back() = c.simplify(size * size);
        Value step = b.times(b.iota(size), c.simplify(size + 1));
        term.value = b.gather(b.reshape(turned, shape), step, static_cast<int64_t>(shape.size()) - 1);
        term.labels = rest + term.labels[p];
        p = static_cast<size_t>(-1); // positions have changed: look again from the start
        break;
      }
  }

  bool isNeeded(char label, size_t from) const {
    if (output.find(label) != Labels::npos)
      return true;
    for (size_t i = from; i < terms.size(); ++i)
      if (terms[i].labels.find(label) != Labels::npos)
        return true;
    return false;
  }

  void sumAlone(Term &term) {
    SmallVector<int64_t> axes;
    Labels rest;
    for (auto [i, label] : llvm::enumerate(term.labels)) {
      size_t holders = 0;
      for (const Term &other : terms)
        holders += other.labels.find(label) != Labels::npos;
      if (holders == 1 && output.find(label) == Labels::npos)
        axes.push_back(static_cast<int64_t>(i));
      else
        rest += label;
    }
    if (axes.empty())
      return;
    term.value = b.reduce("sum", term.value, axes, false);
    term.labels = rest;
  }

  /// The term's dimensions as `labels`, those that it lacks of size 1; `spread` gives shared labels their full size.
  Value arranged(const Term &term, const Labels &labels, const Labels &spread) {
    SmallVector<int64_t> perm;
    Shape shape, full;
    for (char label : labels) {
      size_t at = term.labels.find(label);
      AffineExpr size = c.constant(1);
      if (at != Labels::npos) {
        perm.push_back(static_cast<int64_t>(at));
        size = b.shapeOf(term.value)[at];
      }
      shape.push_back(size);
      full.push_back(spread.find(label) != Labels::npos ? sizes[label] : size);
    }
    return b.broadcast(b.reshape(b.transpose(term.value, perm), shape), full);
  }

  Term join(const Term &left, const Term &right, size_t next) {
    Labels batch, contracted, rows, columns;
    for (char label : left.labels) {
      bool both = right.labels.find(label) != Labels::npos;
      (both ? isNeeded(label, next + 1) ? batch : contracted : rows) += label;
    }
    for (char label : right.labels)
      if (left.labels.find(label) == Labels::npos)
        columns += label;
    Labels kept = batch + rows + columns, all = kept + contracted;
    bool whole = b.elementOf(left.value) != c.f32();
    if (contracted.empty() || whole) { // element by element is exact; integers have no product on the arrays
      Value product = b.mul(arranged(left, all, ""), arranged(right, all, ""));
      if (!contracted.empty())
        product = b.reduce("sum", product, llvm::to_vector(llvm::seq<int64_t>(kept.size(), all.size())), false);
      return {product, kept};
    }
    auto grouped = [&](const Term &term, const Labels &first, const Labels &second) {
      Value value = arranged(term, batch + first + second, batch + contracted);
      Shape shape = b.shapeOf(value), result(shape.begin(), shape.begin() + batch.size());
      result.push_back(b.product(ArrayRef(shape).slice(batch.size(), first.size())));
      result.push_back(b.product(ArrayRef(shape).drop_front(batch.size() + first.size())));
      return b.reshape(value, result);
    };
    // The right side as rows over the contraction, seen transposed: that is how the arrays take it.
    Value a = grouped(left, rows, contracted), w = grouped(right, columns, contracted);
    SmallVector<int64_t> perm = llvm::to_vector(llvm::seq<int64_t>(0, batch.size() + 2));
    std::swap(perm[batch.size()], perm[batch.size() + 1]);
    Value product = b.matmul(a, b.transpose(w, perm));
    Shape shape;
    for (char label : batch)
      shape.push_back(sizes[label]);
    for (char label : rows)
      shape.push_back(b.shapeOf(left.value)[left.labels.find(label)]);
    for (char label : columns)
      shape.push_back(b.shapeOf(right.value)[right.labels.find(label)]);
    return {b.reshape(product, shape), kept};
  }

  Converter &c;
  Operation *op;
  Build b;
  SmallVector<Term> terms;
  std::map<char, AffineExpr> sizes;
  Labels output;
  size_t widest = 0;
};

} // namespace

static LogicalResult convertEinsum(Converter &c, Operation *op) { return Einsum(c, op).run(); }

void addEinsum(llvm::StringMap<Handler> &handlers) { handlers["Einsum"] = convertEinsum; }

} // namespace ahm::onnxtonn
