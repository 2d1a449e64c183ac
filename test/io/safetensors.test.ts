import { readdirSync, readFileSync, writeFileSync, mkdirSync, truncateSync, openSync, writeSync, ftruncateSync, closeSync } from 'node:fs'
import { describe, expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import { CheckpointError } from '#lib/errors.js'
import { SafetensorsFile } from '#lib/io/safetensors.js'
import { byteLengthOf, safetensorsDtypes, tensorDtypeOf, type SafetensorsDtype } from '#lib/io/safetensorsDtypes.js'
import { writeSafetensors, type TensorToSave } from '#lib/io/safetensorsWriter.js'
import { temporaryFolder } from './temporaryFolder.js'

const at = temporaryFolder()
// Hundreds of random files, on machines that do other things as well.
jest.setTimeout(60_000)

/** What the format's own library (0.8.0) writes for the tensors below. */
const official = Buffer.from('IAIAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJmb3JtYXQiOiJwdCJ9LCJhIjp7ImR0eXBlIjoiSTY0Iiwic2hhcGUiOlsyXSwiZGF0YV9vZmZzZXRzIjpbMCwxNl19LCJz'
  + 'Ijp7ImR0eXBlIjoiRjY0Iiwic2hhcGUiOltdLCJkYXRhX29mZnNldHMiOlsxNiwyNF19LCJiIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlsyLDJdLCJkYXRhX29mZnNldHMi'
  + 'OlsyNCw0MF19LCJub25lIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlswLDNdLCJkYXRhX29mZnNldHMiOls0MCw0MF19LCJiZiI6eyJkdHlwZSI6IkJGMTYiLCJzaGFwZSI6'
  + 'WzFdLCJkYXRhX29mZnNldHMiOls0MCw0Ml19LCJoYWxmIjp7ImR0eXBlIjoiRjE2Iiwic2hhcGUiOlsyXSwiZGF0YV9vZmZzZXRzIjpbNDIsNDZdfSwi77+/Ijp7ImR0eXBl'
  + 'IjoiVTgiLCJzaGFwZSI6WzFdLCJkYXRhX29mZnNldHMiOls0Niw0N119LCLwn5iAIjp7ImR0eXBlIjoiVTgiLCJzaGFwZSI6WzFdLCJkYXRhX29mZnNldHMiOls0Nyw0OF19'
  + 'LCLDqVwiIjp7ImR0eXBlIjoiQk9PTCIsInNoYXBlIjpbMV0sImRhdGFfb2Zmc2V0cyI6WzQ4LDQ5XX19BQAAAAAAAAD6/////////wAAAAAAABxAAACAPwAAAEAAAEBAAACA'
  + 'QM09AD4AwAEAAQ==', 'base64')
const tensors: TensorToSave[] = [
  { name: 'b', dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
  { name: 'a', dtype: 'I64', shape: [2], data: BigInt64Array.of(5n, -6n) },
  { name: 'é"', dtype: 'BOOL', shape: [1], data: Uint8Array.of(1) },
  { name: 'half', dtype: 'F16', shape: [2], data: () => Float32Array.of(1.5, -2) },
  { name: 'bf', dtype: 'BF16', shape: [1], data: () => Promise.resolve(Float32Array.of(0.1)) },
  { name: 's', dtype: 'F64', shape: [], data: Float64Array.of(7) },
  { name: 'none', dtype: 'F32', shape: [0, 3], data: new Float32Array(0) },
  { name: '😀', dtype: 'U8', shape: [1], data: Uint8Array.of(0) },
  { name: '\uffff', dtype: 'U8', shape: [1], data: async function* () { yield new Uint8Array(0); yield Uint8Array.of(1) } },
]

/** A file with this header and as many bytes of data. */
function fileOf(header: string | Buffer, dataBytes = 0): Buffer {
  const json = typeof header === 'string' ? Buffer.from(header) : header, length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, Buffer.alloc(dataBytes, 7)])
}
const entry = (dtype: string, shape: string, offsets: string) => `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`

async function openBytes(bytes: Uint8Array): Promise<SafetensorsFile> {
  writeFileSync(at('x.safetensors'), bytes)
  return SafetensorsFile.open(at('x.safetensors'))
}

