// Products of bfloat16 by tensor cores.
#include "cuda/gemm/multiply.hpp"

namespace warpweft::cuda::gemm {

template <> void multiply<bf16>(const Problem& p, const Plan& plan, void* memory, Stream stream) { multiplyHalf<bf16>(p, plan, memory, stream); }

}  // namespace warpweft::cuda::gemm
