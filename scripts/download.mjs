import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { connect as connectTls, rootCertificates } from 'node:tls'
import { BuildError } from './command.mjs'

const setting = (...names) => names.map(name => process.env[name]).find(Boolean)

/** Certificates beside Node's own: those that pip or npm were told of. */
function certificates() {
  const file = setting('PIP_CERT', 'npm_config_cafile', 'SSL_CERT_FILE')
  return file ? { ca: [...rootCertificates, readFileSync(file)] } : {}
}

function proxyFor(host) {
  const except = (setting('NO_PROXY', 'no_proxy', 'npm_config_noproxy') ?? '').split(',').map(name => name.trim().replace(/^\*?\./, '')).filter(Boolean)
  if (except.some(name => name === '*' || host === name || host.endsWith('.' + name))) return undefined
  return setting('HTTPS_PROXY', 'https_proxy', 'npm_config_https_proxy', 'PIP_PROXY', 'ALL_PROXY', 'all_proxy')
}

/** A connection through a proxy, by CONNECT. */
function tunnel(proxy, target) {
  const via = new URL(proxy.includes('://') ? proxy : 'http://' + proxy)
  const authorization = via.username && 'Basic ' + Buffer.from(`${decodeURIComponent(via.username)}:${decodeURIComponent(via.password)}`).toString('base64')
  const authority = `${target.hostname}:${target.port || 443}`
  return new Promise((resolve, reject) => {
    const request = (via.protocol === 'https:' ? https : http).request({
      host: via.hostname, port: via.port || (via.protocol === 'https:' ? 443 : 80), method: 'CONNECT', path: authority,
      headers: { host: authority, ...(authorization && { 'proxy-authorization': authorization }) },
    })
    request.on('connect', (response, socket) => {
      if (response.statusCode === 200) resolve(connectTls({ socket, servername: target.hostname, ...certificates() }))
      else reject(new BuildError(`the proxy ${via.host} answered ${response.statusCode} for ${authority}`))
    }).on('error', reject).end()
  })
}

/** The body of a URL; follows redirects, and goes through the proxy that the environment names. @throws Error that says what went wrong */
export async function download(url, headers = {}, redirects = 5) {
  const target = new URL(url)
  const own = { ...headers }
  if (target.username) own.authorization = 'Basic ' + Buffer.from(`${decodeURIComponent(target.username)}:${decodeURIComponent(target.password)}`).toString('base64')
  const secure = target.protocol === 'https:'
  const proxy = secure ? proxyFor(target.hostname) : undefined
  const createConnection = proxy && await tunnel(proxy, target)
  const response = await new Promise((resolve, reject) => {
    const options = { headers: own, timeout: 60_000, ...(secure && certificates()), ...(createConnection && { createConnection: () => createConnection, agent: false }) }
    const request = (secure ? https : http).get(target, options, resolve)
    request.on('error', reject).on('timeout', () => request.destroy(new Error(`${target.host} did not answer within 60 s`)))
  })
  if (response.statusCode >= 300 && response.statusCode < 400 && response.headers.location && redirects > 0) {
    response.resume()
    return download(new URL(response.headers.location, target).href, headers, redirects - 1)
  }
  const parts = []
  for await (const part of response) parts.push(part)
  if (response.statusCode !== 200) throw new Error(`${target.host} answered ${response.statusCode}`)
  return Buffer.concat(parts)
}