/** Reads everything that a file announces; whatever is wrong must come as a CheckpointError. */
async function readAll(bytes: Uint8Array): Promise<'read' | 'refused'> {
  let file: SafetensorsFile | undefined
  try {
    file = await openBytes(bytes)
    for (const { name, dtype, begin, end } of file.tensors.values()) {
      await file.readInto(name, new Uint8Array(end - begin))
      if ('array' in safetensorsDtypes[dtype]) expect((await file.array(name)).byteLength).toBe(end - begin)
    }
    return 'read'
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError)
    expect((error as Error).message).toContain(at('x.safetensors'))
    return 'refused'
  } finally {
    await file?.close()
  }
}

describe('writing', () => {
  test('gives the bytes of the format’s own library, in whatever order the tensors come', async () => {
    await writeSafetensors(at('a'), tensors)
    expect(readFileSync(at('a')).equals(official)).toBe(true)
    await writeSafetensors(at('b'), [...tensors].reverse())
    expect(readFileSync(at('b')).equals(official)).toBe(true)
  })
  test('data begins at a multiple of eight', async () => {
    for (let length = 1; length < 20; length++) {
      await writeSafetensors(at('a'), [{ name: 'x'.repeat(length), dtype: 'F64', shape: [1], data: Float64Array.of(1) }], { metadata: {} })
      expect(Number(readFileSync(at('a')).readBigUInt64LE()) % 8).toBe(0)
    }
  })
  test('random tensors come back in bits', async () => {
    const dtypes = Object.keys(safetensorsDtypes).filter(name => safetensorsDtypes[name as SafetensorsDtype].bits >= 8) as SafetensorsDtype[]
    const text = fc.string({ unit: 'grapheme' })
    const name = text.filter(value => value !== '__metadata__'), shape = fc.array(fc.nat(4), { maxLength: 4 })
    const tensor = fc.record({ name, dtype: fc.constantFrom(...dtypes), shape, seed: fc.nat(255) })
    const list = fc.uniqueArray(tensor, { selector: given => given.name, maxLength: 8 })
    const texts = fc.dictionary(text, text)
    await fc.assert(fc.asyncProperty(list, texts, async (given, metadata) => {
      const saved = given.map(({ name, dtype, shape, seed }) =>
        ({ name, dtype, shape, data: new Uint8Array(byteLengthOf(dtype, shape)!).map((_, i) => seed + 31 * i) }))
      await writeSafetensors(at('a'), saved, { metadata })
      const file = await SafetensorsFile.open(at('a'))
      expect(new Map(file.metadata)).toEqual(new Map(Object.entries(metadata)))
      expect([...file.tensors.keys()].sort()).toEqual(saved.map(({ name }) => name).sort())
      for (const { name, dtype, shape, data } of saved) {
        const back = new Uint8Array(data.length)
        await file.readInto(name, back)
        expect([file.tensors.get(name)!.dtype, file.tensors.get(name)!.shape, back]).toEqual([dtype, shape, data])
      }
      await file.close()
    }), { numRuns: 40 })
  })
  const one = { name: 'w', dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) } as const
  test.each<[string, TensorToSave[], RegExp]>([
    ['too few data', [{ ...one, shape: [3] }], /"w" \(F32 \[3\]\) takes 12 bytes, but its data has 8/],
    ['too many data', [{ ...one, shape: [1] }], /takes 4 bytes, but its data has more/],
    ['data of another type', [{ ...one, data: Int32Array.of(1, 2) }], /"w" is F32, but its data is a Int32Array/],
    ['an unknown dtype', [{ ...one, dtype: 'float32' as 'F32' }], /unknown dtype "float32"; known are BOOL/],
    ['an impossible shape', [{ ...one, shape: [-1] }], /impossible shape \[-1\]/],
    ['a shape that overflows', [{ ...one, shape: [2 ** 40, 2 ** 40] }], /impossible shape/],
    ['a name twice', [one, one], /two tensors "w"/],
    ['the name of the metadata', [{ ...one, name: '__metadata__' }], /keeps the name __metadata__/],
    ['half a character', [{ ...one, name: '\ud800' }], /no well-formed text/],
  ])('%s is refused, and the old file stays', async (_, list, message) => {
    writeFileSync(at('a'), 'old')
    await expect(writeSafetensors(at('a'), list)).rejects.toThrow(CheckpointError)
    await expect(writeSafetensors(at('a'), list)).rejects.toThrow(message)
    expect(readFileSync(at('a'), 'utf8')).toBe('old')
    expect(readdirSync(at())).toEqual(['a'])
  })
  test('data that fails to come leaves the old file', async () => {
    writeFileSync(at('a'), 'old')
    await expect(writeSafetensors(at('a'), [{ ...one, data: () => Promise.reject(new Error('no data')) }])).rejects.toThrow('no data')
    expect(readFileSync(at('a'), 'utf8')).toBe('old')
    expect(readdirSync(at())).toEqual(['a'])
  })
  test('data is asked for one tensor after the other', async () => {
    const events: string[] = []
    const late = (name: string) => ({ ...one, name, data: async function* () {
      events.push(`${name} begins`)
      yield Float32Array.of(1, 2)
      events.push(`${name} ends`)
    } })
    await writeSafetensors(at('a'), [late('b'), late('a')])
    expect(events).toEqual(['a begins', 'a ends', 'b begins', 'b ends'])
  })
})

