#include "ops/lerp.hpp"

#include "cpu/elementwise/tensor_list.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

void run(const Lerp& a, Context& c) {
  if (c.faulty()) return;
  const F32 weight = splat(*a.weight.as<const float>());
  auto* starts = static_cast<int64_t*>(c.workspace());
  countPieces(a.y, starts);
  forEachPiece(a.y, starts, c, [&](int64_t t, int64_t begin, int64_t end, int64_t) {
    float* y = a.y[t].as<float>() + begin;
    dispatchFloat(a.x[t].dtype, [&]<class T>() {
      const T* x = a.x[t].as<const T>() + begin;
      eachVector(end - begin, [&](int64_t i, auto lanes) {
        const F32 old = load(y + i, lanes);
        store(y + i, fma(weight, load(x + i, lanes) - old, old), lanes);
      });
    });
  });
}

size_t workspace(const Lerp& a) { return startBytes(a.y); }

}  // namespace
WW_KERNEL_WITH_WORKSPACE(Lerp)
}  // namespace warpweft::cpu::WW_ISA
