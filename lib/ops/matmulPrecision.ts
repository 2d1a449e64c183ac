import { ConfigError } from '../errors.js'
import { context, withContext } from '../tensor/scope.js'

let everywhere = false

/**
 * How products of float32 are computed on GPUs: 'highest' (default) rounds nothing but sums, as the CPU does; 'high' lets tensor cores round both operands to TF32, 10 bits of
 * fraction, with float32 sums: several times faster, with relative errors of about 5e-4 an operand. The CPU always computes in float32.
 * @see torch.set_float32_matmul_precision
 */
export function setFloat32MatmulPrecision(precision: 'highest' | 'high'): void {
  if (!['highest', 'high'].includes(precision)) throw new ConfigError(`setFloat32MatmulPrecision: '${precision}' is unknown, expected 'highest' or 'high'`)
  everywhere = precision === 'high'
}

/** @internal Runs `fn` with TF32 on or off, whatever is set elsewhere; undefined: as it is there. */
export const withTf32 = <T>(on: boolean | undefined, fn: () => T): T => on === undefined ? fn() : withContext({ tf32: on }, fn)

/** @internal Whether float32 products may be rounded to TF32 here. */
export const usesTf32 = (): boolean => context().tf32 ?? everywhere
