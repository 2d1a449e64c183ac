// The op, and its products of float32. Those by tensor cores are in matmul_bf16.cu, matmul_f16.cu and matmul_tf32.cu.
#include "ops/matmul.hpp"

#include "cuda/gemm/multiply.hpp"
#include "cuda/gemm/row_sum.cuh"

namespace warpweft::cuda {
namespace gemm {

template <> void multiply<float>(const Problem& p, const Plan& plan, void* memory, Stream stream) {
  if (p.tf32 && plan.tile != TileChoice::few) return multiplyTf32(p, plan, memory, stream);
  const Epilogue epilogue = Epilogue::of(p);
  const Partials partials = partialsOf(p, plan, memory);
  const bool quadsA = quadsAlong(p, kA, false), quadsB = quadsAlong(p, kB, false);
  const auto with = [&]<class Tile>() {
    launchAll<float>(p, plan, epilogue, partials, stream, [&](const Schedule& s, dim3 blocks) {
      launch<fmaProduct<Tile>>(stream, blocks, Tile::kThreads, Tile::kShared, FmaProduct{p.a, p.b, p.M, p.N, p.K, quadsA, quadsB, s, p.batch, epilogue, partials});
    });
  };
  switch (plan.tile) {
    case TileChoice::large: return with.template operator()<LargeFma>();
    case TileChoice::small: return with.template operator()<SmallFma>();
    default: return with.template operator()<FewFma>();
  }
}

namespace {

bool empty(const Problem& p) { return p.M == 0 || p.N == 0 || p.batch.count == 0; }

int64_t sumBytes(const Matmul& a) { return a.rowSum ? sumParts(a.a.size(-1)) * a.a.size(-2) * int64_t{4} : 0; }

void sumRows(const Matmul& a, float* partial, Stream stream) {
  const int64_t M = a.a.size(-2), K = a.a.size(-1), parts = sumParts(K);
  if (M == 0) return;
  const Operand x{a.a.data, M == 1 ? 0 : a.a.stride(-2), a.a.stride(-1)};
  dispatchFloat(a.a.dtype, [&]<class T>() {
    launch<sumLines<T>>(stream, dim3(static_cast<unsigned>(ceilDiv(M, kSumLines)), static_cast<unsigned>(parts)), kSumThreads, 0, x, M, K, parts, partial);
  });
  launch<addParts>(stream, blocksFor(M, kAddThreads), kAddThreads, 0, partial, M, parts, a.rowSum.as<float>(), a.rowSum.accumulate);
}

}  // namespace
}  // namespace gemm

size_t workspace(const Matmul& a, const DeviceInfo& info) {
  const gemm::Problem p = gemm::problemOf(a);
  return static_cast<size_t>((gemm::empty(p) ? 0 : gemm::partialBytes(p, gemm::planOf(p, info))) + gemm::sumBytes(a));
}

void run(const Matmul& a, Context& context) {
  const gemm::Problem p = gemm::problemOf(a);
  const gemm::Plan plan = gemm::planOf(p, context.info());
  if (a.rowSum) gemm::sumRows(a, reinterpret_cast<float*>(static_cast<char*>(context.workspace()) + (gemm::empty(p) ? 0 : gemm::partialBytes(p, plan))), context.stream());
  if (gemm::empty(p)) return;
  dispatchFloat(p.type, [&]<class T>() { gemm::multiply<T>(p, plan, context.workspace(), context.stream()); });
}

}  // namespace warpweft::cuda

WW_CUDA_KERNEL_WITH_WORKSPACE(Matmul)
