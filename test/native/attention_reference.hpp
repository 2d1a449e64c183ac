#pragma once
// A naive attention in double precision that stores every score, and the tensors of one case of it. Written from ops/attention.hpp, for attention_test.cpp.
#include "ops/attention.hpp"
#include "runtime/philox.hpp"
#include "test_context.hpp"

namespace warpweft::test {

enum class Padding { none, trailing, holes, allOfOne };
enum class Bias { none, full, perHead, perKey, scalarRow };

struct Case {
  int64_t B = 1, Tq = 1, Tk = 1, H = 1, G = 1, D = 1;
  DType dtype = DType::f32;
  bool causal = false;
  int64_t window = 0;
  double dropout = 0, softcap = 0;
  Padding padding = Padding::none;
  Bias bias = Bias::none;
  DType biasType = DType::f32, paddingType = DType::b8;
  std::vector<int32_t> queryOffsets, keyOffsets;
  bool fused = false, accumulate = false;

  std::string describe() const {
    char text[300];
    const auto n = [](int64_t x) { return static_cast<long long>(x); };
    std::snprintf(text, sizeof text,
                  "B %lld Tq %lld Tk %lld H %lld G %lld D %lld %s causal %d window %lld dropout %g softcap %g padding %d bias %d packed %d fused %d accumulate %d", n(B), n(Tq), n(Tk),
                  n(H), n(G), n(D), nameOf(dtype), causal, n(window), dropout, softcap, int(padding), int(bias), !queryOffsets.empty(), fused, accumulate);
    return text;
  }
};

// A value that depends on a number and is normal enough.
inline double value(uint64_t n) {
  double sum = -2;
  for (int i = 0; i < 4; i++) {
    n = n * 6364136223846793005u + 1442695040888963407u;
    sum += static_cast<double>(n >> 40) / (1 << 24);
  }
  return sum * 1.7;
}

inline double largest(const std::vector<double>& x) {
  double m = 0;
  for (double e : x) if (std::isfinite(e)) m = std::fmax(m, std::fabs(e));
  return m;
}
struct Problem {
  Case c;
  Tensor q, k, v, dy, y, lse, padding, bias, queryOffsets, keyOffsets, rng, dq, dk, dv, biasGrad;
  int64_t call = 11;
  double scale;
  std::vector<int64_t> biasSizes;
  std::vector<double> Q, K, V, dY, biases;   // what the reference reads, in logical order
  std::vector<double> expectedY, expectedLse, expectedDq, expectedDk, expectedDv, expectedBias;
  double terms[4];                           // largest sum of absolute terms in dq, dk, dv, biasGrad: what rounding errors are in proportion to

  Tensor heads(int64_t T, int64_t N, int64_t total, int64_t first) const {
    if (!c.fused) return Tensor(c.dtype, {c.B, T, N, c.D});
    return Tensor(c.dtype, {c.B, T, N, c.D}, {T * total * c.D, total * c.D, c.D, 1}, first * c.D);
  }
  explicit Problem(const Case& given) : c(given), scale(0.9 / std::sqrt(static_cast<double>(c.D))) {
    const int64_t total = c.H + 2 * c.G;
    q = heads(c.Tq, c.H, total, 0);
    k = heads(c.Tk, c.G, total, c.H);
    v = heads(c.Tk, c.G, total, c.H + c.G);
    y = Tensor(c.dtype, {c.B, c.Tq, c.H, c.D});
    dy = Tensor(c.dtype, {c.B, c.Tq, c.H, c.D});
    lse = Tensor(DType::f32, {c.B, c.H, c.Tq});
    uint64_t seed = 1;
    for (Tensor* t : {&q, &k, &v, &dy}) {
      seed++;
      t->fill([&](int64_t i) { return value(seed * 1000003 + static_cast<uint64_t>(i)); });
    }
    if (c.padding != Padding::none) {
      padding = Tensor(c.paddingType, {c.B, c.Tk});
      padding.fill([&](int64_t i) {
        const int64_t b = i / c.Tk, j = i % c.Tk;
        if (c.padding == Padding::allOfOne && b == 0) return 0.0;
        if (c.padding == Padding::holes) return (j * 7 + b) % 5 == 2 ? 0.0 : 3.0;
        return j < c.Tk - (b + 1) * c.Tk / 4 ? 1.0 : 0.0;
      });
    }
    if (c.bias != Bias::none) {
      const int64_t full[] = {c.B, c.H, c.Tq, c.Tk};
      int64_t own[] = {c.B, c.H, c.Tq, c.Tk};
      if (c.bias != Bias::full) own[0] = 1;
      if (c.bias == Bias::perKey || c.bias == Bias::scalarRow) own[2] = 1;
      if (c.bias == Bias::scalarRow) own[1] = 1;
      biasSizes = {own[0], own[1], own[2], own[3]};
      std::vector<int64_t> strides(4);
      int64_t step = 1;
      for (int d = 3; d >= 0; d--) { strides[size_t(d)] = own[d] == full[d] ? step : 0; step *= own[d]; }
      bias = Tensor(c.biasType, {c.B, c.H, c.Tq, c.Tk}, strides);
      bias.fill([&](int64_t i) { return value(77 + static_cast<uint64_t>(bias.offset(i))); });
    }
    if (!c.queryOffsets.empty()) {
      queryOffsets = Tensor(DType::i32, {int64_t(c.queryOffsets.size())});
      keyOffsets = Tensor(DType::i32, {int64_t(c.keyOffsets.size())});
      queryOffsets.fill([&](int64_t i) { return c.queryOffsets[size_t(i)]; });
      keyOffsets.fill([&](int64_t i) { return c.keyOffsets[size_t(i)]; });
    }
    if (c.dropout > 0) {
      rng = Tensor(DType::i64, {3});
      rng.fill([](int64_t i) { return i == 0 ? 1234567.0 : i == 1 ? 3.0 : 1.0; });
    }
    Q = q.values(); K = k.values(); V = v.values(); dY = dy.values();
    if (c.bias != Bias::none) biases = bias.values();
    freshGradients();
  }
  // Filled with NaN, or with values to add to.
  void freshGradients() {
    const int64_t total = c.H + 2 * c.G;
    dq = heads(c.Tq, c.H, total, 0);
    dk = heads(c.Tk, c.G, total, c.H);
    dv = heads(c.Tk, c.G, total, c.H + c.G);
    if (c.bias != Bias::none) biasGrad = Tensor(c.biasType, biasSizes);
    if (c.accumulate)
      for (Tensor* t : {&dq, &dk, &dv, &biasGrad})
        if (t->view()) t->fill([](int64_t i) { return value(static_cast<uint64_t>(i) + 5); });
  }

