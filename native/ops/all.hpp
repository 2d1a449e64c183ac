#pragma once
// The list of ops: the one place where an op is registered. Its position is its index in every backend's table.
#include "ops/adam_w.hpp"
#include "ops/argmax.hpp"
#include "ops/attention.hpp"
#include "ops/binary.hpp"
#include "ops/copy.hpp"
#include "ops/cross_entropy.hpp"
#include "ops/cumsum.hpp"
#include "ops/dequantize.hpp"
#include "ops/dropout.hpp"
#include "ops/embedding.hpp"
#include "ops/fill.hpp"
#include "ops/gated.hpp"
#include "ops/gather.hpp"
#include "ops/grad_norm.hpp"
#include "ops/index_select.hpp"
#include "ops/layer_norm.hpp"
#include "ops/lerp.hpp"
#include "ops/loss_scale.hpp"
#include "ops/matmul.hpp"
#include "ops/reduce.hpp"
#include "ops/rms_norm.hpp"
#include "ops/rotary.hpp"
#include "ops/scatter_add.hpp"
#include "ops/sgd.hpp"
#include "ops/softmax.hpp"
#include "ops/top_k.hpp"
#include "ops/unary.hpp"
#include "ops/uniform.hpp"
#include "ops/where.hpp"

#define WARPWEFT_OPS(X)      \
  X(AdamW)                   \
  X(ArgMax)                  \
  X(Attention)               \
  X(AttentionBackward)       \
  X(Binary)                  \
  X(Copy)                    \
  X(CrossEntropy)            \
  X(CrossEntropyBackward)    \
  X(Cumsum)                  \
  X(DequantizeInt8)          \
  X(DequantizeNF4)           \
  X(Dropout)                 \
  X(Embedding)               \
  X(EmbeddingBackward)       \
  X(Fill)                    \
  X(Gated)                   \
  X(GatedBackward)           \
  X(Gather)                  \
  X(GradNorm)                \
  X(IndexAdd)                \
  X(IndexSelect)             \
  X(LayerNorm)               \
  X(LayerNormBackward)       \
  X(Lerp)                    \
  X(LossScale)               \
  X(Matmul)                  \
  X(RMSNorm)                 \
  X(RMSNormBackward)         \
  X(Reduce)                  \
  X(Rotary)                  \
  X(ScalarBinary)            \
  X(ScatterAdd)              \
  X(Sgd)                     \
  X(Softmax)                 \
  X(SoftmaxBackward)         \
  X(TopK)                    \
  X(Unary)                   \
  X(UnaryBackward)           \
  X(Uniform)                 \
  X(Where)

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
