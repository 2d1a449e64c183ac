import { readFileSync } from 'node:fs'

// As much of ELF64 (little-endian: all processors that releases are made for) as the symbol gates need, so that they can read any of them on any machine.
// Names and numbers: System V ABI, gABI 4.1, chapters 4 and 5; GNU symbol versions: LSB Core 10.7.
const kSymbolTable = 2, kStringTable = 3, kDynamic = 6, kDynamicSymbols = 11, kVersionNeeds = 0x6ffffffe
const bindings = new Map([[0, 'local'], [1, 'global'], [2, 'weak'], [10, 'unique']])

function sectionsOf(bytes, file) {
  if (bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) throw new Error(`${file} is not a little-endian ELF64 file`)
  const start = Number(bytes.readBigUInt64LE(40)), size = bytes.readUInt16LE(58)
  // More than 65279 sections (templates make many): the count is in the first of them.
  const count = bytes.readUInt16LE(60) || Number(bytes.readBigUInt64LE(start + 32))
  return Array.from({ length: count }, (_, i) => {
    const at = start + i * size
    const offset = Number(bytes.readBigUInt64LE(at + 24)), length = Number(bytes.readBigUInt64LE(at + 32))
    return { type: bytes.readUInt32LE(at + 4), link: bytes.readUInt32LE(at + 40), entries: bytes.readUInt32LE(at + 44), bytes: bytes.subarray(offset, offset + length) }
  })
}

function textAt(section, offset) {
  return section.bytes.toString('latin1', offset, section.bytes.indexOf(0, offset))
}

/** The symbols of an object file or, with `dynamic`, those that a shared library shows to others: `{ name, binding, defined }`. */
export function symbols(file, { dynamic = false } = {}) {
  const sections = sectionsOf(readFileSync(file), file)
  const table = sections.find(({ type }) => type === (dynamic ? kDynamicSymbols : kSymbolTable))
  if (!table || sections[table.link]?.type !== kStringTable) return []
  return Array.from({ length: table.bytes.length / 24 }, (_, i) => {
    const at = i * 24
    return {
      name: textAt(sections[table.link], table.bytes.readUInt32LE(at)),
      binding: bindings.get(table.bytes[at + 4] >> 4) ?? 'other',
      defined: table.bytes.readUInt16LE(at + 6) !== 0,
    }
  }).slice(1)
}

/** The versions of symbols that a shared library needs of others: `['libc.so.6 GLIBC_2.17', …]`. */
export function neededVersions(file) {
  const sections = sectionsOf(readFileSync(file), file)
  const needs = sections.find(({ type }) => type === kVersionNeeds)
  if (!needs) return []
  const names = sections[needs.link]
  const found = []
  for (let i = 0, at = 0; i < needs.entries; i++) {
    const count = needs.bytes.readUInt16LE(at + 2), library = textAt(names, needs.bytes.readUInt32LE(at + 4))
    for (let j = 0, auxiliary = at + needs.bytes.readUInt32LE(at + 8); j < count; j++) {
      found.push(`${library} ${textAt(names, needs.bytes.readUInt32LE(auxiliary + 8))}`)
      auxiliary += needs.bytes.readUInt32LE(auxiliary + 12)
    }
    at += needs.bytes.readUInt32LE(at + 12)
  }
  return found
}

/** The libraries that a shared library needs: `['libc.so.6', …]`. */
export function neededLibraries(file) {
  const kNeeded = 1n
  const sections = sectionsOf(readFileSync(file), file)
  const table = sections.find(({ type }) => type === kDynamic)
  if (!table) return []
  return Array.from({ length: table.bytes.length / 16 }, (_, i) => i * 16)
    .filter(at => table.bytes.readBigUInt64LE(at) === kNeeded)
    .map(at => textAt(sections[table.link], Number(table.bytes.readBigUInt64LE(at + 8))))
}
