// Attention over a cache against a plain second implementation of NUMERICS' page and segment rules.
#include "FormatsReference.h"
#include "runtime/formats/Attention.h"
#include "runtime/formats/Cpu.h"
#include "runtime/formats/VectorMath.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

using namespace ahm::formats;

namespace {

struct Problem {
  int64_t headDim, valueDim, tokens, begin, end;
  Element kv, q;
  std::vector<std::vector<float>> k, v;
  std::vector<float> query, mask;
  bool useMask = false, useSink = false;
  float sink = 0.25f, scale = 0.125f, softcap = 0.0f;
};

std::vector<float> expected(const Problem &p, Element pElement) {
  int bits = elementBits(p.kv);
  auto q = reference::quantizeAll(p.query, elementBits(p.q));
  struct Part {
    float m, l;
    std::vector<float> o;
  };
  std::map<int64_t, Part> segments;
  for (int64_t page = 0; page < p.end; page += 64) {
    std::map<int64_t, float> s; // unmasked scores by token
    for (int64_t t = std::max(p.begin, page); t < std::min(p.end, page + 64); ++t) {
      float score = reference::product(q, elementBits(p.q), reference::quantizeAll(p.k[t], bits), bits, 1) * p.scale;
      if (p.softcap > 0) {
        float x = score / p.softcap, y = 0;
        vtanh(&x, &y, 1);
        score = p.softcap * y;
      }
      if (p.useMask) {
        if (std::isinf(p.mask[t]))
          continue;
        score = score + p.mask[t];
      }
      s[t] = score;
    }
    if (s.empty())
      continue;
    auto at = segments.try_emplace(page / 1024, Part{-INFINITY, 0, std::vector<float>(p.valueDim, 0.0f)}).first;
    Part &part = at->second;
    float m = part.m;
    for (auto [t, score] : s)
      m = std::fmax(m, score);
    float alpha = exp1(part.m - m);
    std::vector<float> weights(64, 0.0f);
    for (auto [t, score] : s)
      weights[t - page] = exp1(score - m);
    part.l = std::fma(part.l, alpha, reference::tree(weights, 0, 64));
    part.m = m;
    for (float &o : part.o)
      o *= alpha;
    for (int64_t c = 0; c < p.valueDim; ++c)
      for (int64_t half = 0; half < 64; half += 32) {
        std::vector<float> folded(32, 0.0f);
        reference::Block w;
        w.scale = 127;
        for (auto [t, score] : s) {
          if (t - page < half || t - page >= half + 32)
            continue;
          reference::Block row = reference::quantize(p.v[t], c / 32 * 32, bits);
          folded[t - page - half] =
              row.scale == 255 ? NAN : std::ldexp(weights[t - page], row.scale - 127); // rounds once, as the product
          w.e[t - page - half] = row.e[c % 32];
        }
        part.o[c] = reference::step(part.o[c], reference::quantize(folded, 0, elementBits(pElement)),
                                    elementBits(pElement), w, bits);
      }
  }
  if (p.useSink)
    segments[1 << 30] = Part{p.sink, 1.0f, std::vector<float>(p.valueDim, 0.0f)};
  Part total{0, 0, std::vector<float>(p.valueDim, 0.0f)};
  bool first = true;
  for (auto &[index, part] : segments) {
    if (first) {
      total = part;
      first = false;
      continue;
    }
    float m = std::fmax(total.m, part.m), f1 = exp1(total.m - m), f2 = exp1(part.m - m);
    total.l = std::fma(total.l, f1, part.l * f2);
    for (int64_t c = 0; c < p.valueDim; ++c)
      total.o[c] = std::fma(total.o[c], f1, part.o[c] * f2);
    total.m = m;
  }
  for (float &o : total.o)
    o /= total.l;
  return total.o;
}

std::vector<float> run(const Problem &p, Element pElement) {
  int64_t kStride = mxRowBytes(p.headDim, p.kv), vStride = mxRowBytes(p.valueDim, p.kv) + 8;
  // Exactly up to `end`: reading past it is seen by the sanitizer; rows before `begin` are poison.
  std::vector<uint8_t> k(static_cast<size_t>(p.end * kStride), 0xff), v(static_cast<size_t>(p.end * vStride), 0xff);
  std::vector<uint8_t> q(static_cast<size_t>(mxRowBytes(p.headDim, p.q)));
  for (int64_t t = p.begin; t < p.end; ++t) {
    quantizeRowMx(p.k[t].data(), p.headDim, p.kv, k.data() + t * kStride);
    quantizeRowMx(p.v[t].data(), p.valueDim, p.kv, v.data() + t * vStride);
  }
  quantizeRowMx(p.query.data(), p.headDim, p.q, q.data());
  AttentionArgs args;
  args.q = q.data();
  args.qElement = p.q;
  args.k = k.data();
  args.v = v.data();
  args.kStride = kStride;
  args.vStride = vStride;
  args.kElement = args.vElement = p.kv;
  args.headDim = p.headDim;
  args.valueDim = p.valueDim;
  args.begin = p.begin;
  args.end = p.end;
  args.scale = p.scale;
  args.softcap = p.softcap;
  args.mask = p.useMask ? p.mask.data() : nullptr;
  args.sink = p.useSink ? &p.sink : nullptr;
  args.pElement = pElement;
  std::vector<float> out(static_cast<size_t>(p.valueDim));
  attentionHead(args, out.data());
  return out;
}

Problem make(std::mt19937 &rng, int64_t headDim, int64_t valueDim, int64_t begin, int64_t end, Element kv, Element q,
             int mode) {
  Problem p{headDim, valueDim, end, begin, end, kv, q, {}, {}, {}, {}};
  p.query = reference::randomValues(rng, headDim, 0);
  for (int64_t t = 0; t < end; ++t) {
    p.k.push_back(reference::randomValues(rng, headDim, 0));
    p.v.push_back(reference::randomValues(rng, valueDim, mode));
    p.mask.push_back(rng() % 3 == 0 || (t >= 64 && t < 128) ? -INFINITY : static_cast<float>(rng() % 100) / 50);
  }
  return p;
}

void check(const Problem &p, Element pElement) {
  std::vector<float> want = expected(p, pElement);
  for (Target target : {Target::Portable, Target::Sse41, Target::Avx2, Target::Avx512Vnni}) {
    if (!isSupported(target))
      continue;
    forceTarget(target);
    std::vector<float> got = run(p, pElement);
    releaseTarget();
    for (size_t c = 0; c < want.size(); ++c)
      ASSERT_TRUE(got[c] == want[c] || (std::isnan(got[c]) && std::isnan(want[c])))
          << got[c] << " vs " << want[c] << " column " << c << " of " << want.size() << " tokens " << p.begin << ".."
          << p.end << " on " << targetName(target);
  }
}

TEST(FormatsAttention, MatchesReference) {
  std::mt19937 rng(11);
  for (Element kv : {Element::Int16, Element::Int8, Element::Int4})
    for (auto [begin, end] :
         {std::pair<int64_t, int64_t>{0, 1}, {0, 64}, {0, 65}, {3, 200}, {70, 71}, {900, 1100}, {0, 2100}})
      for (int64_t dim : {36, 64, 7}) {
        if (end > 1000 && dim != 36)
          continue;
        Element q = kv == Element::Int16 ? Element::Int16 : Element::Int8;
        check(make(rng, dim, dim, begin, end, kv, q, 0), q);
      }
}

TEST(FormatsAttention, MaskSinkAndSeparateSizes) {
  std::mt19937 rng(12);
  for (bool mask : {false, true})
    for (bool sink : {false, true})
      for (int64_t end : {150, 1300}) {
        Problem p = make(rng, 40, 65, 0, end, Element::Int16, Element::Int16, 0);
        p.useMask = mask;
        p.useSink = sink;
        check(p, Element::Int16);
      }
}

TEST(FormatsAttention, SoftCapComesBeforeTheMask) {
  std::mt19937 rng(16);
  for (Element kv : {Element::Int16, Element::Int8}) {
    Problem p = make(rng, 40, 32, 0, 150, kv, kv, 0);
    std::vector<float> open = run(p, kv);
    p.softcap = 0.5f;
    EXPECT_NE(run(p, kv), open);
    check(p, kv);
    p.useMask = true; // hidden tokens stay hidden
    check(p, kv);
  }
}

TEST(FormatsAttention, ExtremeValuesAndNan) {
  std::mt19937 rng(13);
  check(make(rng, 32, 64, 0, 130, Element::Int16, Element::Int16, 2), Element::Int16);
  check(make(rng, 32, 64, 0, 130, Element::Int8, Element::Int8, 2), Element::Int8);
  Problem p = make(rng, 32, 64, 0, 100, Element::Int16, Element::Int16, 0);
  p.v[5][40] = NAN; // its 32 columns are NaN, the others are not
  check(p, Element::Int16);
  EXPECT_FALSE(std::isnan(run(p, Element::Int16)[0]));
  p.useMask = true;
  p.mask.assign(100, 0.0f);
  p.mask[5] = -INFINITY; // a masked token's NaN is not seen
  check(p, Element::Int16);
  EXPECT_FALSE(std::isnan(run(p, Element::Int16)[40]));
  p.k[7][0] = NAN;
  EXPECT_TRUE(std::isnan(run(p, Element::Int16)[0]));
}

// Pages that lie apart, in pieces of whole segments with the running state between them: the same bits.
TEST(FormatsAttention, PagesAndPiecesChangeNothing) {
  std::mt19937 rng(16);
  for (auto [begin, end] : {std::pair<int64_t, int64_t>{0, 3000}, {1500, 2900}, {0, 700}, {2048, 2049}})
    for (bool extras : {false, true}) {
      Problem p = make(rng, 40, 36, begin, end, Element::Int8, Element::Int16, 0);
      p.useMask = p.useSink = extras;
      std::vector<float> want = run(p, Element::Int16);
      int64_t kStride = mxRowBytes(p.headDim, p.kv), vStride = mxRowBytes(p.valueDim, p.kv);
      std::vector<std::vector<uint8_t>> k, v;
      std::vector<const uint8_t *> kPages, vPages;
      for (int64_t page = 0; page * 64 < end; ++page) {
        k.emplace_back(static_cast<size_t>(64 * kStride));
        v.emplace_back(static_cast<size_t>(64 * vStride));
        for (int64_t t = page * 64; t < std::min(end, page * 64 + 64); ++t) {
          quantizeRowMx(p.k[t].data(), p.headDim, p.kv, k.back().data() + t % 64 * kStride);
          quantizeRowMx(p.v[t].data(), p.valueDim, p.kv, v.back().data() + t % 64 * vStride);
        }
      }
      for (size_t page = 0; page < k.size(); ++page) {
        kPages.push_back(k[page].data());
        vPages.push_back(v[page].data());
      }
      std::vector<uint8_t> q(static_cast<size_t>(mxRowBytes(p.headDim, p.q)));
      quantizeRowMx(p.query.data(), p.headDim, p.q, q.data());
      for (int64_t piece : {1024, 2048, 4096}) {
        float state[2];
        std::vector<float> out(static_cast<size_t>(p.valueDim), NAN);
        for (int64_t from = 0; from < 4096; from += piece) {
          AttentionArgs args;
          args.q = q.data();
          args.qElement = p.q;
          args.kPages = kPages.data();
          args.vPages = vPages.data();
          args.kStride = kStride;
          args.vStride = vStride;
          args.kElement = args.vElement = p.kv;
          args.headDim = p.headDim;
          args.valueDim = p.valueDim;
          args.begin = std::max(begin, from);
          args.end = std::min(end, from + piece);
          args.scale = p.scale;
          args.mask = p.useMask ? p.mask.data() : nullptr;
          args.sink = p.useSink ? &p.sink : nullptr;
          args.pElement = Element::Int16;
          args.state = state;
          args.first = from == 0;
          args.last = from + piece == 4096;
          attentionHead(args, out.data());
        }
        EXPECT_EQ(std::memcmp(out.data(), want.data(), want.size() * 4), 0)
            << begin << ".." << end << " in pieces of " << piece;
      }
    }
}

TEST(FormatsAttention, SinkAloneGivesZero) {
  std::mt19937 rng(14);
  Problem p = make(rng, 32, 32, 0, 10, Element::Int16, Element::Int16, 0);
  p.useMask = p.useSink = true;
  p.mask.assign(10, -INFINITY);
  EXPECT_EQ(run(p, Element::Int16)[3], 0.0f);
}

TEST(FormatsAttention, LongHeadDimUsesSegments) {
  std::mt19937 rng(15);
  check(make(rng, 1100, 32, 0, 20, Element::Int16, Element::Int16, 0), Element::Int16);
}

} // namespace
