#pragma once
// From products to scores in units of log 2: scale, soft cap, bias, mask; and dropout's numbers. On fragments (products.cuh) whose rows are queries and columns keys,
// or the other way round.
#include "cuda/attention/products.cuh"

namespace warpweft::cuda::attention {

// The columns [low, high) that each of a lane's rows sees.
template <int RT> struct Reach { int low[RT][2], high[RT][2]; };

// Bit k of the words: key first + k exists and is not hidden. All lanes of the warp.
template <int kCount> WW_DEVICE void findSeen(uint32_t (&seen)[(kCount + 31) / 32], const KeyPadding& padding, int first, int keys) {
  WW_UNROLL for (int w = 0; w < (kCount + 31) / 32; w++) {
    const int key = first + 32 * w + static_cast<int>(lane());
    seen[w] = padding ? ballot(key < keys && !padding.hidden(key)) : kAllLanes;
  }
}

template <int RT, int NT> WW_DEVICE void scaleScores(float (&c)[RT][NT][4], float factor, float cap) {
  WW_UNROLL for (int r = 0; r < RT; r++) WW_UNROLL for (int n = 0; n < NT; n++) WW_UNROLL for (int e = 0; e < 4; e++) c[r][n][e] *= factor;
  if (cap > 0)
    WW_UNROLL for (int r = 0; r < RT; r++) WW_UNROLL for (int n = 0; n < NT; n++) WW_UNROLL for (int e = 0; e < 4; e++) c[r][n][e] = tanh(c[r][n][e]) * cap;
}
// The same, with the slope of the cap.
template <int RT, int NT> WW_DEVICE void scaleScores(float (&c)[RT][NT][4], float (&slope)[RT][NT][4], float factor, float cap) {
  WW_UNROLL for (int r = 0; r < RT; r++)
    WW_UNROLL for (int n = 0; n < NT; n++)
      WW_UNROLL for (int e = 0; e < 4; e++) {
        c[r][n][e] *= factor;
        slope[r][n][e] = 1;
        if (cap > 0) {
          const float x = tanh(c[r][n][e]);
          c[r][n][e] = x * cap;
          slope[r][n][e] = fma(-x, x, 1.f);
        }
      }
}

// rowOffset(r, h): where row 16 r + g + 8 h of the fragment begins in the bias; its columns from firstColumn on are columnStride elements apart.
template <class T, int RT, int NT, class Offset>
WW_DEVICE void addBias(float (&c)[RT][NT][4], const Bias& bias, const Reach<RT>& reach, int firstColumn, int64_t columnStride, Offset&& rowOffset) {
  if (!bias) return;
  WW_UNROLL for (int r = 0; r < RT; r++)
    WW_UNROLL for (int h = 0; h < 2; h++) {
      const int64_t offset = rowOffset(r, h);
      WW_UNROLL for (int n = 0; n < NT; n++)
        WW_UNROLL for (int i = 0; i < 2; i++) {
          const int column = firstColumn + 8 * n + 2 * (static_cast<int>(lane()) % 4) + i;
          if (column >= reach.low[r][h] && column < reach.high[r][h]) c[r][n][2 * h + i] = fma(bias.at<T>(offset + column * columnStride), kLog2e, c[r][n][2 * h + i]);
        }
    }
}

// -infinity where a row does not see a column.
template <int RT, int NT> WW_DEVICE void maskScores(float (&c)[RT][NT][4], const Reach<RT>& reach, int firstColumn, const uint32_t (&seen)[(NT + 3) / 4]) {
  WW_UNROLL for (int n = 0; n < NT; n++)
    WW_UNROLL for (int i = 0; i < 2; i++) {
      const int inner = 8 * n + 2 * (static_cast<int>(lane()) % 4) + i, column = firstColumn + inner;
      const bool there = seen[n / 4] >> inner % 32 & 1;
      WW_UNROLL for (int r = 0; r < RT; r++)
        WW_UNROLL for (int h = 0; h < 2; h++)
          if (!there || column < reach.low[r][h] || column >= reach.high[r][h]) c[r][n][2 * h + i] = -infinity();
    }
}

// Bit e of the answer: number e of this lane's group of the tile at (query, key) says keep.
WW_DEVICE uint32_t drawGroup(const DropTiles& drop, int query, int key) {
  uint16_t drawn[8];
  drop.stream.draw(drop.group(query, key) + lane(), drawn);
  uint32_t bits = 0;
  WW_UNROLL for (int e = 0; e < 8; e++) bits |= drawn[e] >= drop.stream.threshold ? 1u << e : 0u;
  return bits;
}

// Bit 4 n + e of keep[r]: c[r][n][e] is kept. Groups are laid out as fragments whose rows are queries.
template <int NT, int RT> WW_DEVICE void drawRowsOfQueries(uint32_t (&keep)[RT], const DropTiles& drop, int query, int key) {
  WW_UNROLL for (int r = 0; r < RT; r++) {
    keep[r] = drop.active ? 0 : kAllLanes;
    if (drop.active)
      WW_UNROLL_BY(1) for (int n = 0; n < NT; n += 2) keep[r] |= drawGroup(drop, query + 16 * r, key + 8 * n) << (4 * n);
  }
}
// Where rows are keys, the four elements of a lane lie in two groups of other lanes: those of the queries 2 t and 2 t + 1.
template <int NT> WW_DEVICE uint32_t drawRowsOfKeys(const DropTiles& drop, int query, int key) {
  if (!drop.active) return kAllLanes;
  const unsigned g = lane() / 4, t = lane() % 4;
  uint32_t keep = 0;
  WW_UNROLL_BY(1) for (int n = 0; n < NT; n += 2) {
    const uint32_t mine = drawGroup(drop, query + 8 * n, key);
    const uint32_t groups[2] = {shuffle(mine, 8 * t + g / 2), shuffle(mine, 8 * t + 4 + g / 2)};
    WW_UNROLL for (unsigned half = 0; half < 2; half++)     // of the queries
      WW_UNROLL for (unsigned e = 0; e < 4; e++)            // e % 2: query 2 t or 2 t + 1; e / 2: key g or g + 8
        keep |= (groups[e % 2] >> (g % 2 + 2 * half + 4 * (e / 2)) & 1u) << (4 * (static_cast<unsigned>(n) + half) + e);
  }
  return keep;
}

template <int RT, int NT> WW_DEVICE void drop(float (&c)[RT][NT][4], const uint32_t (&keep)[RT]) {
  WW_UNROLL for (int r = 0; r < RT; r++)
    WW_UNROLL for (int n = 0; n < NT; n++)
      WW_UNROLL for (int e = 0; e < 4; e++)
        if (!(keep[r] >> (4 * n + e) & 1)) c[r][n][e] = 0;
}

}  // namespace warpweft::cuda::attention
