import { CheckpointError } from '../errors.js'
import { HeaderSyntaxError, HeaderText, shown } from './headerText.js'
import { byteLengthOf, dtypeNames, safetensorsDtypes, type SafetensorsDtype } from './safetensorsDtypes.js'

/** Where a tensor lies; `begin` and `end` count bytes from the end of the header. */
export interface TensorInfo {
  readonly name: string, readonly dtype: SafetensorsDtype, readonly shape: readonly number[], readonly begin: number, readonly end: number
}

export interface SafetensorsHeader { readonly metadata: ReadonlyMap<string, string>, readonly tensors: ReadonlyMap<string, TensorInfo> }

/** The format's own limit. */
export const maxHeaderBytes = 100_000_000
const maxRank = 64

/**
 * Reads and checks a header: the tensors must fill `dataBytes` without a gap or an overlap, each in the size of its shape and dtype.
 * @throws CheckpointError that names the file, and the tensor where it is one's fault
 */
export function parseHeader(bytes: Uint8Array, dataBytes: number, path: string): SafetensorsHeader {
  const metadata = new Map<string, string>(), tensors = new Map<string, TensorInfo>()
  const text = new HeaderText(bytes)
  let within = ''
  try {
    if (bytes[0] !== 0x7b) throw text.error('expected { as the first character')
    text.object(name => {
      within = `${shown(name)}: `
      if (name === '__metadata__') text.object(key => metadata.set(key, text.string()))
      else tensors.set(name, tensorInfo(text, name))
      within = ''
    })
    text.end()
    requireCovered([...tensors.values()], dataBytes)
  } catch (error) {
    if (!(error instanceof HeaderSyntaxError)) throw error
    throw new CheckpointError(`${path}: ${within}${error.message}. The file is damaged or no safetensors file; download or save it again.`)
  }
  return { metadata, tensors }
}

/**
 * The eight bytes of the length and the header, padded with spaces so that the data begins at a multiple of eight.
 * @throws CheckpointError if the header is longer than the format allows
 */
export function formatHeader(tensors: readonly TensorInfo[], metadata: Readonly<Record<string, string>>, path: string): Uint8Array {
  // Put together as text, because an object would sort names that look like numbers to the front and treat __proto__ in its own way.
  const entries = tensors.map(({ name, dtype, shape, begin, end }) =>
    `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`)
  if (Object.keys(metadata).length > 0) entries.unshift(`"__metadata__":${JSON.stringify(metadata)}`)
  const json = Buffer.from(`{${entries.join(',')}}`, 'utf8')
  const length = Math.ceil(json.length / 8) * 8
  if (length > maxHeaderBytes) {
    throw new CheckpointError(`cannot write ${path}: names and shapes of ${tensors.length} tensors take ${length} bytes, and the format allows `
      + `${maxHeaderBytes}. Save them in several files.`)
  }
  const header = Buffer.alloc(8 + length, ' ')
  header.writeBigUInt64LE(BigInt(length))
  json.copy(header, 8)
  return header
}

function tensorInfo(text: HeaderText, name: string): TensorInfo {
  const found: { dtype?: string, shape?: number[], data_offsets?: number[] } = {}
  text.object(key => {
    if (key === 'dtype') found.dtype = text.string()
    else if (key === 'shape') found.shape = text.wholeNumbers(maxRank)
    else if (key === 'data_offsets') found.data_offsets = text.wholeNumbers(2)
    else throw text.error(`the key ${shown(key)} is none of dtype, shape, data_offsets`)
  })
  const { dtype, shape, data_offsets: offsets } = found
  if (dtype === undefined || shape === undefined || offsets?.length !== 2) throw text.error('needs dtype, shape and two data_offsets')
  if (!Object.hasOwn(safetensorsDtypes, dtype)) throw text.error(`unknown dtype ${shown(dtype)}; known are ${dtypeNames.join(', ')}`)
  const [begin, end] = offsets as [number, number]
  const bytes = byteLengthOf(dtype as SafetensorsDtype, shape)
  if (bytes !== end - begin) {
    throw text.error(`${dtype} [${shape.join(', ')}] takes ${bytes ?? 'an impossible number of'} bytes, but data_offsets are ${begin} to ${end}`)
  }
  return { name, dtype: dtype as SafetensorsDtype, shape, begin, end }
}

function requireCovered(tensors: TensorInfo[], dataBytes: number): void {
  let reached = 0
  for (const { name, begin, end } of tensors.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== reached) {
      throw new HeaderSyntaxError(`${shown(name)}: begins at byte ${begin} of the data, ${begin < reached ? 'inside of' : 'with a gap after'} `
        + `the tensor before it, which ends at ${reached}`)
    }
    reached = end
  }
  if (reached > dataBytes) {
    throw new HeaderSyntaxError(`the tensors take ${reached} bytes, but the file holds ${dataBytes} after its header: it is cut off`)
  }
  if (reached < dataBytes) {
    throw new HeaderSyntaxError(`the file holds ${dataBytes} bytes after its header, but the tensors take only ${reached}`)
  }
}
