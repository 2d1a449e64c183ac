import { ConfigError } from '../errors.js'

/** @throws ConfigError for options that are not known, which lists those that are */
export function checkNames(where: string, options: object, known: Readonly<Record<string, true>>): void {
  const unknown = Object.keys(options).filter(name => !Object.hasOwn(known, name))
  if (unknown.length > 0) throw new ConfigError(`${where}: unknown option ${unknown.join(', ')}. Known are ${Object.keys(known).join(', ')}.`)
}
