import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { root, runQuietly } from './command.mjs'
import { wheelFolder } from './wheel.mjs'

/** zig, pinned, in build/tools: Clang with the libraries of every libc and a C++ runtime that is linked in. @throws BuildError if it cannot be fetched */
export async function zig() {
  const { folder, version } = await wheelFolder('ziglang', { wanted: name => name.startsWith('ziglang/'), hint: 'Check the network.' })
  const cache = join(root, 'build/tools/zig-cache')
  mkdirSync(cache, { recursive: true })
  return { path: join(folder, 'ziglang/zig'), version, env: { ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache } }
}

/**
 * The C++ compiler for a target. All that it makes is optimized and without symbols, what CMake tries out as well: zig would build another C++ runtime for anything else.
 * That the linker drops the symbols works for every architecture; the strip of this machine knows its own.
 */
export const zigCompiler = (path, target) => [path, 'c++', '-target', target, '-O3', '-s']

/**
 * Has zig build its C++ runtime for a target, which it else would do within the first link: that says thousands of warnings about its own headers.
 * @throws BuildError with what zig said
 */
export function buildRuntime({ path, env }, target) {
  const [command, ...args] = zigCompiler(path, target)
  runQuietly(command, [...args, '-fPIC', '-shared', '-x', 'c++', '/dev/null', '-o', join(env.ZIG_LOCAL_CACHE_DIR, `${target}.so`)], {
    env, failure: `zig c++ -target ${target}: the C++ runtime could not be built`,
  })
}
