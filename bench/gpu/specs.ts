// What gpu-verify.sh measures, here and under the same description in peer.py. Sizes are those of training; on the emulator tiny ones, which only show that the way goes through.

interface Named { name: string, /** Floating-point operations of a run. */ flop?: number, /** Bytes that it has to move at least. */ bytes?: number, /** Tokens of a run. */ tokens?: number }
export type Spec = Named & (
  | { kind: 'copy' | 'gelu', n: number, dtype: 'float32' | 'bfloat16' }
  | { kind: 'layerNorm', rows: number, columns: number, backward: boolean }
  | { kind: 'crossEntropy', rows: number, columns: number }
  | { kind: 'adamW', sizes: readonly number[] }
  | { kind: 'matmul', M: number, N: number, K: number, dtype: 'float32' | 'bfloat16', tf32: boolean, transposed: boolean }
  | { kind: 'attention', B: number, S: number, H: number, D: number, causal: boolean, backward: boolean }
  | { kind: 'step', B: number, T: number, layers: number, heads: number, width: number, vocabulary: number })

function matmul(M: number, N: number, K: number, dtype: 'float32' | 'bfloat16', { tf32 = false, transposed = false } = {}): Spec {
  return { kind: 'matmul', name: `matmul ${tf32 ? 'tf32' : dtype} ${M} x ${N} x ${K}${transposed ? ', a transposed' : ''}`, M, N, K, dtype, tf32, transposed, flop: 2 * M * N * K }
}

/** bfloat16. Half of the scores where it is causal; the backward pass has 2.5 times the products of the forward one. */
function attention(B: number, S: number, H: number, D: number, { causal = false, backward = false } = {}): Spec {
  return { kind: 'attention', name: `attention ${backward ? 'forward + backward' : 'forward'} S ${S} D ${D}${causal ? ' causal' : ''}`, B, S, H, D, causal, backward, flop: 4 * B * H * S * S * D / (causal ? 2 : 1) * (backward ? 3.5 : 1) }
}

/** The sizes of GPT-2's parameters: what the optimizer goes over. */
const parameterSizes = (layers: number, C: number, V: number, T: number): number[] =>
  [V * C, T * C, ...Array.from({ length: layers }, () => [C, C, 3 * C * C, 3 * C, C * C, C, C, C, 4 * C * C, 4 * C, 4 * C * C, C]).flat(), C, C]

/** @param emulated the emulator in the GPU's place */
export function specs(emulated: boolean): Spec[] {
  const size = emulated ? 64 : 4096, n = emulated ? 1 << 10 : 1 << 28, rows = emulated ? 8 : 1 << 18, columns = emulated ? 64 : 1024, V = emulated ? 97 : 50257
  const tokens = emulated ? 8 : 1 << 14, model = emulated ? { layers: 1, heads: 2, width: 32 } : { layers: 12, heads: 12, width: 768 }
  const sizes = parameterSizes(model.layers, model.width, V, emulated ? 16 : 1024), parameters = sizes.reduce((a, b) => a + b, 0), S = emulated ? 32 : 4096, B = emulated ? 1 : 4, H = emulated ? 2 : 16
  const step = emulated ? { B: 2, T: 16 } : { B: 64, T: 1024 }
  return [
    { kind: 'copy', name: 'copy float32', n, dtype: 'float32', bytes: 8 * n },
    { kind: 'gelu', name: 'GELU bfloat16', n, dtype: 'bfloat16', bytes: 4 * n },
    { kind: 'layerNorm', name: 'LayerNorm forward bfloat16', rows, columns, backward: false, bytes: 4 * rows * columns },
    { kind: 'layerNorm', name: 'LayerNorm forward + backward bfloat16', rows, columns, backward: true, bytes: 10 * rows * columns },
    { kind: 'crossEntropy', name: 'cross entropy forward + backward bfloat16', rows: tokens, columns: V, bytes: 6 * tokens * V },
    { kind: 'adamW', name: 'AdamW with clipping', sizes, bytes: 32 * parameters },
    matmul(size, size, size, 'bfloat16'), matmul(2 * size, 2 * size, 2 * size, 'bfloat16'),
    matmul(tokens, 4 * model.width, model.width, 'bfloat16'), matmul(model.width, 4 * model.width, tokens, 'bfloat16', { transposed: true }),
    matmul(size, size, size, 'float32'), matmul(size, size, size, 'float32', { tf32: true }),
    attention(B, S, H, 128), attention(B, S, H, 128, { causal: true }), attention(B, S, H, 64, { causal: true }), attention(B, S, H, 128, { causal: true, backward: true }),
    { kind: 'step', name: `GPT-2 step bfloat16 B ${step.B} T ${step.T}`, ...step, ...model, vocabulary: V, tokens: step.B * step.T },
  ]
}
