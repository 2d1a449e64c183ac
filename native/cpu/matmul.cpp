#include "ops/matmul.hpp"

#include "cpu/gemm/blocked.hpp"
#include "cpu/gemm/dots.hpp"
#include "cpu/gemm/weighted_rows.hpp"
#include "cpu/kernel.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

using namespace gemm;

// Bytes of memory for a product, whatever its numbers turn out to be.
int64_t bytesFor(const Product& p, const Plan& q) { return q.tiles && p.type != DType::bf16 ? maximum(q.bytes(), planOf(p, false).bytes()) : q.bytes(); }

// One product. `memory` has bytesFor(p, q).
void product(const Product& p, const Plan& q, char* memory, const Workers& workers) {
  dispatchFloat(p.type, [&]<class T>() {
    if (q.dots) return dots<T>(p, memory, workers);
    if (q.weighted) return weightedRows<T>(p, memory, workers);
#if defined(WW_TILES)
    if (q.tiles) {
      if (ordinary<T>(p, workers)) return Blocked<TileElement<T>, TileElement<T>, T>::run(p, q, memory, workers);
      return Blocked<float, T, T>::run(p, planOf(p, false), memory, workers);
    }
#endif
    if constexpr (kPairs && std::is_same_v<T, bf16>)
      if (q.pairs) return Blocked<Pair, Pair, T>::run(p, q, memory, workers);
    Blocked<float, T, T>::run(p, q, memory, workers);
  });
}

// Products of a batch that are small enough go to one thread each, which packs them in its own scratch.
bool apart(const Batch& batch, int64_t bytes) { return batch.count > 1 && bytes <= (1 << 20); }

// The sums over k where there are no columns of b to multiply with.
void sumRows(const Matmul& op) {
  dispatchFloat(op.a.dtype, [&]<class T>() {
    for (int64_t i = 0; i < op.a.size(-2); i++) {
      float sum = op.rowSum.accumulate ? op.rowSum.as<float>()[i] : 0.f;
      for (int64_t k = 0; k < op.a.size(-1); k++) sum += toFloat(op.a.as<const T>()[i * op.a.stride(-2) + k * op.a.stride(-1)]);
      op.rowSum.as<float>()[i] = sum;
    }
  });
}

size_t workspace(const Matmul& op) {
  const Batch batch = batchOf(op);
  if (batch.count == 0 || batch.first.M == 0 || batch.first.N == 0) return 0;
  return static_cast<size_t>(bytesFor(batch.first, planOf(batch.first)));
}

void run(const Matmul& op, Context& c) {
  const Batch batch = batchOf(op);
  const Product& p = batch.first;
  if (op.rowSum && op.b.size(-1) == 0) return sumRows(op);
  if (batch.count == 0 || p.M == 0 || p.N == 0) return;
  const Plan q = planOf(p);
  const int64_t bytes = bytesFor(p, q);
  if (apart(batch, bytes)) {
    const int64_t kept = roundUp(bytes, 64);
    c.parallelFor(batch.count, maximum(1, kTaskProducts / maximum(1, p.M * p.N * p.K)), [&](int64_t begin, int64_t end, int thread) {
      char* const memory = static_cast<char*>(c.threadScratch(thread, static_cast<size_t>(kept + kScratchBytes)));
      const Workers self{c, thread, reinterpret_cast<float*>(memory + kept)};
      for (int64_t i = begin; i < end; i++) product(batch[i], q, memory, self);
    });
    return;
  }
  // Few rows are bound by reading b, others by arithmetic.
  const bool alone = q.dots || q.weighted ? bytesOfB(p) * p.M < kWakeBytes : p.M * p.N * p.K < 2 * kTaskProducts;
  const Workers all{c, alone ? 0 : -1};
  for (int64_t i = 0; i < batch.count; i++) product(batch[i], q, static_cast<char*>(c.workspace()), all);
}

}  // namespace
WW_KERNEL_WITH_WORKSPACE(Matmul)
}  // namespace warpweft::cpu::WW_ISA
