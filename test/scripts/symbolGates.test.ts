import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { thisSystem } from '#lib/tensor/addon.js'

// The gates that every release goes through: each must refuse what it is there for.

interface Gates { checkInstructionSets(folder: string): number, checkRequirements(file: string): string, checkExports(file: string): void }
const script = (name: string) => import(pathToFileURL(join(process.cwd(), 'scripts', name)).href) as Promise<unknown>

let gates: Gates, compiler: string, folder: string
beforeAll(async () => {
  gates = await script('symbolGates.mjs') as Gates
  compiler = (await script('compiler.mjs') as { findCompiler(): { path: string } }).findCompiler().path
  folder = mkdtempSync(join(tmpdir(), 'warpweft-gates-'))
})
afterAll(() => { rmSync(folder, { recursive: true }) })

function compile(output: string, source: string, ...options: string[]): string {
  const file = join(folder, output), { status, stderr } = spawnSync(compiler, ['-x', 'c++', '-std=c++20', '-fPIC', ...options, '-o', file, '-'], { input: source, encoding: 'utf8' })
  expect([status, stderr]).toEqual([0, ''])
  return file
}
const library = (name: string, source: string) => compile(name, source, '-shared', '-Wl,--as-needed')
const entry = 'extern "C" __attribute__((visibility("default"))) void* napi_register_module_v1(void*, void* exports) { return exports; }\n'

/** A build folder with one kernel, compiled for one instruction set. */
function kernel(name: string, source: string): string {
  mkdirSync(join(folder, name, 'CMakeFiles/cpu_avx2.dir'), { recursive: true })
  compile(join(name, 'CMakeFiles/cpu_avx2.dir/kernel.cpp.o'), source, '-c', '-O0')
  return join(folder, name)
}

test('code that one instruction set could hand to another is refused', () => {
  const template = 'template <class T> T twice(T x) { return x + x; }\n'
  expect(gates.checkInstructionSets(kernel('own', `namespace avx2 { ${template} int f(int x) { return twice(x); } }`))).toBe(1)
  expect(() => gates.checkInstructionSets(kernel('shared', `${template} namespace avx2 { int f(int x) { return twice(x); } }`))).toThrow(/avx2 kernel\.cpp\.o: _Z5twiceIiET_S0_\n1 weak symbols/)
  mkdirSync(join(folder, 'empty/CMakeFiles'), { recursive: true })
  expect(() => gates.checkInstructionSets(join(folder, 'empty'))).toThrow(/build first/)
})

test('a symbol that other addons could be bound to is refused', () => {
  expect(() => { gates.checkExports(library('entry.node', entry)) }).not.toThrow()
  expect(() => { gates.checkExports(library('more.node', `${entry} int leaked;`)) }).toThrow(/offers symbols to other addons: leaked$/)
})

test("the system's C++ runtime is refused", () => {
  expect(() => gates.checkRequirements(library('throws.glibc.node', `${entry} void f() { throw 1; }`))).toThrow(/needs libraries other than glibc: libstdc\+\+/)
})

const onGlibc = thisSystem().glibc === undefined ? test.skip : test
onGlibc('a binary for glibc that says it is for musl is refused, and so is one that needs a newer glibc than 2.28', () => {
  const needsLibc = `#include <cstdlib>\n${entry} int f(char* s) { return std::atoi(s); }`
  expect(gates.checkRequirements(library('plain.glibc.node', needsLibc))).toMatch(/^glibc 2\.\d+$/)
  expect(() => gates.checkRequirements(library('plain.musl.node', needsLibc))).toThrow(/needs libraries other than musl: libc\.so\.6$/)
  // pow has been a function of its own since glibc 2.29.
  expect(() => gates.checkRequirements(library('new.glibc.node', `#include <cmath>\n${entry} double f(double x, double y) { return std::pow(x, y); }`)))
    .toThrow(/needs GLIBC_2\.29, at most 2\.28 is allowed: libm\.so\.6 GLIBC_2\.29$/)
})
