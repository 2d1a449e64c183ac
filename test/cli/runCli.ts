import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const mainPath = fileURLToPath(import.meta.resolve('#lib/cli/main.js'))

export interface Finished { code: number | null, signal: NodeJS.Signals | null, out: string, err: string }

export interface Running {
  /** All of standard output and standard error so far. */
  out: string
  err: string
  kill(signal: NodeJS.Signals): void
  /** More standard input; undefined ends it. */
  write(text: string | Uint8Array | undefined): void
  /** Nobody reads standard error any more. */
  closeErr(): void
}

/**
 * Runs `warpweft` in a process of its own, as a user does.
 * @param input null: it stays open   @param onOutput is told all standard error so far; may send a signal   @param onChange the same for both streams
 */
export function runCli(args: readonly string[], { input = '' as string | Uint8Array | null, env = {}, cwd = process.cwd(),
  onOutput = (_err: string, _kill: (signal: NodeJS.Signals) => void): void => undefined, onChange = (_: Running): void => undefined } = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [mainPath, ...args], { cwd, env: { ...process.env, WARPWEFT_DEBUG: '', ...env } })
    let out = '', err = ''
    const running: Running = {
      get out() { return out }, get err() { return err }, kill: signal => { child.kill(signal) }, closeErr: () => { child.stderr.destroy() },
      write: text => { if (text === undefined) child.stdin.end(); else child.stdin.write(text) },
    }
    child.stdout.on('data', chunk => { out += String(chunk); onChange(running) })
    child.stderr.on('data', chunk => { err += String(chunk); onOutput(err, running.kill); onChange(running) })
    child.on('error', reject)
    child.on('close', (code, signal) => { resolve({ code, signal, out, err }) })
    child.stdin.on('error', () => undefined)   // a command that does not read has closed it
    if (input !== null) child.stdin.end(input)
    else onChange(running)
  })
}
