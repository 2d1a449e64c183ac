import { setImmediate } from 'node:timers/promises'

/** Longest time in which timers, sockets and signals get no turn, in milliseconds. */
const longest = 10

/**
 * Keeps the event loop free in long work: where the device is faster than the host, every wait is over at once, and Node hands over up to a thousand results
 * in a row before it looks at anything else; and where the host computes, it looks at nothing at all.
 */
export class EventLoopTurns {
  private last = performance.now()

  /** Whether the event loop has had no turn for long. For loops that are too hot to wait in each round. */
  get isDue(): boolean { return performance.now() - this.last >= longest }

  /** Gives the event loop its turn, if that has been long ago. */
  async giveIfDue(): Promise<void> {
    if (!this.isDue) return
    await setImmediate()
    this.last = performance.now()
  }
}
