import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { inflateRawSync } from 'node:zlib'

// The parts of a zip file that a wheel has: no encryption, no ZIP64.   PKWARE APPNOTE 6.3, 4.3.12 and 4.3.16
const kEnd = 0x06054b50, kEntry = 0x02014b50, kStored = 0

/** Writes the files of a zip archive for which `wanted(path)` holds below a folder, with their modes. @throws Error if it is not such an archive */
export function unzip(zip, folder, wanted = () => true) {
  let end = zip.length - 22
  while (end >= 0 && zip.readUInt32LE(end) !== kEnd) end--
  if (end < 0) throw new Error('not a zip archive')
  let at = zip.readUInt32LE(end + 16)
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    if (zip.readUInt32LE(at) !== kEntry) throw new Error('damaged zip archive')
    const method = zip.readUInt16LE(at + 10), size = zip.readUInt32LE(at + 20)
    const nameLength = zip.readUInt16LE(at + 28), rest = zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32)
    const mode = zip.readUInt32LE(at + 38) >>> 16, header = zip.readUInt32LE(at + 42)
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength)
    at += 46 + nameLength + rest
    if (name.endsWith('/') || !wanted(name)) continue
    if (name.startsWith('/') || name.split('/').includes('..')) throw new Error(`the archive holds ${name}, a path outside of it`)
    const start = header + 30 + zip.readUInt16LE(header + 26) + zip.readUInt16LE(header + 28)
    const packed = zip.subarray(start, start + size)
    const file = join(folder, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, method === kStored ? packed : inflateRawSync(packed))
    if (mode & 0o111) chmodSync(file, 0o755)
  }
}
