import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './command.mjs'

/** All files below a folder of the repository, by their paths relative to it; none where the folder is missing. */
export function filesBelow(folder) {
  let entries
  try {
    entries = readdirSync(join(root, folder), { withFileTypes: true })
  } catch {
    return []
  }
  return entries.flatMap(entry => entry.isDirectory() ? filesBelow(`${folder}/${entry.name}`) : `${folder}/${entry.name}`).sort()
}

/** Changes when a file of the list appears, goes, or is written, or when `facts` change. */
export function fingerprint(files, facts = '') {
  const hash = createHash('sha256').update(facts)
  for (const file of files) {
    const found = statSync(join(root, file), { throwIfNoEntry: false })
    hash.update(`\n${file} ${found ? `${found.size} ${found.mtimeMs}` : 'missing'}`)
  }
  return hash.digest('hex')
}

const stampFile = name => join(root, 'build/stamps', name)

export function isStamped(name, value) {
  try {
    return readFileSync(stampFile(name), 'utf8') === value
  } catch {
    return false
  }
}

export function stamp(name, value) {
  mkdirSync(dirname(stampFile(name)), { recursive: true })
  writeFileSync(stampFile(name), value)
}
