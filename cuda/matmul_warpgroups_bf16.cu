// Products of bfloat16 by warpgroups, for sm_90.
#include "cuda/gemm/multiply.hpp"

namespace warpweft::cuda::gemm {

template <> void multiplyByWarpgroups<bf16>(const Problem& p, const Plan& plan, void* memory, Stream stream) { multiplyByGroups<bf16>(p, plan, memory, stream); }

}  // namespace warpweft::cuda::gemm
