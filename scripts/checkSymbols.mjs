// The symbol gates: over the objects of every native build there is, the local addon, and the prebuilds.
import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { build } from './build.mjs'
import { main, root } from './command.mjs'
import { addonFile } from './native.mjs'
import { releaseBuild, releases } from './releases.mjs'
import { checkExports, checkInstructionSets, checkRequirements, prebuilds } from './symbolGates.mjs'

await main(async () => {
  await build()
  const folders = ['build/native', ...Object.keys(releases).map(releaseBuild)].map(folder => join(root, folder)).filter(folder => existsSync(join(folder, 'CMakeFiles')))
  for (const folder of folders) console.log(`${relative(root, folder)}: ${checkInstructionSets(folder)} objects of kernels share no code between instruction sets`)
  checkExports(join(root, addonFile))
  for (const file of prebuilds()) {
    checkExports(file)
    console.log(`${relative(root, file)}: needs ${checkRequirements(file)}`)
  }
})