describe('reading', () => {
  test('gives the elements of each dtype, and float32 of the floating ones', async () => {
    const file = await openBytes(official)
    expect(new Map(file.metadata)).toEqual(new Map([['format', 'pt']]))
    expect(await file.array('a')).toEqual(BigInt64Array.of(5n, -6n))
    expect(await file.array('é"')).toEqual(Uint8Array.of(1))
    expect(await file.array('half')).toEqual(Uint16Array.of(0x3e00, 0xc000))
    expect(await file.float32('half')).toEqual(Float32Array.of(1.5, -2))
    expect(await file.float32('bf')).toEqual(Float32Array.of(0.10009765625))
    expect(await file.float32('s')).toEqual(Float32Array.of(7))
    expect(await file.float32('none')).toEqual(new Float32Array(0))
    const place = new Float32Array(6)
    await file.float32('b', place.subarray(1, 5))
    expect([...place]).toEqual([0, 1, 2, 3, 4, 0])
    await file.close()
  })
  test('a part of a tensor is read at its place, and nothing beside it', async () => {
    const file = await openBytes(official)
    const part = new Uint8Array(4)
    await file.readInto('b', part, 12)
    expect(new Float32Array(part.buffer)[0]).toBe(4)
    await expect(file.readInto('b', part, 13)).rejects.toThrow(/"b" has 16 bytes; asked were 4 from byte 13 on/)
    await expect(file.readInto('b', part, -1)).rejects.toThrow(CheckpointError)
    await file.close()
  })
  test('a tensor of more elements than are converted at a time is converted whole', async () => {
    const values = new Float32Array((1 << 20) + 5).map((_, i) => i % 256)
    await writeSafetensors(at('a'), [{ name: 'w', dtype: 'BF16', shape: [values.length], data: values }])
    const file = await SafetensorsFile.open(at('a'))
    expect(Buffer.from((await file.float32('w')).buffer).equals(Buffer.from(values.buffer))).toBe(true)
    await file.close()
  })
  test('names and sizes that do not fit are told with their tensor', async () => {
    const file = await openBytes(official)
    await expect(file.array('c')).rejects.toThrow(/there is no tensor "c"/)
    await expect(file.float32('b', new Float32Array(3))).rejects.toThrow(/"b" has 4 elements \(F32 \[2, 2\]\), but 3 were expected/)
    await expect(file.float32('a')).rejects.toThrow(/"a" is I64 \[2\], which cannot be read as float32/)
    await file.close()
    await expect(file.array('b')).rejects.toThrow(/is closed/)
    await file.close()
  })
  test.each(['F8_E4M3', 'F8_E5M2', 'F8_E8M0'])('%s opens, and is named as unsupported when it is read', async dtype => {
    const file = await openBytes(fileOf(`{"w":${entry(dtype, '[2]', '[0,2]')},"v":${entry('U8', '[1]', '[2,3]')}}`, 3))
    await expect(file.array('w')).rejects.toThrow(new RegExp(`"w" is ${dtype} \\[2\\], which is not supported`))
    await expect(file.float32('w')).rejects.toThrow(CheckpointError)
    expect(await file.array('v')).toEqual(Uint8Array.of(7))
    await file.close()
  })
  test('dtypes are those of tensors where there are such tensors', () => {
    expect([tensorDtypeOf('BF16'), tensorDtypeOf('BOOL'), tensorDtypeOf('F64')]).toEqual(['bfloat16', 'bool', undefined])
  })
  test('white space and the order of keys do not matter; a tensor may be called __proto__', async () => {
    const file = await openBytes(fileOf('{ "__proto__" :\n\t{"shape":[ 1 ,\r 1 ],"data_offsets":[ 0,1 ],"dtype":"\\u00558"} }  ', 1))
    expect(file.tensors.get('__proto__')).toEqual({ name: '__proto__', dtype: 'U8', shape: [1, 1], begin: 0, end: 1 })
    await file.close()
  })
})

