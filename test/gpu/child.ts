import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

/** How a program ended. */
export interface Ended { status: number | null, signal: string | null, /** It was stopped at its limit. */ cut: boolean, seconds: number }

export interface ChildOptions {
  env?: NodeJS.ProcessEnv
  /** Milliseconds after which it is killed, with all that it started. */
  limit: number
  /** Each line of standard output; those of standard error only go to `log`. */
  line?: (text: string) => void
  log: (text: string) => void
}

/** Kills a process and what it started. */
function stop(child: ChildProcess): void {
  if (child.pid === undefined) return
  try { process.kill(-child.pid, 'SIGKILL') } catch { /* it is gone */ }
}

/** Runs a program to its end or its limit. Never rejects: one that cannot be started has status null and says why in the log. */
export function runChild(program: string, args: readonly string[], { env = {}, limit, line, log }: ChildOptions): Promise<Ended> {
  return new Promise(resolve => {
    const start = performance.now(), child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let cut = false
    const timer = setTimeout(() => { cut = true; stop(child) }, limit)
    log(`$ ${[program, ...args].join(' ')}`)
    createInterface({ input: child.stdout }).on('line', text => { log(text); line?.(text) })
    createInterface({ input: child.stderr }).on('line', log)
    const end = (status: number | null, signal: string | null): void => {
      clearTimeout(timer)
      resolve({ status, signal, cut, seconds: (performance.now() - start) / 1000 })
    }
    child.on('error', error => { log(error.message); end(null, null) }).on('close', end)
  })
}

/** A program that answers a JSON line with a JSON line; it is started anew after one that it did not answer. */
export class Worker {
  private child: ChildProcess | undefined
  private answers: ((answer: Record<string, unknown>) => void)[] = []
  /** What it said of itself when it was ready. */
  about: string | undefined

  constructor(private readonly program: string, private readonly args: readonly string[], private readonly env: NodeJS.ProcessEnv, private readonly log: (text: string) => void) {}

  /** @returns its answer, or `{ error }` */
  async ask(request: unknown, limit: number): Promise<Record<string, unknown>> {
    const end = performance.now() + limit, left = (): number => Math.max(1, end - performance.now())
    if (!this.child) {
      const ready = await this.start(left())
      if (ready['error'] !== undefined) return ready
      this.about = String(ready['ready'])
    }
    const answer = this.next(left())
    this.child!.stdin!.write(`${JSON.stringify(request)}\n`)
    return answer
  }

  /** Starts it; resolves with its first line. */
  private start(limit: number): Promise<Record<string, unknown>> {
    const child = this.child = spawn(this.program, this.args, { env: { ...process.env, ...this.env }, stdio: ['pipe', 'pipe', 'pipe'], detached: true })
    const give = (answer: Record<string, unknown>): void => { this.answers.shift()?.(answer) }
    const last: string[] = []
    createInterface({ input: child.stdout }).on('line', text => {
      this.log(text)
      try { give(JSON.parse(text) as Record<string, unknown>) } catch { /* a word between */ }
    })
    createInterface({ input: child.stderr }).on('line', text => { this.log(text); last.push(text) })
    child.stdin.on('error', () => undefined)
    const gone = (why: string) => () => { if (this.child === child) this.child = undefined; give({ error: `${why}${last.length ? `: ${last.at(-1)}` : ''}` }) }
    child.on('error', gone(`${this.program} could not be started`)).on('close', gone(`${this.program} ended`))
    return this.next(limit)
  }

  private next(limit: number): Promise<Record<string, unknown>> {
    return new Promise(resolve => {
      const timer = setTimeout(() => {
        this.answers = []
        this.close()
        resolve({ error: `no answer within ${(limit / 1000).toFixed(0)} s` })
      }, limit)
      this.answers.push(answer => { clearTimeout(timer); resolve(answer) })
    })
  }

  close(): void {
    if (this.child) stop(this.child)
    this.child = undefined
  }
}
