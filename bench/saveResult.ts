import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { writeJsonAtomic } from '#lib/io/atomicFile.js'

/** Writes figures as JSON; makes the folder. */
export async function saveResult(path: string, figures: object): Promise<void> {
  mkdirSync(dirname(path), { recursive: true })
  await writeJsonAtomic(path, figures)
  console.log(`figures written to ${path}`)
}
