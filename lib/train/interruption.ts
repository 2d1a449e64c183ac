/** The signals that end work early, and the exit codes that shells expect for them. */
export const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const
type Signal = keyof typeof exitCodes

/**
 * The wish to stop soon: SIGINT, SIGTERM or the caller's AbortSignal. The first one is remembered, so that the step can be finished and saved; a second
 * signal of the system exits at once. The handlers are there from `begin` to `end`.
 */
export class Interruption {
  private readonly controller = new AbortController()
  private cause: Signal | 'abort' | undefined
  private readonly handlers = new Map<Signal, () => void>()
  private readonly onAbort = (): void => { this.interrupt('abort') }

  /** @param announce told once, when a signal comes */
  constructor(private readonly signals: boolean, private readonly abort: AbortSignal | undefined, private readonly announce: (line: string) => void) {}

  /** What came, if something did. */
  get reason(): Signal | 'abort' | undefined { return this.cause }

  /** Fires with the interruption: for work that can be cut short. */
  get signal(): AbortSignal { return this.controller.signal }

  begin(): void {
    if (this.signals) {
      for (const signal of Object.keys(exitCodes) as Signal[]) {
        const handler = (): void => {
          if (this.cause !== undefined && this.cause !== 'abort') {
            this.announce(`${signal} again: exiting at once. Steps after the last checkpoint are lost.`)
            process.exit(exitCodes[signal])
          }
          this.interrupt(signal)
          this.announce(`${signal}: finishing the step and saving. Once more to exit at once.`)
        }
        this.handlers.set(signal, handler)
        process.on(signal, handler)
      }
    }
    if (this.abort?.aborted) this.onAbort()
    else this.abort?.addEventListener('abort', this.onAbort, { once: true })
  }

  end(): void {
    for (const [signal, handler] of this.handlers) process.off(signal, handler)
    this.handlers.clear()
    this.abort?.removeEventListener('abort', this.onAbort)
  }

  private interrupt(cause: Signal | 'abort'): void {
    this.cause = cause
    this.controller.abort(cause)
  }
}
