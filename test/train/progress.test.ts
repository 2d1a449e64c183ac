import { describe, expect, test } from '@jest/globals'
import { progressFor } from '#lib/train/progress.js'

/** A stream that keeps what is written to it. */
function stream(isTTY: boolean) {
  const written: string[] = []
  const fake = { isTTY, columns: 100, rows: 30, write: (text: string) => { written.push(text); return true }, on: () => fake, once: () => fake, removeListener: () => fake, emit: () => true }
  return { written, fake: fake as unknown as NodeJS.WriteStream }
}
const entry = { step: 50, epoch: 1.5, loss: 2.25, learningRate: 1e-3, gradNorm: 1.125, tokensPerSecond: 12345.6, memoryPeakBytes: 3 * 2 ** 20, seconds: 9, totalTokens: 99 }

describe('progress', () => {
  test('is one line for each log entry where there is no terminal', () => {
    const { written, fake } = stream(false)
    const progress = progressFor(false, fake)
    progress.begin(0, 200)
    for (let step = 1; step <= 50; step++) progress.step(step, { loss: 2, tokensPerSecond: 100, secondsPerStep: 1 })
    progress.entry(entry)
    progress.entry({ step: 50, epoch: 1.5, evalLoss: 2, evalPerplexity: 7.389, evalBleu: 30.123, evalSeconds: 1.5 })
    progress.end()
    expect(written).toEqual([
      'step 50/200 | epoch 1.50 | loss 2.250 | lr 1.00e-3 | grad norm 1.125 | tokens/s 12,346 | memory peak 3 MiB\n',
      'step 50/200 | epoch 1.50 | eval loss 2.000 | perplexity 7.389 | BLEU 30.123 | eval seconds 1.500\n',
    ])
  })

  test('is a bar with loss, rate and time left on a terminal', async () => {
    const { written, fake } = stream(true)
    const progress = progressFor(false, fake)
    progress.begin(10, 200)
    progress.step(80, { loss: 2.3456, tokensPerSecond: 12345.6, secondsPerStep: 0.75 })
    await new Promise(done => setTimeout(done, 500))
    progress.step(81, { loss: 2.3456, tokensPerSecond: 12345.6, secondsPerStep: 0.75 })
    progress.entry(entry)
    progress.entry({ step: 100, epoch: 2, evalLoss: 2 })
    progress.end()
    const text = written.join('')
    expect(text).toMatch(/40% \| 81\/200 \| loss 2.346 \| 12,346 tokens\/s \| 1m29s left/)
    expect(text).toContain('step 100/200 | epoch 2.00 | eval loss 2.000\n')
    expect(text).not.toContain('step 50/200')
  })

  test('is nothing where it is disabled', () => {
    const { written, fake } = stream(true)
    const progress = progressFor(true, fake)
    progress.begin(0, 10)
    progress.step(1, { loss: 1, tokensPerSecond: 1, secondsPerStep: 1 })
    progress.entry(entry)
    progress.notice('a line')
    progress.end()
    expect(written).toEqual([])
  })
})
