import { format } from 'node:util'
import { expect } from 'expect'

// As much of @jest/globals as the op cases use, for machines without npm: the folder that gpu:pack makes resolves that name to this module. Expectations are jest's own.

export { expect }

type Body = () => void | Promise<void>
interface Registered { name: string, body: Body | undefined, after: readonly Body[] }

const registered: Registered[] = []
let path: readonly string[] = [], after: Body[] = []

/** Groups tests; runs its body at once. */
export function describe(name: string, body: () => void): void {
  const outer = { path, after }
  path = [...path, name]
  after = [...after]
  try { body() } finally { ({ path, after } = outer) }
}

const add = (name: string, body: Body | undefined): void => { registered.push({ name: [...path, name].join(' › '), body, after }) }

/** `%s` and its kin of a row that may be one value or several. */
const each = (table: readonly unknown[]) => (name: string, body: (...row: unknown[]) => void | Promise<void>): void => {
  for (const row of table) {
    const values = Array.isArray(row) ? row as unknown[] : [row], places = (name.match(/%[sdifjoOp]/g) ?? []).length
    add(format(name.replaceAll('%p', '%o'), ...values.slice(0, places)), () => body(...values))
  }
}

export const test = Object.assign((name: string, body: Body): void => { add(name, body) }, { each, skip: (name: string): void => { add(name, undefined) } })
export const afterEach = (body: Body): void => { after.push(body) }
/** Whoever runs the tests has a limit of his own. */
export const jest = { setTimeout(): void { /* see above */ } }

export interface Result { name: string, status: 'passed' | 'failed' | 'skipped', message?: string }

/** Runs what has been registered, one after the other, and tells of each. */
export async function runRegistered(tell: (result: Result) => void): Promise<void> {
  for (const { name, body, after: cleanUp } of registered) {
    if (!body) { tell({ name, status: 'skipped' }); continue }
    let message: string | undefined
    try {
      await body()
    } catch (error) {
      message = error instanceof Error ? error.message : String(error)
    }
    for (const clean of cleanUp) await clean()
    tell({ name, status: message === undefined ? 'passed' : 'failed', ...message === undefined ? {} : { message: message.slice(0, 2000) } })
  }
}
