import { exitCodes } from '../train/interruption.js'

const nothingWritten = 'Nothing was written: run the same command again.'

/** What the command is doing, and what is left of it if it ends now. */
let now: { doing: string, left: () => string } = { doing: 'starting', left: () => nothingWritten }
/** While a training runs, which finishes its step and saves. */
let othersAnswer = false

/**
 * Says what comes next, for the one line that Ctrl-C and SIGTERM get.
 * @param doing as in `reading the text`   @param left what is lost or kept, and what to do; may bring results to safety, without waiting
 */
export function atWork(doing: string, left: () => string = () => nothingWritten): void {
  now = { doing, left }
}

/** Leaves signals to `work`, which has its own answer to them. */
export async function answeringItself<T>(work: () => Promise<T>): Promise<T> {
  othersAnswer = true
  try {
    return await work()
  } finally {
    othersAnswer = false
  }
}

/** From here on the first signal ends the process, with a line and what shells make 130 and 143 of. */
export function answerSignals(): void {
  for (const signal of Object.keys(exitCodes) as (keyof typeof exitCodes)[]) {
    const answer = (): void => {
      if (othersAnswer) return
      console.error(`warpweft: ${signal} while ${now.doing}. ${now.left()}`)
      // Exiting would wait for whatever the process reads from: a pipe into which nobody writes, a network drive that is gone. The signal itself does not.
      process.off(signal, answer)
      process.kill(process.pid, signal)
      process.exit(exitCodes[signal])   // the first process of a container is not ended by a signal
    }
    process.on(signal, answer)
  }
}
