#include "ops/loss_scale.hpp"

#include "cpu/kernel.hpp"

namespace warpweft::cpu::WW_ISA {
namespace {

void run(const LossScale& a, Context& c) {
  if (!c.faulty()) LossScale::update(a.state.as<float>(), *a.norm.as<const float>(), a.growthInterval);
}

}  // namespace
WW_KERNEL(LossScale)
}  // namespace warpweft::cpu::WW_ISA
