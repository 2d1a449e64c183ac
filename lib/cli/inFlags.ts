import { kebab, type Command } from './arguments.js'

/**
 * A message of the library in the words of the command line: `resumeFromCheckpoint: true` becomes `--resume-from-checkpoint true`, `maxTokens 12`
 * becomes `--max-tokens 12`. A name of one word (`policy`) may be a word of the sentence; it is changed only where a value follows its colon.
 */
export function inFlags(message: string, { flags }: Pick<Command, 'flags'>): string {
  const values = Object.entries(flags).reduce((text, [name, { value }]) =>
    text.replace(new RegExp(`${before}${name}: ('[^']*'|true|false|\\d+(?:\\.\\d+)?(?!\\w))`, 'g'), (_, given: string) => {
      if (value === undefined) return given === 'false' ? `--no-${kebab(name)}` : `--${kebab(name)}`
      return `--${kebab(name)} ${given.replaceAll("'", '')}`
    }), message)
  return Object.keys(flags).filter(name => /[A-Z]/.test(name)).reduce((text, name) =>
    text.replace(new RegExp(`${before}${name}${behind}`, 'g'), `--${kebab(name)}`), values)
}

// Not within a path, a word or a quotation.
const before = "(?<![\\w./'-])", behind = "(?![\\w/'-]|\\.\\w)"
