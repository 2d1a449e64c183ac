// The symbol gates: over the objects of every native build there is, the local addon, and the prebuilds.
import { existsSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { build } from './build.mjs'
import { main, root } from './command.mjs'
import { addonFile } from './native.mjs'
import { checkExports, checkInstructionSets, checkRequirements, prebuilds } from './symbolGates.mjs'

await main(async () => {
  await build()
  const released = join(root, 'build/prebuilds')
  const folders = [join(root, 'build/native'), ...(existsSync(released) ? readdirSync(released).map(name => join(released, name, 'build')) : [])]
  for (const folder of folders) console.log(`${relative(root, folder)}: ${checkInstructionSets(folder)} objects of kernels share no code between instruction sets`)
  checkExports(join(root, addonFile))
  for (const file of prebuilds()) {
    checkExports(file)
    console.log(`${relative(root, file)}: needs ${checkRequirements(file)}`)
  }
})
