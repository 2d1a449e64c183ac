import { ConfigError } from '../../errors.js'
import {
  character, choice, complement, emptyText, everyCharacter, intersection, lastCodePoint, repetition, sequence, union, type CodePoints, type Language,
} from './language.js'

/** A branch of the outermost alternation, and whether it says that the text begins and ends with it. */
interface Branch { readonly language: Language, readonly begins: boolean, readonly ends: boolean }

/**
 * The texts that a regular expression of JavaScript matches as a whole: `^` and `$` at its ends say nothing more. Lazy quantifiers are those of the same texts, and
 * groups may be named; what cannot be said by an automaton, or depends on what stands around, is refused.
 * @throws ConfigError that names what is not supported, or not well formed, and where
 */
export function regularExpression(pattern: string | RegExp): Language {
  return choice(...new Parser(pattern).branches().map(({ language }) => language))
}

/** The texts that contain a match, as the `pattern` of a JSON schema means it. @throws ConfigError as above */
export function containing(pattern: string): Language {
  const anything = repetition(character(everyCharacter), 0)
  return choice(...new Parser(new RegExp(pattern, 'u')).branches().map(({ language, begins, ends }) =>
    sequence(...(begins ? [] : [anything]), language, ...(ends ? [] : [anything]))))
}

const range = (from: string, to: string): [number, number] => [from.codePointAt(0)!, to.codePointAt(0)!]
const digits: CodePoints = [range('0', '9')]
const wordCharacters = union(digits, [range('A', 'Z'), range('a', 'z'), range('_', '_')])
const spaces = union([[9, 13], [0x20, 0x20], [0xA0, 0xA0], [0x1680, 0x1680], [0x2000, 0x200A], [0x2028, 0x2029], [0x202F, 0x202F], [0x205F, 0x205F], [0x3000, 0x3000], [0xFEFF, 0xFEFF]])
const lineEnds: CodePoints = [[10, 10], [13, 13], [0x2028, 0x2029]]
const controls: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, f: 12, v: 11, '0': 0 }
const classes: Readonly<Record<string, CodePoints>> = {
  d: digits, D: complement(digits), w: wordCharacters, W: complement(wordCharacters), s: spaces, S: complement(spaces),
}

class Parser {
  private readonly source: readonly string[]
  private readonly text: string
  private readonly flags: string
  private at = 0
  private depth = 0

  constructor(pattern: string | RegExp) {
    this.text = typeof pattern === 'string' ? pattern : pattern.source
    this.flags = typeof pattern === 'string' ? '' : pattern.flags
    const unknown = [...this.flags].filter(flag => !'dgsui'.includes(flag))
    if (unknown.length > 0) throw new ConfigError(`regular expression: the flag ${unknown.join(', ')} is not supported; known are s, u and i`)
    this.source = [...this.text]
  }

  branches(): Branch[] {
    const found = this.alternatives()
    if (this.at < this.source.length) this.fail(`unexpected '${this.source[this.at]}'`)
    return found
  }

  private alternatives(): Branch[] {
    const found = [this.branch()]
    while (this.take('|')) found.push(this.branch())
    return found
  }

  private branch(): Branch {
    const parts: Language[] = [], begins = this.anchor('^')
    let ends = false
    for (let next = this.source[this.at]; next !== undefined && next !== '|' && next !== ')'; next = this.source[this.at]) {
      if (ends) this.fail("'$' is supported at the end only")
      if (this.anchor('$')) ends = true
      else parts.push(this.quantified(this.atom()))
    }
    return { language: parts.length === 0 ? emptyText : sequence(...parts), begins, ends }
  }

  private anchor(sign: '^' | '$'): boolean {
    if (this.source[this.at] !== sign) return false
    if (this.depth > 0) this.fail(`'${sign}' within a group is not supported`)
    this.at++
    return true
  }

  private quantified(of: Language): Language {
    for (let first = true; ; first = false) {
      const bounds = this.quantifier()
      if (!bounds) return of
      if (!first) this.fail('nothing to repeat')
      this.take('?')   // lazy: the same texts
      of = repetition(of, ...bounds)
    }
  }

  private quantifier(): [number, number] | undefined {
    if (this.take('*')) return [0, Infinity]
    if (this.take('+')) return [1, Infinity]
    if (this.take('?')) return [0, 1]
    const found = /^\{(\d+)(,(\d*))?\}/.exec(this.source.slice(this.at, this.at + 24).join(''))
    if (!found) return undefined
    this.at += found[0].length
    const least = Number(found[1]), most = found[2] === undefined ? least : found[3] === '' ? Infinity : Number(found[3])
    if (least > most) this.fail(`the numbers of {${least},${most}} are out of order`)
    return [least, most]
  }

  private atom(): Language {
    const sign = this.source[this.at++]!
    switch (sign) {
      case '(': return this.group()
      case '[': return character(this.characterClass())
      case '.': return character(this.flags.includes('s') ? everyCharacter : complement(lineEnds))
      case '\\': return character(this.folded(this.escape(false)))
      case '^': return this.fail("'^' is supported at the beginning only")
      case '*': case '+': case '?': return this.fail('nothing to repeat')
      default: return character(this.folded([range(sign, sign)]))
    }
  }