  Attention forward() const {
    return {q.in(), k.in(), v.in(), y.out(), lse.out(), padding.in(), bias.in(), queryOffsets.in(), keyOffsets.in(), rng.in(), c.causal, c.window, scale, c.dropout, call, c.softcap};
  }
  AttentionBackward backward() const {
    return {dy.in(), q.in(), k.in(), v.in(), y.in(), lse.in(), padding.in(), bias.in(), queryOffsets.in(), keyOffsets.in(), rng.in(), dq.grad(c.accumulate), dk.grad(c.accumulate),
            dv.grad(c.accumulate), biasGrad.grad(c.accumulate), c.causal, c.window, scale, c.dropout, call, c.softcap};
  }

  struct Range { int64_t q0, q1, k0, k1; };
  std::vector<std::pair<int64_t, Range>> sequences() const {   // batch row and ranges, by number
    std::vector<std::pair<int64_t, Range>> all;
    if (c.queryOffsets.empty()) for (int64_t b = 0; b < c.B; b++) all.push_back({b, {0, c.Tq, 0, c.Tk}});
    else for (size_t s = 0; s + 1 < c.queryOffsets.size(); s++) all.push_back({0, {c.queryOffsets[s], c.queryOffsets[s + 1], c.keyOffsets[s], c.keyOffsets[s + 1]}});
    return all;
  }
  double keepFactor(int64_t number, int64_t h, int64_t i, int64_t j) const {
    if (c.dropout == 0) return 1;
    const int64_t state[3] = {1234567, 3, 1};
    const DropoutStream stream = DropoutStream::from(state, call, c.dropout);
    const int64_t r = i % 8, t = j % 8 / 2, e = j % 2 + 2 * (i % 16 / 8) + 4 * (j % 16 / 8);
    const int64_t tile = ((number * c.H + h) * ((c.Tq + 15) / 16) + i / 16) * ((c.Tk + 15) / 16) + j / 16;
    float factors[8];
    stream.factors(static_cast<uint64_t>(tile * 32 + r * 4 + t), factors);
    return static_cast<double>(factors[e]);
  }
  static int64_t at(int64_t T, int64_t N, int64_t D, int64_t b, int64_t t, int64_t n) { return ((b * T + t) * N + n) * D; }

  double capped(double score) const { return c.softcap > 0 ? c.softcap * std::tanh(score / c.softcap) : score; }

