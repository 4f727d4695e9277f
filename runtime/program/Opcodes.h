// The meaning of every command: operands, attributes, and numerics, in one place for emitter, verifier and both
// readings. Notation: x[f32 M,K] is an operand of dtype f32 and logical shape (M,K). Leading dimensions are flattened
// where a shape says M. ints/floats are listed in order.
//
// Transfers (bytes move, values stay)
//   HostToStash     in h[Host] out s[Stash]              same dtype and dims
//   StashToHost     in s[Stash] out h[Host]
//   HostToDram      in: none; out d[Dram]                ints: weight index in Program::weights. From the weights file.
//   DmaTiles        in d[Dram tiles] out r[Sram tiles]   ints: tileBytes, tileCount. Tile t of d to tile t of r.
//   DmaDramToStash  in d[Dram dense] out s[Stash]        same dtype and dims
//   ExpertFetch     in d[Dram tiles 64,..], ids[i32 T..,k] out s[Sram tiles 64,..]
//            ints: tileBytes, K, C (an expert's shape), E (experts), R (resident), table (of Program::expertTables),
//            first, S, routing. Of the experts that ids choose and the table has in DRAM, ascending, those of rank [first, first +
//            S) move to slots 0, 1, ..; ExpertPlaces.h says where their tiles are. A miss moves one expert's tiles, no
//            miss moves nothing.
// Products (NUMERICS: 64x64 int8, 64x128 mx4, 64x32 mx16 stationary tiles)
//   GemmMx   in a[MxRows M,K], w[Tiles K,C] out y[f32 M,N]
//            ints: n0 (first column of y that w's column 0 writes), N, parts. C columns are written: y[:, n0:n0+C].
//   GemmInt8 in q[u8 M,K], scale[f32 1], zero[u8 1], w[TilesInt8 K,C] out y[f32 M,N]
//            ints: n0, N, weightZeroPoint (already in the int8 domain of the tiles)  floats: weightScale
//            acc = sum (q-zero)*(w-weightZeroPoint) exact int32; y = float(acc) * (scale * weightScale)
//   MatMulMx in a[MxRows16 B..,M,K], b[MxRows16 B..,N,K] out y[f32 B..,M,N]   both quantised along K; b is stationary.
//            Batch dims equal, or b's batch broadcast: ints: repeat (each b batch serves `repeat` consecutive a
//            batches)
//   Conv1dMx in x[f32 1,Ci,L], w[TilesMx16 Ci*k, Co], [bias f32 Co] out y[f32 1,Co,Lo]
//            ints: kernel, stride, dilation, padBegin, padEnd, group(1). Patches are quantised to MxRows16 in order
//            (ci, k).
//   GemmExperts in a[MxRows A,K], w[Tiles K,E*P], ids[i32 T..,k] out y[f32 T*k,N]
//            ints: n0, N, parts, E (experts), C (columns of each), repeat, routing. w is E equal runs of whole tiles,
//            one an expert; P is C rounded up to whole tiles. Row r of y is row r/repeat of a times expert ids[r]: y[:,
//            n0:n0+C], each row as GemmMx gives it with that expert's tiles alone. repeat is k (a row a token) or 1 (a
//            row a choice). Only tiles of chosen experts are read; the ids of one token differ, and an id outside [0,E)
//            is a run error. Commands of one `routing` in an entry read the same ids.
//            With fetched experts (ExpertPlaces.h) ints go on with R, table, first, S, chiplets. w is the R resident
//            ones' runs (with R = 0 it is the slots), in 3 the slots[Tiles 64,..] that an ExpertFetch of the same
//            numbers has filled. Computed are the rows of the fetched experts and, with first = 0, of the resident ones;
//            only these rows of a are read and of y written.
// KV cache
//   Rows: MxRows4, MxRows8, MxRows16 or Bf16; Bf16 rows are stored rounded and become MXINT16 along D on their way into
//   the array. A cache is flat, [Rows H,capacity,D] in the stash, or in pages of 64 tokens, [Rows pages,H,64,D];
//   KvPages.h says where they stand. CacheAppend in x[f32 1,H,T,D] out c[Rows H,capacity,D] or the ring [Rows P,H,64,D]
//   exprs: position of the first new token CacheSeal   in c[the ring] out [r[Rows R,H,64,D] in Sram] [d[Rows M,H,64,D]
//   in Dram], one or both
//            ints: R, R + M   exprs: position and tokens of the call's append. Copies the pages that the append
//            completed.
//   CacheFetch  in d[Rows M,H,64,D] in Dram out s[Rows N,H,64,D] in Sram (staging over the chiplets of d)
//            ints: R, R + M, window   exprs: tokens stored before the call, position of the first query, first page
//            (may be negative) Of pages [first, first + N) moves those that are sealed, seen and at home in DRAM: page
//            p to place p - first.
//   Attention   in q[f32 1,H,T,D], k[Rows Hkv,capacity,D], v[Rows Hkv,capacity,Dv] [, mask f32 or bool] [, sinks f32 H]
//   out o[f32 1,H,T,Dv]
//            exprs: valid context length including this call, position of the first query
//            ints: causal(0/1), window(0 none) [, hasSinks(0/1) [, bits of an activation's element: 8 or 16]]
//            floats: scale (multiplies scores) [, softcap (0 none)]
//            Where v is k itself, o may be narrower: the value is the first Dv elements of the key's row (a latent
//            cache). Both products read whole rows.
//            In pages: q, k ring, v ring [, k and v in Sram] [, k and v in staging] [, o and state] [, mask] [, sinks]
//            out o [, state[f32 H,T,2]] ints: causal, window, hasSinks, bits, R, R + M, N (pages of a piece; 0: no
//            pieces), is the first piece, is the last exprs: length, position, tokens stored before the call, first
//            page of the piece (a multiple of 16) Sees tokens of pages [first, first + N) only; o stays undivided, with
//            m and l in state, until the last piece. A scaled score s becomes softcap * tanh(s / softcap) before the
//            mask is added. A head's sink is a logit that joins its softmax last, without a value. NUMERICS "Attention
//            over a cache"; q is quantised to the activations' format (where it is not said: to K's), P to the same or
//            to the cache's where that has more bits.
// Formats
//   QuantizeMx in x[f32 M,K] out y[MxRows8|16 M,K]
//   DynamicQuantize in x[f32 ..] out q[u8 ..], scale[f32 1], zero[u8 1]  ONNX DynamicQuantizeLinear over the whole
//   tensor
// Vector unit
//   Unary   in x out y                 ints: UnaryKind          (f32; Not on bool; Neg/Abs also on i32)
//            RoundF16, RoundBf16: to the nearest number of that format, ties to even, overflow to infinity; kept as f32
//   Binary  in a,b out y               ints: BinaryKind         numpy broadcasting; comparisons give bool
//   Select  in c[bool],a,b out y       broadcasting
//   Reduce  in x out y                 ints: ReduceKind, axes... (out dims say whether axes are kept)
//   Softmax in x out y                 ints: axis (last only)
//   Cast    in x out y                 by operand dtypes; float to int truncates toward zero
//   Transpose in x out y               ints: perm...
//   Copy    in x out y                 same element count (reshape)
//   Broadcast in x out y               numpy broadcasting to y's dims
//   Slice   in x out y                 ints: per dim step...; exprs: per dim start...
//   Concat  in xs... out y             ints: axis
//   Iota    out y[i32 N]               ints: step; exprs: start
//   Gather  in table, indices[i32] out y   ints: axis. The table may stand in DRAM or stash, f32, u8 or i8;
//            rows are read one by one. Index checked: out of range is a run error.
//   GatherTiles in w[Tiles K,C]..., ids[i32 ..] out y[f32 ..,K]   columns of a stationary operand as float32, each
//            value rounded once: an embedding that is stored like any weight. The w, all of one format but plain INT8,
//            are chunks of columns one behind the other, in DRAM: in the order of their tiles, or where DmaTiles of
//            this region finds them. Each id is a column, negative ones count from the end; out of range is a run
//            error. Read are, for each block of 32 and id, the run of elements that holds the column's and the line of
//            scales (formats/Tiles.h); both may come from one chiplet for all ids, and are timed as if they did.
//   Fill    out y                      floats or ints: value
//   LayerNorm in x,[gamma],[beta] out y    ints: hasGamma, hasBeta; floats: epsilon. Over the last dim.
//   RmsNorm   in x,[gamma] out y           ints: hasGamma; floats: epsilon
//   GroupNorm in x[f32 N,C,L] out y        ints: groups (instance norm: C); floats: epsilon. No affine part.
//   Rotary    in x[f32 1,H,T,D], cos[f32 ..T,R], sin[f32 ..T,R] out y    ints: interleaved(0/1), R (rotated leading
//            elements of D; the rest passes through). half split: y1 = x1*c - x2*s, each product rounded (no fma)
//   ArgMax    in x[f32 or i32 M,N] out i[i32 M]   lowest index on a tie
//   TopK      in x[f32 or i32 ..,N] out v[..,k], i[i32 ..,k]   ints: largest(0/1). In order; lowest position first on a
//   tie;
//            a NaN counts as larger than every number.
//   CumSum    in x[f32 or i32 ..,N] out y    ints: exclusive(0/1), reverse(0/1). One addition an element, from the
//   first (reverse:
//            last) on; integers wrap.
//   Scatter   in data, indices[i32 N], updates out y   ints: ScatterKind, R. y is data with its rows of R elements at
//   the indices
//            replaced by (or combined with) the rows of updates, in order. Negative indices count from the end; out of
//            range is a run error. Set takes any plain number; integers wrap.
// Between cards
//   AllReduce in x[f32 ..] out y           same shape. The sum over cards of a product whose contraction they share.
//   While
//            several cards are simulated as one larger memory the product is whole already, and y is x.
#pragma once