  private group(): Language {
    if (this.take('?')) {
      const rest = this.source.slice(this.at).join(''), named = /^<([\p{L}$_][\p{L}\p{N}$_]*)>/u.exec(rest)
      if (named) this.at += [...named[0]].length
      else if (!this.take(':')) this.fail(/^<?[=!]/.test(rest) ? 'looking ahead or behind is not supported' : 'unknown kind of group')
    }
    this.depth++
    const inside = this.alternatives()
    this.depth--
    if (!this.take(')')) this.fail("')' is missing")
    return choice(...inside.map(({ language }) => language))
  }

  private characterClass(): CodePoints {
    const negated = this.take('^'), sets: CodePoints[] = []
    for (;;) {
      if (this.at >= this.source.length) this.fail("']' is missing")
      if (this.take(']')) break
      const from = this.member()
      if (this.source[this.at] !== '-' || this.source[this.at + 1] === ']' || this.source[this.at + 1] === undefined) {
        sets.push(from)
        continue
      }
      this.at++
      const to = this.member(), single = (set: CodePoints): boolean => set.length === 1 && set[0]![0] === set[0]![1]
      if (!single(from) || !single(to)) this.fail('a range between sets of characters')
      if (from[0]![0] > to[0]![0]) this.fail('the ends of a range are out of order')
      sets.push([[from[0]![0], to[0]![0]]])
    }
    const set = this.folded(union(...sets))
    return negated ? complement(set) : set
  }

  private member(): CodePoints {
    const sign = this.source[this.at++]!
    return sign === '\\' ? this.escape(true) : [range(sign, sign)]
  }

  private escape(inClass: boolean): CodePoints {
    const sign = this.source[this.at++]
    if (sign === undefined) return this.fail('the last \\ stands alone')
    if (Object.hasOwn(classes, sign)) return classes[sign]!
    if (sign === 'b' && inClass) return [[8, 8]]
    if (sign === 'b' || sign === 'B') return this.fail(`\\${sign} is not supported`)
    if (sign === 'p' || sign === 'P') return this.property(sign === 'P')
    if (/[1-9k]/.test(sign) && !inClass) return this.fail(`a reference to another group (\\${sign}) is not supported`)
    if (Object.hasOwn(controls, sign)) return [[controls[sign]!, controls[sign]!]]
    const rest = this.source.slice(this.at, this.at + 12).join('')
    const hex = sign === 'x' ? /^([0-9a-fA-F]{2})/.exec(rest) : sign === 'u' ? /^([0-9a-fA-F]{4})/.exec(rest) ?? /^\{([0-9a-fA-F]{1,6})\}/.exec(rest) : null
    if (hex) {
      this.at += hex[0].length
      let code = parseInt(hex[1]!, 16)
      const low = sign === 'u' && code >= 0xD800 && code < 0xDC00 ? /^\\u(D[C-F][0-9A-F]{2})/i.exec(this.source.slice(this.at, this.at + 6).join('')) : null
      if (low) {
        this.at += 6
        code = 0x10000 + ((code - 0xD800) << 10) + parseInt(low[1]!, 16) - 0xDC00
      }
      if (code > lastCodePoint) this.fail('a code point beyond 10FFFF')
      return [[code, code]]
    }
    if (/[a-zA-Z0-9]/.test(sign)) return this.fail(`\\${sign} is not supported`)
    return [range(sign, sign)]
  }

  private property(negated: boolean): CodePoints {
    const name = /^\{([\w=]+)\}/.exec(this.source.slice(this.at, this.at + 64).join(''))
    if (!name) return this.fail('\\p needs a property, as in \\p{L}')
    this.at += name[0].length
    let set = properties.get(name[1]!)
    if (!set) {
      let matches: RegExp
      try {
        matches = new RegExp(`\\p{${name[1]!}}`, 'u')
      } catch {
        return this.fail(`\\p{${name[1]!}} is not a property of Unicode`)
      }
      properties.set(name[1]!, set = those(code => matches.test(String.fromCodePoint(code))))
    }
    return negated ? complement(set) : set
  }

  /** With the flag i: also what differs in case alone. */
  private folded(set: CodePoints): CodePoints {
    if (!this.flags.includes('i')) return set
    const others = intersection(set, cased()).flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => {
      const c = String.fromCodePoint(from + i), other = [c.toLowerCase(), c.toUpperCase(), c.toUpperCase().toLowerCase()].filter(text => [...text].length === 1)
      return other.map((text): [number, number] => range(text, text))
    }).flat())
    return union(set, others)
  }

  private take(sign: string): boolean {
    if (this.source[this.at] !== sign) return false
    this.at++
    return true
  }

  private fail(what: string): never {
    throw new ConfigError(`regular expression: ${what}, at character ${this.at} of ${this.text}. Supported are characters, classes, groups, | and quantifiers.`)
  }
}

const properties = new Map<string, CodePoints>()
let lettersWithCase: CodePoints | undefined
const cased = (): CodePoints => lettersWithCase ??= those(code => {
  const c = String.fromCodePoint(code)
  return c.toLowerCase() !== c || c.toUpperCase() !== c
})

/** Characters that a test holds for. */
export function those(holds: (code: number) => boolean): CodePoints {
  const found: [number, number][] = []
  for (const [from, to] of everyCharacter) {
    for (let code = from; code <= to; code++) {
      if (!holds(code)) continue
      const last = found.at(-1)
      if (last && last[1] === code - 1) last[1] = code
      else found.push([code, code])
    }
  }
  return found
}