  // Forward of one query row: probabilities before dropout, and lse.
  double row(int64_t b, const Range& s, int64_t h, int64_t i, std::vector<double>& p) const {
    const int64_t n = s.q1 - s.q0, m = s.k1 - s.k0, g = h / (c.H / c.G);
    p.assign(size_t(m), -INFINITY);
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < m; j++) {
      if (c.causal && j > i + m - n) continue;
      if (c.window > 0 && j <= i + m - n - c.window) continue;
      if (c.padding != Padding::none && padding.get(b * c.Tk + s.k0 + j) == 0) continue;
      double score = 0;
      for (int64_t d = 0; d < c.D; d++) score += Q[size_t(at(c.Tq, c.H, c.D, b, s.q0 + i, h) + d)] * K[size_t(at(c.Tk, c.G, c.D, b, s.k0 + j, g) + d)];
      score = capped(score * scale);
      if (c.bias != Bias::none) score += biases[size_t(((b * c.H + h) * c.Tq + s.q0 + i) * c.Tk + s.k0 + j)];
      p[size_t(j)] = score;
      most = std::fmax(most, score);
    }
    if (most == -INFINITY) { std::fill(p.begin(), p.end(), 0.0); return -INFINITY; }
    for (double& x : p) sum += x = std::exp(x - most);
    for (double& x : p) x /= sum;
    return most + std::log(sum);
  }

  // Gradients use the y that is given (that which forward stored, rounded).
  void reference(const std::vector<double>* givenY = nullptr) {
    const bool gradients = givenY != nullptr;
    expectedY.assign(Q.size(), 0); expectedLse.assign(size_t(c.B * c.H * c.Tq), -INFINITY);
    expectedDq.assign(Q.size(), 0); expectedDk.assign(K.size(), 0); expectedDv.assign(K.size(), 0);
    expectedBias.assign(biasGrad.view() ? size_t(biasGrad.numel()) : 0, 0);
    std::vector<double> sizes[4] = {expectedDq, expectedDk, expectedDv, expectedBias};
    int64_t number = 0;
    std::vector<double> p;
    for (const auto& [b, s] : sequences()) {
      for (int64_t h = 0; h < c.H; h++)
        for (int64_t i = 0; i < s.q1 - s.q0; i++) {
          const int64_t g = h / (c.H / c.G), qi = at(c.Tq, c.H, c.D, b, s.q0 + i, h);
          const double rowLse = row(b, s, h, i, p);
          expectedLse[size_t((b * c.H + h) * c.Tq + s.q0 + i)] = rowLse;
          double delta = 0, deltaSize = 0;
          if (gradients && rowLse != -INFINITY)
            for (int64_t d = 0; d < c.D; d++) {
              const double term = dY[size_t(qi + d)] * (*givenY)[size_t(qi + d)];
              delta += term; deltaSize += std::fabs(term);
            }
          for (size_t j = 0; j < p.size(); j++) {
            if (p[j] == 0) continue;
            const int64_t kj = at(c.Tk, c.G, c.D, b, s.k0 + int64_t(j), g);
            const double keep = keepFactor(number, h, i, int64_t(j));
            double dp = 0, dpSize = 0, product = 0;
            for (int64_t d = 0; d < c.D; d++) {
              expectedY[size_t(qi + d)] += keep * p[j] * V[size_t(kj + d)];
              dp += keep * dY[size_t(qi + d)] * V[size_t(kj + d)];
              dpSize += std::fabs(keep * dY[size_t(qi + d)] * V[size_t(kj + d)]);
              product += Q[size_t(qi + d)] * K[size_t(kj + d)];
            }
            if (!gradients) continue;
            const double ds = p[j] * (dp - delta), dsSize = p[j] * (dpSize + deltaSize);
            const double slope = c.softcap > 0 ? 1 - std::pow(std::tanh(scale * product / c.softcap), 2) : 1;   // of the cap
            for (int64_t d = 0; d < c.D; d++) {
              expectedDq[size_t(qi + d)] += scale * slope * ds * K[size_t(kj + d)];
              expectedDk[size_t(kj + d)] += scale * slope * ds * Q[size_t(qi + d)];
              expectedDv[size_t(kj + d)] += keep * p[j] * dY[size_t(qi + d)];
              sizes[0][size_t(qi + d)] += std::fabs(scale * dsSize * K[size_t(kj + d)]);
              sizes[1][size_t(kj + d)] += std::fabs(scale * dsSize * Q[size_t(qi + d)]);
              sizes[2][size_t(kj + d)] += std::fabs(keep * p[j] * dY[size_t(qi + d)]);
            }
            if (c.bias != Bias::none) {
              const View& w = biasGrad.view();
              const int64_t bb = w.sizes[0] == 1 ? 0 : b, hh = w.sizes[1] == 1 ? 0 : h, ii = w.sizes[2] == 1 ? 0 : s.q0 + i;
              const size_t place = size_t(((bb * w.sizes[1] + hh) * w.sizes[2] + ii) * w.sizes[3] + s.k0 + int64_t(j));
              expectedBias[place] += ds;
              sizes[3][place] += dsSize;
            }
          }
        }
      number++;
    }
    for (int g = 0; g < 4; g++) terms[g] = largest(sizes[g]);
  }
};

}  // namespace warpweft::test
