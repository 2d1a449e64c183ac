import { readFileSync } from 'node:fs'
import { WarpweftError } from '../errors.js'
import { ioError } from '../io/ioError.js'
import { closest } from '../spelling.js'
import { commandHelp, parseCommandLine, UsageError, type Command } from './arguments.js'
import { answerSignals } from './atWork.js'
import { bench } from './bench.js'
import { chat } from './chat.js'
import { convert, merge } from './convert.js'
import { demo } from './demo.js'
import { doctor } from './doctor.js'
import { download } from './download.js'
import { evaluate } from './evaluate.js'
import { finetune } from './finetune.js'
import { generate } from './generate.js'
import { inFlags } from './inFlags.js'
import { info } from './info.js'
import { train } from './train.js'
import { translate } from './translate.js'

export const commands: Readonly<Record<string, Command>> = { demo, train, translate, evaluate, generate, chat, finetune, merge, convert, download, info, doctor, bench }

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }

function overview(): string {
  const width = Math.max(...Object.keys(commands).map(name => name.length))
  return [
    `warpweft ${version}: train Transformers, translate and generate with them`, '',
    ...Object.entries(commands).map(([name, { about }]) => `  ${name.padEnd(width)}  ${about}`), '',
    '`warpweft COMMAND --help` says more of one. WARPWEFT_THREADS bounds the threads, WARPWEFT_DEBUG=1 shows where an error came from.',
  ].join('\n')
}

/** Runs a command line. @returns the exit code: 0, 1 for an error, 2 for a command line that cannot be understood, 130 and 143 for a training that a signal ended */
export async function main(args: readonly string[]): Promise<number> {
  const [name = '--help', ...rest] = args
  let command: Command | undefined
  try {
    if (name === '--help' || name === '-h' || name === 'help') {
      console.log(name === 'help' && rest[0] !== undefined ? commandHelp(commandNamed(rest[0])) : overview())
      return 0
    }
    if (name === '--version' || name === '-v') {
      console.log(version)
      return 0
    }
    command = commandNamed(name)
    if (rest.includes('--help') || rest.includes('-h')) {
      console.log(commandHelp(command))
      return 0
    }
    const { operands, options } = parseCommandLine(name, command, rest)
    return await command.run(operands, options)
  } catch (error) {
    report(error, command)
    return error instanceof UsageError ? 2 : 1
  }
}

/** @throws UsageError with the one that was probably meant */
function commandNamed(name: string): Command {
  if (Object.hasOwn(commands, name)) return commands[name]!
  const known = Object.keys(commands), meant = closest(name, [...known, 'help', '--help', '--version'])
  throw new UsageError(`there is no command '${name}'${meant === undefined ? '.' : `; do you mean ${meant}?`} Known are ${known.join(', ')}.`)
}

function report(error: unknown, command?: Command): void {
  if (process.env['WARPWEFT_DEBUG'] === '1') console.error(error)
  else console.error(`warpweft: ${command ? inFlags(oneLine(error), command) : oneLine(error)}`)
}

function oneLine(error: unknown): string {
  if (error instanceof UsageError || error instanceof WarpweftError) return error.message.replace(/\s*\n\s*/g, ' ')
  const message = error instanceof Error ? `${error.name}: ${error.message}`.replace(/\s*\n\s*/g, ' ') : String(error)
  return `${message} (unexpected; WARPWEFT_DEBUG=1 shows where it came from)`
}

/** Runs the command line of this process to its end. */
export function runProcess(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that has enough (`warpweft translate … | head`) is no error.
    if (error.code === 'EPIPE') process.exit(0)
    report(ioError('write to', 'standard output', error))
    process.exit(1)
  })
  // A training whose messages nobody reads any more (`warpweft train … 2>&1 | head`) goes on.
  process.stderr.on('error', () => undefined)
  process.on('uncaughtException', error => {
    report(error)
    process.exit(1)
  })
  answerSignals()
  void main(process.argv.slice(2)).then(code => { process.exitCode = code })
}
