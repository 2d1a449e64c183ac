// Speed of matmul beside the multiply-add peak measured in the same run: the best of many short samples of both.
//   matmul_bench [isa] [threads] [seconds per shape]
// One thread is timed by its processor time, so that other processes cost little; several by the clock.
#include <time.h>

#include <algorithm>

#include "cpu/processor.hpp"
#include "ops/matmul.hpp"
#include "runtime/pool.hpp"
#include "test_context.hpp"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

WW_DECLARE(Matmul)

using namespace warpweft;
using namespace warpweft::test;

namespace {

class PoolContext final : public Context {
 public:
  int threads() const override { return Pool::instance().threads(); }
  void* threadScratch(int thread, size_t bytes) override { return Pool::instance().scratch(thread, bytes); }
  void* workspace() const override { return memory; }
  void indexFault(int64_t, int64_t, int64_t) override {}
  bool faulty() const override { return false; }
  void* memory = nullptr;

 protected:
  void parallelChunks(int64_t chunks, void (*body)(void*, int64_t, int), void* argument) override { Pool::instance().run(chunks, body, argument); }
};

double now(bool own) {
  timespec t;
  clock_gettime(own ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Multiply-adds of 24 independent sums; returns the number of floating-point operations.
template <class V> [[gnu::always_inline]] inline double chains(int64_t n) {
  V a, b, s[12];
  for (size_t i = 0; i < sizeof(V) / 4; i++) a[i] = 0.999f, b[i] = 1e-6f;
  for (auto& x : s) x = b;
  for (int64_t k = 0; k < n; k++) {
#if defined(__x86_64__)
#define WW_FMA(x) asm volatile("vfmadd231ps %1, %2, %0" : "+v"(x) : "v"(a), "v"(b));
#else
#define WW_FMA(x) x += a * b; asm volatile("" : "+w"(x));
#endif
#pragma GCC unroll 12
    for (auto& x : s) { WW_FMA(x) }
#pragma GCC unroll 12
    for (auto& x : s) { WW_FMA(x) }
  }
  return 24. * 2 * static_cast<double>(n) * (sizeof(V) / 4);
}
typedef float V4 __attribute__((vector_size(16)));
#if defined(__x86_64__)
typedef float V8 __attribute__((vector_size(32)));
typedef float V16 __attribute__((vector_size(64)));
[[gnu::target("avx2,fma"), gnu::noinline]] double peakAvx2(int64_t n) { return chains<V8>(n); }
[[gnu::target("avx512f"), gnu::noinline]] double peakAvx512(int64_t n) { return chains<V16>(n); }
#else
[[gnu::noinline]] double peakBaseline(int64_t n) { return chains<V4>(n); }
#endif

double peakSample(const std::string& isa, bool own) {
  PoolContext c;
  const int threads = c.threads();
  std::vector<double> operations(static_cast<size_t>(threads));
  const double start = now(own);
  c.parallelFor(threads, 1, [&](int64_t i, int64_t, int) {
#if defined(__x86_64__)
    operations[static_cast<size_t>(i)] = isa[0] == 'a' && isa != "avx2" ? peakAvx512(20000) : peakAvx2(20000);
#else
    operations[static_cast<size_t>(i)] = peakBaseline(20000);
#endif
  });
  double total = 0;
  for (double o : operations) total += o;
  return total / (now(own) - start) * 1e-9;
}

struct Shape { int64_t batch, M, N, K; const char* layouts; };

}  // namespace

int main(int count, char** values) {
  const std::string wanted = count > 1 ? values[1] : "avx512";
  const int threads = count > 2 ? std::atoi(values[2]) : 1;
  const double seconds = count > 3 ? std::atof(values[3]) : 0.3;
  const std::string only = count > 4 ? values[4] : "";
  Pool::instance().limit(threads);
  const bool own = threads == 1;
  const Kernel* kernel = nullptr;
  const auto kernels = WW_ENTRIES(Matmul);
  const bool tiles = wanted == "amx";   // the kernels of avx512, with bfloat16 in tile registers
  for (const Kernel& k : kernels) if ((tiles ? "avx512" : wanted) == k.isa) kernel = &k;
  if (!kernel || (tiles && !cpu::hasTiles())) { std::fprintf(stderr, "%s is not supported here\n", wanted.c_str()); return 1; }
  cpu::useTiles(tiles);
  const Shape shapes[] = {
      {1, 1024, 1024, 1024, "NN NT TN"}, {1, 256, 256, 256, "NN NT TN"}, {1, 512, 512, 512, "NN NT TN"}, {1, 128, 128, 128, "NN NT TN"}, {1, 2048, 512, 2048, "NN NT TN"}, {1, 2048, 2048, 512, "NT"},
      {1, 1024, 128, 256, "NN NT TN"}, {1, 768, 65, 128, "NN NT TN"}, {1, 512, 512, 8192, "TN"}, {1, 128, 128, 8192, "TN"}, {1, 65, 128, 8192, "TN"}, {1, 512, 8192, 512, "NT"},
      {1, 1, 2048, 512, "NN NT"}, {1, 4, 2048, 512, "NN NT"}, {1, 8, 768, 768, "NN NT"}, {1, 16, 768, 768, "NN NT"}, {1, 32, 768, 768, "NN NT"}, {1, 1, 16384, 768, "NN NT"},
      {512, 16, 16, 32, "NN NT TN"}, {64, 64, 64, 64, "NN NT TN"}, {32, 128, 128, 64, "NN NT"}, {1, 4096, 2, 768, "NT"}, {1, 64, 64, 64, "NN NT TN"},
  };
  std::printf("%-24s %-4s %-4s %10s %8s %8s %8s\n", "batch x M x N x K", "", "", "us", "GFLOP/s", "of peak", "GB/s of b");
  std::mt19937 generator(1);
  for (const Shape& s : shapes)
    for (const char* layout = s.layouts; *layout; layout += layout[2] ? 3 : 2)
      for (DType type : {DType::f32, DType::bf16, DType::f16}) {
        char name[64];
        std::snprintf(name, sizeof name, "%lldx%lldx%lldx%lld %.2s %s", static_cast<long long>(s.batch), static_cast<long long>(s.M), static_cast<long long>(s.N), static_cast<long long>(s.K), layout,
                      nameOf(type));
        if (only.empty() ? type != DType::f32 : std::string(name).find(only) == std::string::npos) continue;
        const auto matrix = [&](int64_t rows, int64_t columns, bool transposed) {
          return transposed ? Tensor(type, {s.batch, rows, columns}, {rows * columns, 1, rows}) : Tensor(type, {s.batch, rows, columns});
        };
        Tensor a = matrix(s.M, s.K, layout[0] == 'T'), b = matrix(s.K, s.N, layout[1] == 'T'), c = matrix(s.M, s.N, false);
        for (Tensor* t : {&a, &b}) {
          const int64_t n = t->numel();
          for (int64_t i = 0; i < n; i++) {
            const float x = static_cast<float>(generator() % 2048) / 1024.f - 1.f;
            if (type == DType::f32) t->view().as<float>()[i] = x;
            else t->view().as<uint16_t>()[i] = halfOf(type, static_cast<double>(x));
          }
        }
        const Matmul op{a.in(), b.in(), c.grad(), absentIn(), absentOut(), absentIn(), absentGrad(), 0, 1.0};
        PoolContext context;
        const size_t bytes = kernel->entry->workspace(&op);
        if (posix_memalign(&context.memory, 4096, bytes + 1)) return 1;
        const double operations = 2. * static_cast<double>(s.batch) * static_cast<double>(s.M) * static_cast<double>(s.N) * static_cast<double>(s.K);
        const int64_t repeats = std::max<int64_t>(1, static_cast<int64_t>(2e7 / operations));
        double best = 1e9, peak = 0;
        const double end = now(false) + seconds;
        do {
          peak = std::max(peak, peakSample(wanted, own));
          for (int i = 0; i < 4; i++) {
            const double start = now(own);
            for (int64_t r = 0; r < repeats; r++) kernel->entry->launch(&op, context);
            best = std::min(best, (now(own) - start) / static_cast<double>(repeats));
          }
        } while (now(false) < end);
        std::printf("%-36s %10.2f %8.1f %7.1f%% %8.1f\n", name, best * 1e6, operations / best * 1e-9, 100 * operations / best * 1e-9 / peak,
                    static_cast<double>(s.batch * s.N * s.K * sizeOf(type)) / best * 1e-9);
        std::fflush(stdout);
        std::free(context.memory);
      }
  return 0;
}
