/** Every error of warpweft carries one of these stable codes. */
export type ErrorCode =
  | 'ERR_SHAPE' | 'ERR_DTYPE' | 'ERR_DISPOSED' | 'ERR_DEVICE' | 'ERR_INDEX' | 'ERR_OUT_OF_MEMORY' | 'ERR_AUTOGRAD'
  | 'ERR_CHECKPOINT' | 'ERR_DATA' | 'ERR_CONFIG' | 'ERR_TOKENIZER' | 'ERR_ABORTED' | 'ERR_NUMERICS' | 'ERR_ADDON'

/** Base class: `code` is stable across releases, the message says what was expected, what came and what to do. */
export class WarpweftError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.name = new.target.name
  }
}

function errorClass(code: ErrorCode) {
  return class extends WarpweftError {
    constructor(message: string, options?: ErrorOptions) { super(code, message, options) }
  }
}

/** A rank, size, stride or overlap that an operation does not accept. */
export class ShapeError extends errorClass('ERR_SHAPE') {}
/** Element types that an operation does not accept or that do not belong together. */
export class DTypeError extends errorClass('ERR_DTYPE') {}
/** A tensor was used after it had been disposed of. */
export class DisposedError extends errorClass('ERR_DISPOSED') {}
/** A device is unknown, missing, or failed in queued work. */
export class DeviceError extends errorClass('ERR_DEVICE') {}
/** An id, label or index lies outside of its range. Concerns the results computed from it, nothing else. */
export class IndexError extends errorClass('ERR_INDEX') {}
/** Memory could not be reserved. Nothing was changed; smaller work may follow. */
export class OutOfMemoryError extends errorClass('ERR_OUT_OF_MEMORY') {}
/** A gradient was asked for where there is none, twice, or of something that has changed since. */
export class AutogradError extends errorClass('ERR_AUTOGRAD') {}
/** A model directory, weights file or checkpoint cannot be read or written. */
export class CheckpointError extends errorClass('ERR_CHECKPOINT') {}
/** Training or evaluation data cannot be read as what it was said to be. */
export class DataError extends errorClass('ERR_DATA') {}
/** An option, configuration key or command-line flag is unknown or has a value outside of its range. */
export class ConfigError extends errorClass('ERR_CONFIG') {}
/** A tokenizer cannot be loaded, trained or applied. */
export class TokenizerError extends errorClass('ERR_TOKENIZER') {}
/** The caller's AbortSignal fired. */
export class AbortedError extends errorClass('ERR_ABORTED') {}
/** A loss or gradient is NaN or infinite where the policy says to stop. */
export class NumericsError extends errorClass('ERR_NUMERICS') {}
/** The native addon cannot be found or loaded. */
export class AddonError extends errorClass('ERR_ADDON') {}
