import { createHash } from 'node:crypto'
import { connect, createServer } from 'node:net'
import { root } from './command.mjs'

/**
 * Runs `body` while no other build of this folder, and of this `kind`, does: two `npm test` at once do not write the same files. The lock is a Unix socket of the abstract
 * namespace, which goes away with its process however that ends, so that none is ever left behind.
 */
export async function withBuildLock(body, kind = 'build') {
  const name = `\0warpweft-${kind}-` + createHash('sha256').update(root).digest('hex').slice(0, 32)
  let told = false
  for (;;) {
    const server = await listen(name)
    if (server) {
      try {
        return await body()
      } finally {
        server.close()
        for (const waiter of server.waiters) waiter.destroy()
      }
    }
    if (!told) console.log(`another ${kind} of this folder is running: waiting for it`)
    told = true
    await closed(name)
  }
}

function listen(name) {
  return new Promise((resolve, reject) => {
    const waiters = new Set()
    const server = createServer(socket => {
      waiters.add(socket)
      socket.on('error', () => {}).on('close', () => waiters.delete(socket))
    })
    server.on('error', error => { error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error) })
    server.listen(name, () => { resolve(Object.assign(server, { waiters })) })
  })
}

/** Resolves when the holder of the lock lets go of it. */
function closed(name) {
  return new Promise(resolve => {
    connect(name).on('error', resolve).on('close', resolve).resume()
  })
}
