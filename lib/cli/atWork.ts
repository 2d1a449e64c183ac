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

/** From here on the first signal ends the process, with a line and the exit code that shells expect. */
export function answerSignals(): void {
  for (const signal of Object.keys(exitCodes) as (keyof typeof exitCodes)[]) {
    process.on(signal, () => {
      if (othersAnswer) return
      console.error(`warpweft: ${signal} while ${now.doing}. ${now.left()}`)
      process.exit(exitCodes[signal])
    })
  }
}
