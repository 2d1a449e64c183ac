import { setImmediate } from 'node:timers/promises'

/** Longest time in which timers, sockets and signals get no turn, in milliseconds. */
const longest = 10

/**
 * Keeps the event loop free where the device is faster than the host: then every wait is over at once, and Node hands over up to a thousand results in a row
 * before it looks at anything else.
 */
export class EventLoopTurns {
  private last = performance.now()

  /** Gives the event loop its turn, if that has been long ago. */
  async giveIfDue(): Promise<void> {
    if (performance.now() - this.last < longest) return
    await setImmediate()
    this.last = performance.now()
  }
}
