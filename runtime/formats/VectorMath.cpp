// Loops over MathBodies.h, each compiled for every target, and the row operations built on the sum.
#include "runtime/formats/VectorMath.h"
#include "runtime/formats/MathBodies.h"

namespace ahm::formats {

// A loop around one body, for every target.
#define AHM_MAP(NAME, BODY)                                                                                            \
  AHM_INLINE static void NAME##Loop(const float *x, float *y, int64_t n) {                                             \
    for (int64_t i = 0; i < n; ++i)                                                                                    \
      y[i] = body::BODY(x[i]);                                                                                         \
  }                                                                                                                    \
  AHM_FOR_TARGETS(, , void, NAME, NAME##Loop, (const float *x, float *y, int64_t n), x, y, n)

AHM_MAP(vexp, exp)
AHM_MAP(vlog, log)
AHM_MAP(verf, erf)
AHM_MAP(vtanh, tanh)
AHM_MAP(vsin, sin)
AHM_MAP(vcos, cos)
AHM_MAP(vrsqrt, rsqrt)
AHM_MAP(vsigmoid, sigmoid)
AHM_MAP(vsilu, silu)
AHM_MAP(vsoftplus, softplus)
AHM_MAP(vgeluErf, geluErf)
AHM_MAP(vgeluTanh, geluTanh)
#undef AHM_MAP

float exp1(float x) {
  float y;
  vexp(&x, &y, 1);
  return y;
}

namespace {

template <bool Square> AHM_INLINE float sumBody(const float *x, int64_t n) {
  float partials[64] = {};
  int64_t i = 0;
  for (; i + 64 <= n; i += 64)
    for (int j = 0; j < 64; ++j)
      partials[j] += Square ? x[i + j] * x[i + j] : x[i + j];
  for (int j = 0; i + j < n; ++j)
    partials[j] += Square ? x[i + j] * x[i + j] : x[i + j];
  return body::tree64(partials);
}

AHM_INLINE float maximumBody(const float *x, int64_t n) {
  float m = -__builtin_inff();
  for (int64_t i = 0; i < n; ++i)
    m = x[i] > m ? x[i] : m;
  return m;
}

AHM_INLINE void softmaxBody(const float *x, float *y, int64_t n) {
  float m = maximumBody(x, n);
  for (int64_t i = 0; i < n; ++i)
    y[i] = body::exp(x[i] - m);
  float total = sumBody<false>(y, n);
  for (int64_t i = 0; i < n; ++i)
    y[i] = y[i] / total;
}

AHM_INLINE void affine(float *y, float factor, const float *gamma, const float *beta, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    y[i] = y[i] * factor;
  if (gamma)
    for (int64_t i = 0; i < n; ++i)
      y[i] = y[i] * gamma[i];
  if (beta)
    for (int64_t i = 0; i < n; ++i)
      y[i] = y[i] + beta[i];
}

AHM_INLINE void layerNormBody(const float *x, const float *gamma, const float *beta, float epsilon, float *y,
                              int64_t n) {
  float mean = sumBody<false>(x, n) / static_cast<float>(n);
  for (int64_t i = 0; i < n; ++i)
    y[i] = x[i] - mean;
  float variance = sumBody<true>(y, n) / static_cast<float>(n);
  affine(y, 1.0f / __builtin_sqrtf(variance + epsilon), gamma, beta, n);
}

AHM_INLINE void rmsNormBody(const float *x, const float *gamma, float epsilon, float *y, int64_t n) {
  float meanSquare = sumBody<true>(x, n) / static_cast<float>(n);
  float factor = 1.0f / __builtin_sqrtf(meanSquare + epsilon);
  for (int64_t i = 0; i < n; ++i)
    y[i] = x[i] * factor;
  if (gamma)
    for (int64_t i = 0; i < n; ++i)
      y[i] = y[i] * gamma[i];
}

} // namespace

AHM_FOR_TARGETS(, , float, sum, sumBody<false>, (const float *x, int64_t n), x, n)
AHM_FOR_TARGETS(, , float, sumSquares, sumBody<true>, (const float *x, int64_t n), x, n)
AHM_FOR_TARGETS(, , void, softmaxRow, softmaxBody, (const float *x, float *y, int64_t n), x, y, n)
AHM_FOR_TARGETS(, , void, layerNormRow, layerNormBody,
                (const float *x, const float *gamma, const float *beta, float epsilon, float *y, int64_t n), x, gamma,
                beta, epsilon, y, n)
AHM_FOR_TARGETS(, , void, rmsNormRow, rmsNormBody,
                (const float *x, const float *gamma, float epsilon, float *y, int64_t n), x, gamma, epsilon, y, n)

} // namespace ahm::formats
