import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

test("declarations that do not match the addon's ops are found, one argument or one op is enough", () => {
  const folder = mkdtempSync(join(tmpdir(), 'warpweft-declarations-'))
  try {
    for (const path of ['package.json', 'scripts/generate.mjs', 'lib/tensor/nativeOps.ts']) cpSync(path, join(folder, path))
    for (const path of ['node_modules', 'build', 'prebuilds']) symlinkSync(join(process.cwd(), path), join(folder, path))
    const file = join(folder, 'lib/tensor/nativeOps.ts'), sound = readFileSync(file, 'utf8')
    const check = () => spawnSync(process.execPath, [join(folder, 'scripts/generate.mjs'), '--check'], { encoding: 'utf8' })
    expect(check().status).toBe(0)
    for (const stale of [sound.replace(/^ {2}softmax\(.*\n/m, ''), sound.replace('softmax(x: Handle, ', 'softmax(')]) {
      expect(stale).not.toBe(sound)
      writeFileSync(file, stale)
      const { status, stderr } = check()
      expect({ status, stderr }).toMatchObject({ status: 1 })
      expect(stderr).toMatch(/nativeOps\.ts does not match the ops of the addon/)
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})