describe('hostile files give a CheckpointError that names the file and what is wrong', () => {
  const u8 = (offsets: string, shape = '[1]') => entry('U8', shape, offsets)
  const cases: [string, Buffer, RegExp][] = [
    ['nothing', Buffer.alloc(0), /0 bytes are too few/],
    ['seven bytes', Buffer.alloc(7), /7 bytes are too few/],
    ['a header longer than the file', fileOf('{}').subarray(0, 9), /announces a header of 2 bytes, but has 9/],
    ['a header of 2^64 - 1 bytes', Buffer.alloc(64, 255), /announces a header of 18446744073709551615 bytes.*allows 100000000/],
    ['a header just above the limit', Buffer.concat([Buffer.from('01e1f50500000000', 'hex'), Buffer.from('{}')]), /announces a header of 100000001/],
    ['no header', fileOf(''), /expected \{ as the first character/],
    ['a space before the header', fileOf(' {}'), /expected \{ as the first/],
    ['a list', fileOf('[]'), /expected \{ as the first/],
    ['text', Buffer.from('<!DOCTYPE html><html>404</html>'.repeat(9)), /no safetensors file/],
    ['a header that is cut off', fileOf('{"a":{"dtype":"U8","sh'), /a string does not end/],
    ['something after the object', fileOf('{}{}'), /something follows/],
    ['a comma too many', fileOf(`{"a":${u8('[0,1]')},}`, 1), /expected "/],
    ['a tensor twice', fileOf(`{"a":${u8('[0,1]')},"a":${u8('[1,2]')}}`, 2), /the key "a" comes twice/],
    ['a tensor twice, once escaped', fileOf(`{"a":${u8('[0,1]')},"\\u0061":${u8('[1,2]')}}`, 2), /the key "a" comes twice/],
    ['a key of a tensor twice', fileOf('{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1), /"a": the key "dtype" comes twice/],
    ['metadata twice', fileOf('{"__metadata__":{},"__metadata__":{}}'), /comes twice/],
    ['metadata that is a number', fileOf('{"__metadata__":{"a":1}}'), /"__metadata__": expected "/],
    ['metadata that is null', fileOf('{"__metadata__":null}'), /"__metadata__": expected \{/],
    ['metadata of metadata', fileOf('{"__metadata__":{"a":{}}}'), /expected "/],
    ['a tensor that is a number', fileOf('{"a":1}'), /"a": expected \{/],
    ['an unknown dtype', fileOf(`{"a":${entry('F33', '[1]', '[0,1]')}}`, 1), /"a": unknown dtype "F33"; known are BOOL/],
    ['a dtype of the prototype', fileOf(`{"a":${entry('constructor', '[1]', '[0,1]')}}`, 1), /unknown dtype "constructor"/],
    ['an unknown key', fileOf('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}', 1), /the key "x" is none of/],
    ['no shape', fileOf('{"a":{"dtype":"U8","data_offsets":[0,1]}}', 1), /needs dtype, shape and two data_offsets/],
    ['one offset', fileOf(`{"a":${u8('[0]')}}`, 1), /two data_offsets/],
    ['three offsets', fileOf(`{"a":${u8('[0,1,2]')}}`, 1), /a list is longer than 2/],
    ['a negative offset', fileOf(`{"a":${u8('[-1,0]')}}`, 1), /"a": expected a whole number >= 0/],
    ['a fraction', fileOf(`{"a":${u8('[0,1.0]')}}`, 1), /expected \]/],
    ['an exponent', fileOf(`{"a":${u8('[0,1e0]')}}`, 1), /expected \]/],
    ['a leading zero', fileOf(`{"a":${u8('[0,01]')}}`, 1), /expected a whole number/],
    ['a number in quotes', fileOf(`{"a":${u8('[0,"1"]')}}`, 1), /expected a whole number/],
    ['an offset of 2^53', fileOf(`{"a":${u8('[0,9007199254740992]', '[9007199254740992]')}}`, 1), /above 2\^53 - 1/],
    ['a shape whose product overflows', fileOf(`{"a":${u8('[0,0]', '[4503599627370496,4503599627370496,0]')}}`), /an impossible number of bytes/],
    ['a shape of more dimensions than any tensor', fileOf(`{"a":${u8('[0,1]', `[${'1,'.repeat(64)}1]`)}}`, 1), /longer than 64/],
    ['offsets in the wrong order', fileOf(`{"a":${u8('[1,0]')}}`, 1), /takes 1 bytes, but data_offsets are 1 to 0/],
    ['offsets that do not match the shape', fileOf(`{"a":${entry('F32', '[2]', '[0,4]')}}`, 4), /F32 \[2\] takes 8 bytes, but data_offsets are 0 to 4/],
    ['half a byte', fileOf(`{"a":${entry('F4', '[3]', '[0,2]')}}`, 2), /impossible number/],
    ['an overlap', fileOf(`{"a":${u8('[0,2]', '[2]')},"b":${u8('[1,3]', '[2]')}}`, 3), /"b": begins at byte 1 of the data, inside of the tensor before it/],
    ['a gap', fileOf(`{"a":${u8('[0,1]')},"b":${u8('[2,3]')}}`, 3), /"b": begins at byte 2 of the data, with a gap after/],
    ['a gap at the begin', fileOf(`{"a":${u8('[1,2]')}}`, 2), /"a": begins at byte 1 of the data, with a gap/],
    ['data that is cut off', fileOf(`{"a":${u8('[0,3]', '[3]')}}`, 2), /take 3 bytes, but the file holds 2 .* it is cut off/],
    ['data that nobody claims', fileOf(`{"a":${u8('[0,1]')}}`, 2), /holds 2 bytes after its header, but the tensors take only 1/],
    ['invalid UTF-8 in a name', fileOf(Buffer.concat([Buffer.from('{"'), Buffer.from([0xff]), Buffer.from(`":${u8('[0,1]')}}`)]), 1), /not valid UTF-8/],
    ['invalid UTF-8 outside of strings', fileOf(Buffer.from([0x7b, 0xff, 0x7d])), /expected "/],
    ['half a character in a name', fileOf(`{"\\ud800":${u8('[0,1]')}}`, 1), /half a character/],
    ['an unknown escape', fileOf(`{"\\x":${u8('[0,1]')}}`, 1), /unknown escape/],
    ['a line end in a name', fileOf(`{"a\n":${u8('[0,1]')}}`, 1), /a string does not end/],
    ['brackets without end', fileOf('{"a":' + '['.repeat(1e6)), /expected \{/],
    ['objects without end', fileOf('{"a":'.repeat(1e5)), /"a": the key "a" is none of/],
  ]
  test.each(cases)('%s', async (_, bytes, message) => {
    const opening = openBytes(bytes)
    await expect(opening).rejects.toThrow(CheckpointError)
    await expect(opening).rejects.toThrow(message)
    await expect(opening).rejects.toThrow(at('x.safetensors'))
  })
  test('a header of 100 MB of zeros is refused at its first byte', async () => {
    const file = openSync(at('x'), 'w'), length = Buffer.alloc(8)
    length.writeBigUInt64LE(100_000_000n)
    writeSync(file, length)
    ftruncateSync(file, 100_000_008)
    closeSync(file)
    await expect(SafetensorsFile.open(at('x'))).rejects.toThrow(/expected \{/)
  })
  test('a tensor larger than any memory opens, and is a CheckpointError when it is read', async () => {
    const bytes = 2 ** 43, file = openSync(at('x'), 'w'), head = fileOf(`{"a":${u8(`[0,${bytes}]`, `[${bytes}]`)}}`)
    writeSync(file, head)
    ftruncateSync(file, head.length + bytes)
    closeSync(file)
    const opened = await SafetensorsFile.open(at('x'))
    await expect(opened.array('a')).rejects.toThrow(/takes 8796093022208 bytes, more than can be reserved/)
    const last = Uint8Array.of(9)
    await opened.readInto('a', last, bytes - 1)
    expect(last[0]).toBe(0)
    await opened.close()
  })
  test('a file that gets shorter while it is open is a CheckpointError', async () => {
    const file = await openBytes(official)
    truncateSync(at('x.safetensors'), official.length - 1)
    await expect(file.array('é"')).rejects.toThrow(/has become shorter/)
    await file.close()
  })
  test.each([['missing', /no such file/], ['folder', /it is not a file/]])('a %s path', async (name, message) => {
    mkdirSync(at('folder'))
    await expect(SafetensorsFile.open(at(name))).rejects.toThrow(CheckpointError)
    await expect(SafetensorsFile.open(at(name))).rejects.toThrow(message)
  })
  test('a name as long as the file does not fill the message', async () => {
    const opening = openBytes(fileOf(`{"${'n'.repeat(1e6)}":1}`))
    await expect(opening).rejects.toThrow(/^.{0,600}$/)
  })

  test('a valid file with any bytes changed, cut, inserted or removed never gives anything else', async () => {
    const syntax = ['"', '{', '}', '[', ']', ',', ':', '0', '9', '-', '\\', ' ', '1e9', 'F8']
    const change = fc.oneof(
      fc.record({ at: fc.nat(official.length - 1), bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }), remove: fc.nat(4) }),
      fc.record({ at: fc.nat(8 + 544), bytes: fc.constantFrom(...syntax).map(text => Buffer.from(text) as Uint8Array), remove: fc.nat(2) }),
    )
    let refused = 0
    await fc.assert(fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), fc.boolean(), async (changes, keepLength) => {
      let bytes = official
      for (const { at: where, bytes: inserted, remove } of changes) {
        bytes = Buffer.concat([bytes.subarray(0, where), inserted, bytes.subarray(where + remove)])
      }
      if (keepLength && bytes.length > 57) {   // so that the change in the header is seen, not only the wrong length
        bytes = Buffer.from(bytes)
        bytes.writeBigUInt64LE(BigInt(bytes.length - 57))
      }
      if (await readAll(bytes) === 'refused') refused++
    }), { numRuns: 600 })
    expect(refused).toBeGreaterThan(300)
  })
  test('a valid file cut anywhere is refused', async () => {
    for (let length = 0; length < official.length; length += 7) expect(await readAll(official.subarray(0, length))).toBe('refused')
    expect(await readAll(official)).toBe('read')
  })
  test('headers of random JSON never give anything else', async () => {
    const number = fc.oneof(fc.nat(20), fc.constantFrom(-1, 0.5, 2 ** 53, 1e300, null, '1'))
    const info = fc.record({
      dtype: fc.oneof(fc.constantFrom(...Object.keys(safetensorsDtypes)), fc.jsonValue()),
      shape: fc.oneof(fc.array(number, { maxLength: 3 }), fc.jsonValue()),
      data_offsets: fc.oneof(fc.tuple(number, number), fc.jsonValue()),
    }, { requiredKeys: [] })
    const header = fc.oneof(fc.dictionary(fc.constantFrom('a', 'b', '__metadata__', '__proto__'), fc.oneof(info, fc.jsonValue())), fc.jsonValue())
    await fc.assert(fc.asyncProperty(header, fc.nat(40), async (value, dataBytes) => {
      await readAll(fileOf(JSON.stringify(value), dataBytes))
    }), { numRuns: 300 })
  })
})
