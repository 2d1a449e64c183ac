import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const mainPath = fileURLToPath(import.meta.resolve('#lib/cli/main.js'))

export interface Finished { code: number | null, signal: NodeJS.Signals | null, out: string, err: string }

/** Runs `warpweft` in a process of its own, as a user does. @param onOutput is told all standard error so far; may send a signal */
export function runCli(args: readonly string[], { input = '', env = {}, onOutput = (_err: string, _kill: (signal: NodeJS.Signals) => void): void => undefined } = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [mainPath, ...args], { env: { ...process.env, WARPWEFT_DEBUG: '', ...env } })
    let out = '', err = ''
    child.stdout.on('data', chunk => { out += String(chunk) })
    child.stderr.on('data', chunk => { err += String(chunk); onOutput(err, signal => { child.kill(signal) }) })
    child.on('error', reject)
    child.on('close', (code, signal) => { resolve({ code, signal, out, err }) })
    child.stdin.on('error', () => undefined)   // a command that does not read has closed it
    child.stdin.end(input)
  })
}
