import * as errors from '../errors.js'
import { loadAddon } from './addon.js'
import type { Native } from './nativeOps.js'

// The session of this evaluation of the module. Handles are numbers; 0 is "absent". A gradient argument is a handle to be overwritten, or its negative to be
// accumulated into.

const classes: Record<string, new (message: string) => Error> = {
  ERR_SHAPE: errors.ShapeError, ERR_DTYPE: errors.DTypeError, ERR_DISPOSED: errors.DisposedError, ERR_DEVICE: errors.DeviceError, ERR_INDEX: errors.IndexError,
  ERR_OUT_OF_MEMORY: errors.OutOfMemoryError, ERR_CONFIG: errors.ConfigError,
}

function makeError(code: string, message: string): Error {
  const ErrorClass = classes[code] ?? errors.DeviceError
  return new ErrorClass(message)
}

interface Waiter { resolve(buffer: ArrayBuffer | null): void, reject(error: Error): void }
const waiting = new Map<number, Waiter>()
let lastId = 0

function settle(id: number, buffer: ArrayBuffer | null, code: string | null, message: string | null): void {
  const waiter = waiting.get(id)
  if (!waiter) return
  waiting.delete(id)
  if (code !== null) waiter.reject(makeError(code, message ?? ''))
  else waiter.resolve(buffer)
}

function open(): Native {
  const addon = loadAddon()
  try {
    return addon.open(makeError, settle)
  } catch (error) {
    // Before there is a session, native code has no classes of ours to throw.
    throw makeError((error as NodeJS.ErrnoException).code ?? '', (error as Error).message)
  }
}

export const native = open()

/** Starts a read or a fence with a fresh id and waits for it. */
export function waitFor(start: (id: number) => void): Promise<ArrayBuffer | null> {
  return new Promise((resolve, reject) => {
    const id = ++lastId
    waiting.set(id, { resolve, reject })
    try {
      start(id)
    } catch (error) {
      waiting.delete(id)
      reject(error as Error)
    }
  })
}
