// Products of float16 by tensor cores.
#include "cuda/gemm/multiply.hpp"

namespace warpweft::cuda::gemm {

template <> void multiply<f16>(const Problem& p, const Plan& plan, void* memory, Stream stream) { multiplyHalf<f16>(p, plan, memory, stream); }

}  // namespace warpweft::cuda::gemm
