import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = process.env['WARPWEFT_SHARED'] ?? resolve(process.cwd(), '../shared')

/** Path of a file of the reference data that lies beside the project, or undefined (with one line on stderr) where it is not there. */
export function shared(...parts: string[]): string | undefined {
  const path = join(root, ...parts)
  if (existsSync(path)) return path
  process.stderr.write(`skipped: reference data ${join(...parts)} is not beside the project\n`)
  return undefined
}
