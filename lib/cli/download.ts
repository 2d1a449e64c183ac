import cliProgress from 'cli-progress'
import { downloadModel } from '../hub/download.js'
import type { Command } from './arguments.js'
import { atWork } from './atWork.js'

export const download: Command = {
  about: 'brings a model of the Hugging Face Hub into the cache',
  usage: 'download ORGANISATION/NAME [options]',
  operands: [1, 1],
  flags: {
    revision: { value: 'NAME', about: 'branch, tag or commit (main)' },
    cacheDir: { value: 'FOLDER', about: 'the cache (HF_HUB_CACHE, else ~/.cache/huggingface/hub)' },
    offline: { about: 'only say where it is in the cache' },
  },
  async run([id], options) {
    atWork('downloading')
    const { stderr } = process, bar = stderr.isTTY
      ? new cliProgress.SingleBar({ format: '{bar} {percentage}% | {file} | {received} of {size} MB', stream: stderr, barsize: 24, fps: 5, gracefulExit: false }, cliProgress.Presets.shades_classic)
      : undefined
    let file: string | undefined
    const folder = await downloadModel(id!, {
      revision: options.text('revision'), cacheDir: options.text('cacheDir'), ...(options.has('offline') ? { offline: options.on('offline') } : {}),
      onProgress(progress) {
        const numbers = { file: progress.file, received: megabytes(progress.received), size: megabytes(progress.total) }
        if (progress.file !== file) {
          file = progress.file
          bar?.stop()
          if (bar) bar.start(progress.total, progress.received, numbers)
          else stderr.write(`${file} (${numbers.size} MB)\n`)
        } else bar?.update(progress.received, numbers)
      },
    }).finally(() => { bar?.stop() })
    console.log(folder)
    return 0
  },
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)
