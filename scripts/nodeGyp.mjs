#!/usr/bin/env node
// What prebuildify takes for node-gyp: compiles the addon for the architecture and libc that it names in the environment, by cmake-js and zig, into build/Release of the
// folder in which it is called. Headers are those of node-api-headers, so the version that prebuildify names does not matter, and nothing is downloaded.
import { join } from 'node:path'
import { main, output, root } from './command.mjs'
import { compileAddon, keepIf } from './native.mjs'
import { releaseFor, releases } from './releases.mjs'
import { buildTools } from './tools.mjs'
import { buildRuntime, zig, zigCompiler } from './zig.mjs'

await main(async () => {
  const name = releaseFor(process.env['PREBUILD_ARCH'], process.env['PREBUILD_LIBC'])
  const { processor, target } = releases[name]
  const { path, version, env } = await zig()
  const { cmake, env: { PATH } } = await buildTools()
  const options = { cc: `${path};cc`, cxx: zigCompiler(path, target).join(';'), definitions: { CMAKE_SYSTEM_NAME: 'Linux', CMAKE_SYSTEM_PROCESSOR: processor } }
  const folder = join(process.cwd(), 'build')
  keepIf(`configuration-${name}`, [root, version, cmake, output(cmake, ['--version']), options], folder)
  buildRuntime({ path, env }, target)
  await compileAddon({ title: `prebuild ${name}`, compiler: `zig ${version} -target ${target}`, folder, cmake, env: { ...env, PATH }, ...options })
})