#include <cstdint>

namespace ahm::program {

enum class UnaryKind : uint8_t {
  Neg,
  Abs,
  Sqrt,
  Rsqrt,
  Exp,
  Log,
  Erf,
  Tanh,
  Sigmoid,
  Reciprocal,
  Sin,
  Cos,
  Floor,
  Ceil,
  Round,
  Sign,
  Not,
  GeluErf,
  GeluTanh,
  Silu,
  Relu,
  Softplus,
  RoundF16,
  RoundBf16
};
enum class BinaryKind : uint8_t {
  Add,
  Sub,
  Mul,
  Div,
  Pow,
  Min,
  Max,
  Mod,
  Equal,
  Less,
  LessOrEqual,
  Greater,
  GreaterOrEqual,
  And,
  Or,
  Xor
};
enum class ReduceKind : uint8_t { Sum, Mean, Max, Min, Prod };
enum class ScatterKind : uint8_t { Set, Add, Mul, Min, Max };

/// The op's spelling, as in "GemmMx", "Unary"; for listings and errors.
const char *opcodeName(uint16_t opcode);
const char *unaryName(UnaryKind kind);   // "gelu_erf"
const char *binaryName(BinaryKind kind); // "less_or_equal"
const char *reduceName(ReduceKind kind);
const char *scatterName(ScatterKind kind);
/// The reverse; returns false when the name is unknown. Names are those of the nn dialect's `kind` attributes.
bool parseUnary(const char *name, UnaryKind &kind);
bool parseBinary(const char *name, BinaryKind &kind);
bool parseReduce(const char *name, ReduceKind &kind);
bool parseScatter(const char *name, ScatterKind &kind);

} // namespace ahm::program
