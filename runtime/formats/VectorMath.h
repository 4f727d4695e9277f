// The vector unit's float32 functions: own polynomials, stated here with their bounds, the same bits on every target
// and for every length. No function depends on errno or the math library.
//
// Method and bound (measured over the stated range in test/unit/FormatsVectorMathTest.cpp, in units in the last place
// of the result):
//   exp      2^n * p7(r), r = x - n ln2 in two fma steps          2 ulp; subnormal results rounded once more
//   log      m in [sqrt1/2, sqrt2), f - f^2/2 + f^3 p9(f) + n ln2   2 ulp
//   erf      x + x p6(x^2) below 0.92, 1 - exp(p9(|x|)) above       2 ulp
//   tanh     x + x^3 p5(x^2) below 0.6, 1 - 2/(exp(2x)+1) above     3 ulp
//   sin,cos  reduction by pi/2 in double, Taylor series in double   1 ulp; |x| > 2^48 counts as 0, infinity gives NaN
//   rsqrt    1/sqrt(x), both correctly rounded
//   sigmoid  1/(1+exp(-x));  silu x/(1+exp(-x));  softplus max(x,0)+log1p(exp(-|x|))
//   geluErf  (x*0.5) * (1+erf(x*0.70710678));  geluTanh (x*0.5) * (1+tanh(0.79788456*fma(0.044715*x*x, x, x)))
// NaN in gives NaN out.
#pragma once

#include <cstdint>

namespace ahm::formats {

// Element by element; y may be x.
void vexp(const float *x, float *y, int64_t n);
void vlog(const float *x, float *y, int64_t n);
void verf(const float *x, float *y, int64_t n);
void vtanh(const float *x, float *y, int64_t n);
void vsin(const float *x, float *y, int64_t n);
void vcos(const float *x, float *y, int64_t n);
void vrsqrt(const float *x, float *y, int64_t n);
void vsigmoid(const float *x, float *y, int64_t n);
void vsilu(const float *x, float *y, int64_t n);
void vsoftplus(const float *x, float *y, int64_t n);
void vgeluErf(const float *x, float *y, int64_t n);
void vgeluTanh(const float *x, float *y, int64_t n);

/// One value, the same bits as vexp.
float exp1(float x);

/// Sum by NUMERICS: 64 partials from +0, element i into partial i mod 64, then a binary tree (2i with 2i+1, level by
/// level).
float sum(const float *x, int64_t n);
/// The same over x[i]*x[i], each product rounded.
float sumSquares(const float *x, int64_t n);

/// y = exp(x - max) / sum of these. y may be x. Minus infinity gives 0; a row of only minus infinity gives NaN.
void softmaxRow(const float *x, float *y, int64_t n);
/// mean = sum/n, d = x - mean, y = d * (1/sqrt(sumSquares(d)/n + epsilon)) [* gamma] [+ beta]; gamma and beta may be
/// null. y may be x.
void layerNormRow(const float *x, const float *gamma, const float *beta, float epsilon, float *y, int64_t n);
/// y = x * (1/sqrt(sumSquares(x)/n + epsilon)) [* gamma]; gamma may be null. y may be x.
void rmsNormRow(const float *x, const float *gamma, float epsilon, float *y, int64_t n);

} // namespace ahm::formats
