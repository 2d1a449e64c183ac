import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A server that speaks as much of the Hub's protocol as a download needs, with one model, 'some/model'. */
export interface HubServer {
  url: string
  /** What was asked of the server since it was last cleared: `GET /path range`. */
  asked: string[]
  /** Ends the next answers with a file after so many bytes. */
  cutAfter: number | undefined
  close(): Promise<void>
}

export const commit = 'c0ffee0000000000000000000000000000000001'

/** @param large files that are stored by their sha256, as the Hub has weights @param claimed checksums that the server names instead of the true ones */
export async function hubServer(files: Readonly<Record<string, Uint8Array>>, large: readonly string[], claimed: Readonly<Record<string, string>> = {}): Promise<HubServer> {
  const entry = (path: string): object => {
    const content = files[path]!, blob = createHash('sha1').update(`blob ${content.byteLength}\0`).update(content).digest('hex')
    const sha256 = claimed[path] ?? createHash('sha256').update(content).digest('hex')
    return { type: 'file', path, size: content.byteLength, oid: blob, ...(large.includes(path) ? { lfs: { oid: sha256, size: content.byteLength, pointerSize: 130 } } : {}) }
  }
  const hub: HubServer = { url: '', asked: [], cutAfter: undefined, close: () => new Promise(resolve => { server.close(() => { resolve() }); server.closeAllConnections() }) }
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const { pathname } = new URL(request.url!, 'http://hub'), range = request.headers.range
    hub.asked.push(`${request.method} ${pathname}${range ? ` ${range}` : ''}`)
    const json = (value: unknown): void => { response.setHeader('content-type', 'application/json').end(JSON.stringify(value)) }
    if (pathname === '/api/models/some/model/revision/main') return json({ _id: '1', id: 'some/model', sha: commit, private: false, gated: false, likes: 0, downloads: 0, lastModified: '2026-01-01T00:00:00Z' })
    if (pathname === `/api/models/some/model/tree/${commit}`) return json(Object.keys(files).map(entry))
    const path = pathname.slice(`/some/model/resolve/${commit}/`.length), content = pathname.startsWith('/some/model/resolve/') ? files[path] : undefined
    if (pathname.startsWith('/api/models/some/gated')) { response.writeHead(403).end('{"error":"gated"}'); return }
    if (!content) { response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}'); return }
    const [, first, last] = /bytes=(\d+)-(\d*)/.exec(range ?? '') ?? ['', '0', '']
    const part = content.subarray(Number(first), last === '' ? undefined : Number(last) + 1)
    response.writeHead(range ? 206 : 200, { 'etag': '"e"', 'content-length': part.byteLength, ...(range ? { 'content-range': `bytes ${first}-${Number(first) + part.byteLength - 1}/${content.byteLength}` } : {}) })
    if (hub.cutAfter === undefined || part.byteLength <= hub.cutAfter) response.end(part)
    else response.write(part.subarray(0, hub.cutAfter), () => { response.destroy() })
  }
  const server = createServer(answer)
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', () => { resolve() }) })
  hub.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return hub
}
