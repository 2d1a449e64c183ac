// Every primitive of the device layer against its definition: in the emulator in four orders of the fibers, and by nvcc on a GPU.
#include "device_test.hpp"

namespace warpweft::test {
namespace {

using namespace warpweft::cuda;   // not outside: CUDA's headers, of which some come last, mean their own functions of these names

struct Shuffles { uint32_t exclusive[64], down[64], up[64], from[64], votes[64], same[64], sum[64]; int32_t most[64], least[64]; double wide[64]; bool any[64], all[64]; };

__global__ void shuffles(Shuffles* o) {
  const unsigned i = threadIdx.x, l = lane();
  o->exclusive[i] = shuffleXor(i, 5);
  o->down[i] = shuffleDown(i, 3);
  o->up[i] = shuffleUp(i, 7);
  o->from[i] = shuffle(i, l * 3);
  o->wide[i] = shuffleXor(i + 0.5, 16);
  o->votes[i] = cuda::ballot(l % 3 == 0);
  o->any[i] = anyOf(i == 40);
  o->all[i] = allOf(i < 40);
  o->same[i] = lanesWithSame(i / 4);
  o->sum[i] = reduceAdd(i);
  o->most[i] = reduceMax(static_cast<int32_t>(l ^ 21) - 16);
  o->least[i] = reduceMin(static_cast<int32_t>(l ^ 21) - 16);
}

void testShuffles() {
  Buffer<Shuffles> buffer(1);
  run<shuffles>(1, 64, 0, buffer.data());
  const Shuffles& o = buffer[0];
  for (unsigned i = 0; i < 64; i++) {
    const unsigned l = i % 32, w = i - l;
    expect(o.exclusive[i] == w + (l ^ 5), "shuffleXor");
    expect(o.down[i] == (l + 3 < 32 ? i + 3 : i), "shuffleDown");
    expect(o.up[i] == (l >= 7 ? i - 7 : i), "shuffleUp");
    expect(o.from[i] == w + l * 3 % 32, "shuffle");
    expect(o.wide[i] == w + (l ^ 16) + 0.5, "shuffleXor of doubles");
    expect(o.votes[i] == 0x49249249u, "ballot");
    expect(o.any[i] == (w == 32) && o.all[i] == (w == 0), "anyOf, allOf");
    expect(o.same[i] == 0xFu << (l & ~3u), "lanesWithSame");
    expect(o.sum[i] == w * 32 + 496 && o.most[i] == 15 && o.least[i] == -16, "reduce");
  }
}

// Halves of a warp that go their own ways and meet again; a block whose last warp is not whole.
__global__ void parts(float* out) {
  const unsigned l = lane();
  float v = static_cast<float>(l);
  if (l < 16) v = shuffleXor(v, 1, 0x0000FFFFu);
  else v = shuffleXor(v, 2, 0xFFFF0000u) + 100.f;
  if (l % 2) warpBarrier(0xAAAAAAAAu);
  out[threadIdx.x] = shuffleXor(v, 1) ;
}
__global__ void lastWarp(uint32_t* out) { out[threadIdx.x] = cuda::ballot(true); }

void testMasks() {
  Buffer<float> o(32);
  run<parts>(1, 32, 0, o.data());
  for (unsigned l = 0; l < 32; l++) {
    const unsigned source = l ^ 1;
    expect(o[l] == (source < 16 ? static_cast<float>(source ^ 1) : static_cast<float>(source ^ 2) + 100.f), "lane %u of a warp that met in parts: %g", l, static_cast<double>(o[l]));
  }
  Buffer<uint32_t> votes(40);
  run<lastWarp>(1, 40, 0, votes.data());
  for (unsigned i = 0; i < 40; i++) expect(votes[i] == (i < 32 ? 0xFFFFFFFFu : 0xFFu), "lanes of a warp that is not whole");
}

template <unsigned kThreads> __global__ void reductions(const float* x, float* sums, float* maxima) {
  WW_SHARED(float, scratch, [32]);
  const float v = x[threadIdx.x];
  sums[threadIdx.x] = blockReduce<kThreads>(v, scratch, [](float a, float b) { return a + b; });
  maxima[threadIdx.x] = blockReduce<kThreads>(v, scratch, [](float a, float b) { return maximum(a, b); });
}

template <unsigned kThreads> void testReductions() {
  Buffer<float> x(kThreads), sums(kThreads), maxima(kThreads);
  float sum = 0, most = -1e9f;
  for (unsigned i = 0; i < kThreads; i++) {
    x[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50);
    sum += x[i];
    most = x[i] > most ? x[i] : most;
  }
  run<reductions<kThreads>>(1, kThreads, 0, x.data(), sums.data(), maxima.data());
  for (unsigned i = 0; i < kThreads; i++) expect(sums[i] == sum && maxima[i] == most, "reduction over %u threads", kThreads);
  x[kThreads / 2] = NAN;
  run<reductions<kThreads>>(1, kThreads, 0, x.data(), sums.data(), maxima.data());
  expect(std::isnan(sums[0]) && std::isnan(maxima[kThreads - 1]), "NaN is lost in a reduction");
}

// Producer and consumer warps that meet at barriers of a number.
__global__ void pipeline(const int* in, int* out, int n) {
  WW_SHARED(int, slot, [32]);
  if (threadIdx.x < 32) {
    for (int k = 0; k < n; k++) {
      slot[lane()] = in[k * 32 + static_cast<int>(lane())];
      barrierArrive(1, 64);   // full
      barrier(2, 64);         // empty
    }
  } else {
    for (int k = 0; k < n; k++) {
      barrier(1, 64);
      out[k * 32 + static_cast<int>(lane())] = slot[31 - lane()];
      barrierArrive(2, 64);
    }
  }
}

void testNamedBarriers() {
  Buffer<int> in(160), out(160);
  for (size_t i = 0; i < 160; i++) in[i] = static_cast<int>(i * i);
  run<pipeline>(1, 64, 0, in.data(), out.data(), 5);
  for (size_t i = 0; i < 160; i++) expect(out[i] == in[i / 32 * 32 + 31 - i % 32], "barriers of a number");
}

// Three dimensions of blocks and threads; shared memory that begins as NaN in every block.
__global__ void shapes(uint32_t* out, int* clean) {
  WW_SHARED(float, table, [4][6]);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z), n = blockDim.x * blockDim.y * blockDim.z;
  const unsigned number = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const auto* dynamic = sharedMemory<float>();
#ifdef WARPWEFT_SIMT
  const bool fresh = table[thread / 6][thread % 6] != table[thread / 6][thread % 6] && dynamic[thread] != dynamic[thread];
  if (!fresh) *clean = 0;
#else
  if (!dynamic) *clean = 0;
#endif
  barrier();
  table[thread / 6][thread % 6] = sharedMemory<float>()[thread] = 1;
  const bool kept = table[thread / 6][thread % 6] == 1 && sharedMemory<float>()[thread] == 1;
  out[number * n + thread] = kept ? number * 1000 + thread : 0xFFFFFFFFu;
}

void testShapes() {
  Buffer<uint32_t> out(2 * 3 * 2 * 24);
  Buffer<int> clean{1};
  run<shapes>(dim3(2, 3, 2), dim3(4, 3, 2), 24 * sizeof(float), out.data(), clean.data());
  expect(clean[0] == 1, "shared memory is not poisoned in every block");
  for (uint32_t i = 0; i < out.size(); i++) expect(out[i] == i / 24 * 1000 + i % 24, "thread %u of block %u", i % 24, i / 24);
}

struct Rounding { float in[16]; uint16_t bf[16], half[16]; uint32_t pairs[16], tf[16]; };
__global__ void roundings(Rounding* r) {
  const unsigned i = threadIdx.x;
  r->bf[i] = fromFloat<bf16>(r->in[i]).bits;
  r->half[i] = fromFloat<f16>(r->in[i]).bits;
  r->pairs[i] = packed<bf16>(r->in[i], r->in[15 - i]);
  r->tf[i] = toTf32(r->in[i]);
}

// Every value of a half type to float32 and back; and float32 values to it.
template <class T> __global__ void widen(float* out, uint16_t* back) {
  const unsigned h = blockIdx.x * 256 + threadIdx.x;
  out[h] = toFloat(T{static_cast<uint16_t>(h)});
  back[h] = fromFloat<T>(out[h]).bits;
}
template <class T> __global__ void narrow(const float* in, uint16_t* out) {
  const unsigned i = blockIdx.x * 256 + threadIdx.x;
  out[i] = fromFloat<T>(in[i]).bits;
}

template <class T> void testHalves() {
  constexpr DType t = dtypeOf<T>;
  Buffer<float> wide(65536), in(65536);
  Buffer<uint16_t> back(65536), out(65536);
  run<widen<T>>(256, 256, 0, wide.data(), back.data());
  for (uint32_t h = 0; h < 65536; h++) {
    const double e = fromHalf(t, static_cast<uint16_t>(h));
    if (std::isnan(e)) expect(std::isnan(wide[h]) && std::isnan(fromHalf(t, back[h])), "%s NaN 0x%04X", nameOf(t), h);
    else expect(static_cast<double>(wide[h]) == e && back[h] == h, "%s 0x%04X", nameOf(t), h);
  }
  std::mt19937 random(5);
  for (uint32_t i = 0; i < 65536; i++) {
    uint32_t bits = static_cast<uint32_t>(random());
    if (i % 2) bits = (bits & 0x80FFFFFFu) | (0x33u + bits % 20) << 24;   // half of them where float16 lives
    std::memcpy(&in[i], &bits, 4);
  }
  run<narrow<T>>(256, 256, 0, in.data(), out.data());
  for (uint32_t i = 0; i < 65536; i++)
    if (!std::isnan(in[i])) expect(out[i] == halfOf(t, static_cast<double>(in[i])), "%s of %a: 0x%04X", nameOf(t), static_cast<double>(in[i]), out[i]);
}

void testConversions() {
  testHalves<bf16>();
  testHalves<f16>();
  Buffer<Rounding> buffer(1);
  const float values[16] = {0, -0.f, 1, 1.00390625f, 1.01171875f, 65519, 65520, 1e-8f, 6e-8f, -3.14159f, 1e30f, 3.3e38f, 0.1f, 1 + 0x1p-11f, -1 - 0x1p-11f, 7};
  std::memcpy(buffer->in, values, sizeof values);
  run<roundings>(1, 16, 0, buffer.data());
  const Rounding& r = buffer[0];
  for (int i = 0; i < 16; i++) {
    expect(r.pairs[i] == (r.bf[i] | static_cast<uint32_t>(r.bf[15 - i]) << 16), "packed: the first in the low half");
    float t;
    std::memcpy(&t, &r.tf[i], 4);
    expect((r.tf[i] & 0x1FFF) == 0 && std::fabs(t - r.in[i]) <= std::fabs(r.in[i]) * 0x1p-11f, "toTf32");
  }
  expect(r.tf[13] == 0x3F802000u && r.tf[14] == 0xBF802000u, "toTf32: ties away from zero");
}

// mma of integers small enough to be exact: any wrong lane shows. A and B come out of shared memory by ldmatrix, as in a real kernel.
template <class T> __global__ void product16(const T* a, const T* b, const float* c, float* d) {
  WW_SHARED(T, as, [16][16]);
  WW_SHARED(T, bs, [16][8]);
  WW_SHARED(T, bt, [8][16]);
  for (unsigned i = threadIdx.x; i < 256; i += 32) as[i / 16][i % 16] = a[i];
  for (unsigned i = threadIdx.x; i < 128; i += 32) bs[i / 8][i % 8] = bt[i % 8][i / 8] = b[i];
  barrier();
  const unsigned l = lane(), g = l / 4, t = l % 4;
  uint32_t fa[4], fb[2], fc[2];
  ldmatrix<4>(fa, &as[l % 16][8 * (l / 16)]);
  ldmatrix<2, true>(fb, &bs[l % 16][0]);
  ldmatrix<2>(fc, &bt[l % 8][8 * (l / 8 % 2)]);
  float acc[4] = {c[g * 8 + 2 * t], c[g * 8 + 2 * t + 1], c[(g + 8) * 8 + 2 * t], c[(g + 8) * 8 + 2 * t + 1]};
  if (fb[0] != fc[0] || fb[1] != fc[1]) acc[0] = NAN;   // [K, N] transposed and [N, K] as it lies are the same fragment
  mma<T>(acc, fa, fb);
  for (unsigned i = 0; i < 4; i++) d[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = acc[i];
}

template <class T> void testProduct16() {
  Buffer<T> a(256), b(128);
  Buffer<float> c(128), d(128);
  for (int i = 0; i < 256; i++) a[static_cast<size_t>(i)].bits = halfOf(dtypeOf<T>, (i * 7 + i / 16) % 23 - 11);
  for (int i = 0; i < 128; i++) b[static_cast<size_t>(i)].bits = halfOf(dtypeOf<T>, (i * 5 + i / 8) % 19 - 9), c[static_cast<size_t>(i)] = static_cast<float>(i % 13);
  run<product16<T>>(1, 32, 0, a.data(), b.data(), c.data(), d.data());
  for (size_t i = 0; i < 16; i++)
    for (size_t j = 0; j < 8; j++) {
      float e = c[i * 8 + j];
      for (size_t k = 0; k < 16; k++) e += static_cast<float>(fromHalf(dtypeOf<T>, a[i * 16 + k].bits) * fromHalf(dtypeOf<T>, b[k * 8 + j].bits));
      expect(d[i * 8 + j] == e, "mma 16-bit at (%zu, %zu): %g, expected %g", i, j, static_cast<double>(d[i * 8 + j]), static_cast<double>(e));
    }
}

__global__ void productTf32(const float* a, const float* b, float* d) {
  const unsigned l = lane(), g = l / 4, t = l % 4;
  const uint32_t fa[4] = {toTf32(a[g * 8 + t]), toTf32(a[(g + 8) * 8 + t]), toTf32(a[g * 8 + t + 4]), toTf32(a[(g + 8) * 8 + t + 4])};
  const uint32_t fb[2] = {toTf32(b[t * 8 + g]), toTf32(b[(t + 4) * 8 + g])};
  float acc[4] = {0, 0, 0, 0};
  mmaTf32(acc, fa, fb);
  for (unsigned i = 0; i < 4; i++) d[(g + 8 * (i / 2)) * 8 + 2 * t + i % 2] = acc[i];
}

void testProductTf32() {
  Buffer<float> a(128), b(64), d(128);
  for (int i = 0; i < 128; i++) a[static_cast<size_t>(i)] = static_cast<float>((i * 7 + i / 8) % 23 - 11);
  for (int i = 0; i < 64; i++) b[static_cast<size_t>(i)] = static_cast<float>((i * 5 + i / 8) % 19 - 9);
  run<productTf32>(1, 32, 0, a.data(), b.data(), d.data());
  for (size_t i = 0; i < 16; i++)
    for (size_t j = 0; j < 8; j++) {
      float e = 0;
      for (size_t k = 0; k < 8; k++) e += a[i * 8 + k] * b[k * 8 + j];
      expect(d[i * 8 + j] == e, "mma tf32 at (%zu, %zu)", i, j);
    }
}

// One matrix of each count, as it lies and transposed, against the definition.
template <int kCount, bool kTransposed> __global__ void matrices(const uint16_t* in, uint32_t* out) {
  WW_SHARED(uint16_t, tile, [8 * kCount][8]);
  for (unsigned i = threadIdx.x; i < 64 * kCount; i += 32) tile[i / 8][i % 8] = in[i];
  barrier();
  uint32_t r[kCount];
  ldmatrix<kCount, kTransposed>(r, &tile[lane() % (8 * kCount)][0]);
  for (int i = 0; i < kCount; i++) out[i * 32 + static_cast<int>(lane())] = r[i];
}

template <int kCount, bool kTransposed> void testMatrices() {
  Buffer<uint16_t> input(256);
  Buffer<uint32_t> output(128);
  const uint16_t* in = input.data();
  const uint32_t* out = output.data();
  for (size_t i = 0; i < 256; i++) input[i] = static_cast<uint16_t>(i * 257);
  run<matrices<kCount, kTransposed>>(1, 32, 0, in, output.data());
  for (int i = 0; i < kCount; i++)
    for (int l = 0; l < 32; l++) {
      const int row = l / 4, column = l % 4 * 2, base = i * 64;
      const uint32_t low = in[base + (kTransposed ? column * 8 + row : row * 8 + column)], high = in[base + (kTransposed ? column * 8 + 8 + row : row * 8 + column + 1)];
      expect(out[i * 32 + l] == (low | high << 16), "ldmatrix<%d, %d> matrix %d lane %d", kCount, kTransposed, i, l);
    }
}

// Three stages in flight over any number of tiles, none included; the last tile is not whole.
template <int kBytes> __global__ void staged(const char* in, int bytes, char* out) {
  constexpr int kStages = 3, kTile = 32 * kBytes;
  WW_SHARED(char, ring, [kStages][kTile]);
  const int tiles = (bytes + kTile - 1) / kTile, mine = static_cast<int>(threadIdx.x) * kBytes;
  const auto issue = [&](int k) {
    const int begin = k * kTile + mine, left = bytes - begin;
    if (k < tiles) cpAsync<kBytes>(&ring[k % kStages][mine], left > 0 ? in + begin : in, static_cast<unsigned>(left >= kBytes ? kBytes : left > 0 ? left : 0));
    cpAsyncCommit();
  };
  for (int k = 0; k < kStages - 1; k++) issue(k);
  for (int k = 0; k < tiles; k++) {
    cpAsyncWait<kStages - 2>();
    barrier();
    for (int i = 0; i < kBytes; i++) out[k * kTile + mine + i] = ring[k % kStages][kTile - 1 - mine - i];
    issue(k + kStages - 1);
  }
}

template <int kBytes> void testCopies() {
  constexpr int kTile = 32 * kBytes;
  for (int bytes : {0, 1, kBytes, kTile - 1, kTile, kTile + 5, 4 * kTile, 7 * kTile - 3}) {
    const int tiles = (bytes + kTile - 1) / kTile;
    Buffer<char> memory(static_cast<size_t>(bytes) + kBytes), out(static_cast<size_t>(tiles) * kTile);
    char* in = memory.data();
    for (int i = 0; i < bytes; i++) in[i] = static_cast<char>(i * 7 + 1);
    run<staged<kBytes>>(1, 32, 0, in, bytes, out.data());
    for (int i = 0; i < tiles * kTile; i++) {
      const int source = i / kTile * kTile + kTile - 1 - i % kTile;
      expect(out[static_cast<size_t>(i)] == (source < bytes ? static_cast<char>(source * 7 + 1) : 0), "cpAsync<%d> of %d bytes, byte %d", kBytes, bytes, i);
    }
  }
}

__global__ void random8(DropoutSetting d, float* v8, float* v4, float* v1) {
  const DropoutStream s = d.read();
  const uint64_t e = 8 * static_cast<uint64_t>(threadIdx.x);
  float f8[8], f4[4], f1[1];
  dropoutFactors(s, e, f8);
  for (int i = 0; i < 8; i++) v8[e + static_cast<uint64_t>(i)] = f8[i];
  for (uint64_t h = 0; h < 8; h += 4) {
    dropoutFactors(s, e + h, f4);
    for (int i = 0; i < 4; i++) v4[e + h + static_cast<uint64_t>(i)] = f4[i];
  }
  for (uint64_t i = 0; i < 8; i++) dropoutFactors(s, e + i, f1), v1[e + i] = f1[0];
}

void testRandom() {
  Buffer<int64_t> state{-0x123456789ABCDEF, 7, 3};
  const DropoutStream reference = DropoutStream::from(state.data(), 42, 0.3);
  Buffer<float> v8(256), v4(256), v1(256);
  run<random8>(1, 32, 0, DropoutSetting::of(state.data(), 42, 0.3), v8.data(), v4.data(), v1.data());
  for (uint64_t g = 0; g < 32; g++) {
    float f[8];
    reference.factors(g, f);
    for (uint64_t i = 0; i < 8; i++) expect(v8[8 * g + i] == f[i] && v4[8 * g + i] == f[i] && v1[8 * g + i] == f[i], "dropout factor %d", static_cast<int>(8 * g + i));
  }
  // Known answer of Philox 4x32-10, from the paper's distribution (Random123, kat_vectors).
  uint32_t c[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
  Philox{0xa4093822, 0x299f31d0}(c[0], c[1], c[2], c[3]);
  expect(c[0] == 0xd16cfe09 && c[1] == 0x94fdcceb && c[2] == 0x5001e420 && c[3] == 0x24126ea1, "Philox known answer");
}

constexpr int kFunctions = 7;
__global__ void functions(const float* x, float* y, unsigned n) {
  const unsigned i = blockIdx.x * 256 + threadIdx.x;
  if (i >= n) return;
  const float v = x[i], all[kFunctions] = {cuda::exp(v), exp2Fast(v), cuda::erf(v), cuda::tanh(v), sigmoid(v), sigmoidPair(v).complement, normalCdf(v)};
  for (unsigned f = 0; f < kFunctions; f++) y[f * n + i] = all[f];
}

void testMath() {
  constexpr unsigned n = 4380;
  Buffer<float> x(n), y(kFunctions * n);
  for (unsigned i = 0; i < n; i++) x[i] = static_cast<float>(-30 + 0.0137 * i);
  run<functions>((n + 255) / 256, 256, 0, x.data(), y.data(), n);
  for (unsigned i = 0; i < n; i++) {
    const double d = static_cast<double>(x[i]);
    const struct { const char* name; double expected, units; } all[kFunctions] = {
        {"exp", std::exp(d), 2}, {"exp2Fast", std::exp2(d), 3}, {"erf", std::erf(d), 2}, {"tanh", std::tanh(d), 2}, {"sigmoid", 1 / (1 + std::exp(-d)), 4},
        {"1 - sigmoid", 1 / (1 + std::exp(d)), 4}, {"normalCdf", 0.5 * std::erfc(-d / std::sqrt(2.)), 6}};
    for (unsigned f = 0; f < kFunctions; f++) {
      const double got = static_cast<double>(y[f * n + i]);
      if (f == 6 && d < -12) continue;   // denormal results
      expect(std::fabs(got - all[f].expected) <= all[f].units * 0x1p-23 * std::fabs(all[f].expected) + 1e-37, "%s(%g) = %g, expected %g", all[f].name, d, got, all[f].expected);
    }
  }
}

__global__ void extremes(const float* x, float* y) {
  const unsigned i = threadIdx.x;
  y[3 * i] = maximum(x[2 * i], x[2 * i + 1]);
  y[3 * i + 1] = minimum(x[2 * i], x[2 * i + 1]);
  y[3 * i + 2] = larger(x[2 * i], x[2 * i + 1]);
}

// maximum and minimum let NaN through, larger lets the number through.
void testExtremes() {
  const float pairs[6][2] = {{1, 2}, {2, 1}, {-INFINITY, -3}, {NAN, 4}, {5, NAN}, {NAN, NAN}};
  Buffer<float> x(12), y(18);
  for (size_t i = 0; i < 12; i++) x[i] = pairs[i / 2][i % 2];
  run<extremes>(1, 6, 0, x.data(), y.data());
  const auto same = [](float a, float b) { return std::isnan(b) ? std::isnan(a) : a == b; };
  for (size_t i = 0; i < 6; i++) {
    const float a = pairs[i][0], b = pairs[i][1];
    const bool none = std::isnan(a) || std::isnan(b);
    expect(same(y[3 * i], none ? NAN : std::fmax(a, b)) && same(y[3 * i + 1], none ? NAN : std::fmin(a, b)), "maximum, minimum of pair %zu", i);
    expect(same(y[3 * i + 2], std::fmax(a, b)), "larger of pair %zu: %g", i, static_cast<double>(y[3 * i + 2]));
  }
}

}  // namespace
}  // namespace warpweft::test

int main() {
  using namespace warpweft::test;
  using warpweft::bf16, warpweft::f16;
  inEveryOrder([] {
    testConversions();
    testMath();
    testExtremes();
    testShuffles();
    testMasks();
    testReductions<32>();
    testReductions<64>();
    testReductions<256>();
    testReductions<1024>();
    testNamedBarriers();
    testShapes();
    testProduct16<bf16>();
    testProduct16<f16>();
    testProductTf32();
    testMatrices<1, false>();
    testMatrices<1, true>();
    testMatrices<2, false>();
    testMatrices<2, true>();
    testMatrices<4, false>();
    testMatrices<4, true>();
    testCopies<4>();
    testCopies<8>();
    testCopies<16>();
    testRandom();
  });
  return report("device layer");
}
