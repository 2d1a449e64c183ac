import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from '@jest/globals'

/** A fresh folder for each test of the file; `at` gives a path in it. */
export function temporaryFolder(): (...parts: string[]) => string {
  let folder = ''
  beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'warpweft-test-')) })
  afterEach(() => { rmSync(folder, { recursive: true, force: true }) })
  return (...parts) => join(folder, ...parts)
}
