"""Rotary embeddings: inverse frequencies with the scaling that each model's config asks for, and cos/sin tables.

Sources: the published config.json of the models; "llama3" as in Llama 3.1's reference code; "yarn" after the YaRN paper
(arXiv 2309.00071), section 3.2, with `truncate` as GPT-OSS sets it.
"""
import math

import numpy as np


def yarn_scale(factor, mscale=1.0):
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def frequencies(theta, dim, scaling):
    """(inverse frequencies float32 [dim/2], factor on cos and sin)."""
    inverse = 1.0 / theta ** (np.arange(0, dim, 2, dtype=np.float64) / dim)
    if not scaling:
        return inverse.astype(np.float32), 1.0
    factor, original = scaling["factor"], scaling["original_max_position_embeddings"]
    if scaling["rope_type"] == "llama3":
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        wavelength = 2 * math.pi / inverse
        smooth = (original / wavelength - low) / (high - low)
        blended = (1 - smooth) * inverse / factor + smooth * inverse
        scaled = np.where(wavelength > original / low, inverse / factor, np.where(wavelength < original / high, inverse, blended))
        return scaled.astype(np.float32), 1.0
    # yarn: extrapolate the fast dimensions, interpolate the slow ones, blend in between
    def dimension(rotations):
        return dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))
    low, high = dimension(scaling["beta_fast"]), dimension(scaling["beta_slow"])
    if scaling.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = np.clip((np.arange(dim // 2) - low) / max(high - low, 0.001), 0, 1)
    scaled = inverse / factor * ramp + inverse * (1 - ramp)
    if scaling.get("mscale") and scaling.get("mscale_all_dim"):
        attention = yarn_scale(factor, scaling["mscale"]) / yarn_scale(factor, scaling["mscale_all_dim"])
    else:
        attention = yarn_scale(factor)
    return scaled.astype(np.float32), attention


def tables(theta, dim, scaling, length):
    """cos and sin [length, dim/2] with the factor applied, made when asked for."""
    inverse, factor = frequencies(theta, dim, scaling)

    def table(function):
        return lambda: (function(np.outer(np.arange(length, dtype=np.float32), inverse)) * np.float32(factor)).astype(np.float32)
    return table(np.cos), table(np.sin)
