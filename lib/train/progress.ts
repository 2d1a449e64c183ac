import cliProgress from 'cli-progress'
import type { LogEntry } from './trainingLog.js'

/** What is shown of a training: nothing, lines, or a bar. Lines go to standard error, so that results may be piped. */
export interface Progress {
  begin(step: number, totalSteps: number): void
  /** A step is done. @param loss a target token, of the newest step @param secondsPerStep of late */
  step(step: number, values: { loss: number, tokensPerSecond: number, secondsPerStep: number }): void
  entry(entry: LogEntry): void
  /** Something that one should know. */
  notice(line: string): void
  end(): void
}

export function progressFor(disabled: boolean, stream: NodeJS.WriteStream = process.stderr): Progress {
  if (disabled) return { begin: nothing, step: nothing, entry: nothing, notice: nothing, end: nothing }
  return stream.isTTY ? new Bar(stream) : new Lines(stream)
}

const nothing = (): void => undefined

class Lines implements Progress {
  private totalSteps = 0
  constructor(private readonly stream: NodeJS.WriteStream) {}
  begin(_: number, totalSteps: number): void { this.totalSteps = totalSteps }
  step(): void { /* a line for each log entry is enough */ }
  entry(entry: LogEntry): void { this.notice(described(entry, this.totalSteps)) }
  notice(line: string): void { this.stream.write(`${line}\n`) }
  end(): void { /* nothing is open */ }
}

class Bar implements Progress {
  private readonly bar: cliProgress.SingleBar
  private totalSteps = 0

  constructor(private readonly stream: NodeJS.WriteStream) {
    // The trainer handles signals itself, and its second Ctrl-C has to find the terminal as it was.
    this.bar = new cliProgress.SingleBar({
      format: '{bar} {percentage}% | {value}/{total} | loss {loss} | {rate} tokens/s | {left} left', stream, barsize: 24, fps: 5, gracefulExit: false,
      linewrap: true,
    }, cliProgress.Presets.shades_classic)
  }

  begin(step: number, totalSteps: number): void {
    this.totalSteps = totalSteps
    this.bar.start(totalSteps, step, { loss: '-', rate: '-', left: '-' })
  }

  step(step: number, { loss, tokensPerSecond, secondsPerStep }: { loss: number, tokensPerSecond: number, secondsPerStep: number }): void {
    this.bar.update(step, { loss: loss.toFixed(3), rate: thousands(tokensPerSecond), left: duration((this.totalSteps - step) * secondsPerStep) })
  }

  /** Training entries are in the bar already; evaluations stay on the screen. */
  entry(entry: LogEntry): void { if ('evalLoss' in entry) this.notice(described(entry, this.totalSteps)) }

  /** Written in the place of the bar, which goes on in the line below; ESC 7 tells the terminal, because the bar returns to where it began when it ends. */
  notice(line: string): void { this.stream.write(`\r\x1b[2K${line}\n\x1b7`) }

  end(): void { this.bar.stop() }
}

/** `step 100/4000 | epoch 0.31 | loss 5.123 | …` */
export function described({ step = 0, epoch = 0, ...values }: LogEntry, totalSteps: number): string {
  const shown = Object.entries(values).filter(([name]) => !hidden.has(name))
    .map(([name, value]) => `${labels[name] ?? name} ${formats[name]?.(value) ?? plain(value)}`)
  return [`step ${step}/${totalSteps}`, `epoch ${epoch.toFixed(2)}`, ...shown].join(' | ')
}

const hidden = new Set(['seconds', 'totalTokens'])
const labels: Readonly<Record<string, string>> = {
  learningRate: 'lr', gradNorm: 'grad norm', lossScale: 'loss scale', tokensPerSecond: 'tokens/s', memoryPeakBytes: 'memory peak', evalLoss: 'eval loss', evalPerplexity: 'perplexity',
  evalBleu: 'BLEU', evalChrf: 'chrF', evalSeconds: 'eval seconds', skippedSteps: 'skipped',
}
const formats: Readonly<Record<string, (value: number) => string>> = {
  learningRate: value => value.toExponential(2), tokensPerSecond: thousands, memoryPeakBytes: value => `${(value / 2 ** 20).toFixed(0)} MiB`,
  skippedSteps: String,
}
const plain = (value: number): string => Math.abs(value) >= 1000 ? thousands(value) : value.toFixed(3)

function thousands(value: number): string { return Math.round(value).toLocaleString('en') }

function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-'
  const s = Math.round(seconds), hours = Math.floor(s / 3600), minutes = Math.floor(s / 60) % 60
  return hours > 0 ? `${hours}h${String(minutes).padStart(2, '0')}m` : minutes > 0 ? `${minutes}m${String(s % 60).padStart(2, '0')}s` : `${s}s`
}
