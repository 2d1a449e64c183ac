import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Address of a compiled module of the library, for scripts that are given as text. */
export const moduleOf = (path = 'index.js'): string => pathToFileURL(join(process.cwd(), 'dist', path)).href

/** Runs a script in a process of its own. */
export function runScript(script: string, { env = {}, flags = [] as string[] } = {}): Promise<{ code: number | string | null, signal: string | null, output: string }> {
  return new Promise(resolve => {
    execFile(process.execPath, [...flags, '--input-type=module', '-e', script], { timeout: 60_000, env: { ...process.env, ...env } }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code ?? null : 0, signal: error?.signal ?? null, output: stdout + stderr })
    })
  })
}
