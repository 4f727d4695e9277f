// Loops over MathBodies.h, each compiled for both targets, and the row operations built on the sum.
#include "runtime/formats/VectorMath.h"
#include "runtime/formats/MathBodies.h"

namespace ahm::formats {

// Two loops around one body, and the choice between them.
#define AHM_MAP(NAME, BODY)                                                                                            \
  static void NAME##Generic(const float *x, float *y, int64_t n) {                                                     \
    for (int64_t i = 0; i < n; ++i)                                                                                    \
      y[i] = body::BODY(x[i]);                                                                                         \
  }                                                                                                                    \
  AHM_TARGET_AVX2 static void NAME##Avx2(const float *x, float *y, int64_t n) {                                        \
    for (int64_t i = 0; i < n; ++i)                                                                                    \
      y[i] = body::BODY(x[i]);                                                                                         \
  }                                                                                                                    \
  void NAME(const float *x, float *y, int64_t n) { useAvx2() ? NAME##Avx2(x, y, n) : NAME##Generic(x, y, n); }

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

// Two compilations of one body.
#define AHM_TWINS(RETURN, NAME, BODY, PARAMETERS, ...)                                                                 \
  RETURN NAME##Generic PARAMETERS { return BODY(__VA_ARGS__); }                                                        \
  AHM_TARGET_AVX2 RETURN NAME##Avx2 PARAMETERS { return BODY(__VA_ARGS__); }

AHM_TWINS(float, sum, sumBody<false>, (const float *x, int64_t n), x, n)
AHM_TWINS(float, squares, sumBody<true>, (const float *x, int64_t n), x, n)
AHM_TWINS(void, softmax, softmaxBody, (const float *x, float *y, int64_t n), x, y, n)
AHM_TWINS(void, layerNorm, layerNormBody,
          (const float *x, const float *gamma, const float *beta, float epsilon, float *y, int64_t n), x, gamma, beta,
          epsilon, y, n)
AHM_TWINS(void, rmsNorm, rmsNormBody, (const float *x, const float *gamma, float epsilon, float *y, int64_t n), x,
          gamma, epsilon, y, n)
#undef AHM_TWINS

} // namespace

float sum(const float *x, int64_t n) { return useAvx2() ? sumAvx2(x, n) : sumGeneric(x, n); }
float sumSquares(const float *x, int64_t n) { return useAvx2() ? squaresAvx2(x, n) : squaresGeneric(x, n); }

void softmaxRow(const float *x, float *y, int64_t n) { useAvx2() ? softmaxAvx2(x, y, n) : softmaxGeneric(x, y, n); }

void layerNormRow(const float *x, const float *gamma, const float *beta, float epsilon, float *y, int64_t n) {
  useAvx2() ? layerNormAvx2(x, gamma, beta, epsilon, y, n) : layerNormGeneric(x, gamma, beta, epsilon, y, n);
}

void rmsNormRow(const float *x, const float *gamma, float epsilon, float *y, int64_t n) {
  useAvx2() ? rmsNormAvx2(x, gamma, epsilon, y, n) : rmsNormGeneric(x, gamma, epsilon, y, n);
}

} // namespace ahm::formats
