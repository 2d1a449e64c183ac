#pragma once
// The list of ops: the one place where an op is registered. Its position is its index in every backend's table.
#include "ops/copy.hpp"
#include "ops/cross_entropy.hpp"
#include "ops/dropout.hpp"
#include "ops/embedding.hpp"
#include "ops/fill.hpp"
#include "ops/layer_norm.hpp"
#include "ops/rms_norm.hpp"
#include "ops/softmax.hpp"

#define WARPWEFT_OPS(X)   \
  X(Copy)                 \
  X(CrossEntropy)         \
  X(CrossEntropyBackward) \
  X(Dropout)              \
  X(Embedding)            \
  X(EmbeddingBackward)    \
  X(Fill)                 \
  X(LayerNorm)            \
  X(LayerNormBackward)    \
  X(RMSNorm)              \
  X(RMSNormBackward)      \
  X(Softmax)              \
  X(SoftmaxBackward)

namespace warpweft {

enum class OpIndex : int {
#define X(Op) Op,
  WARPWEFT_OPS(X)
#undef X
  count
};
inline constexpr int kOpCount = static_cast<int>(OpIndex::count);

template <class Op> inline constexpr int opIndex = -1;
#define X(Op) template <> inline constexpr int opIndex<Op> = static_cast<int>(OpIndex::Op);
WARPWEFT_OPS(X)
#undef X

}  // namespace warpweft
