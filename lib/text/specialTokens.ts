import { describe, isObject, type Json } from './jsonFields.js'
import { TokenizerError } from '../errors.js'

/** The parts that special tokens play, by the names of Hugging Face's tokenizer_config.json in camelCase. */
export interface SpecialTokenNames { padToken?: string, bosToken?: string, eosToken?: string, unkToken?: string, maskToken?: string }

export type SpecialTokenRole = keyof SpecialTokenNames

interface Role {
  /** Keys of tokenizer_config.json, the first wins. */
  keys: string[]
  /** Names that are taken for the role where nothing says which token plays it. */
  usual: string[]
}

export const specialTokenRoles: Record<SpecialTokenRole, Role> = {
  padToken: { keys: ['pad_token'], usual: ['<pad>', '[PAD]', '<|pad|>', '<|padding|>'] },
  bosToken: { keys: ['bos_token', 'cls_token'], usual: ['<s>', '[CLS]', '<bos>', '<|begin_of_text|>', '<|startoftext|>', '<|endoftext|>'] },
  eosToken: { keys: ['eos_token', 'sep_token'], usual: ['</s>', '[SEP]', '<eos>', '<|end_of_text|>', '<|endoftext|>', '<|im_end|>'] },
  unkToken: { keys: ['unk_token'], usual: ['<unk>', '[UNK]'] },
  maskToken: { keys: ['mask_token'], usual: ['<mask>', '[MASK]'] },
}

const roles = Object.keys(specialTokenRoles) as SpecialTokenRole[]

/**
 * Which token plays which part: what the caller names, else what tokenizer_config.json names, else the model's own unknown token, else a
 * usual name.
 * @param has whether a token is in the vocabulary   @param isSpecial whether it is a special token
 * @throws TokenizerError if a token that the caller names is not in the vocabulary
 */
export function assignRoles(names: SpecialTokenNames, config: Json, unknownToken: string | undefined,
  has: (token: string) => boolean, isSpecial: (token: string) => boolean): SpecialTokenNames {
  const assigned: SpecialTokenNames = {}
  for (const role of roles) {
    const named = names[role]
    if (named !== undefined && (typeof named !== 'string' || !has(named))) {
      throw new TokenizerError(`${role} is ${describe(named)}, which is not in the vocabulary. Name a token of the vocabulary, or add `
        + 'it with addSpecialTokens.')
    }
    const { keys, usual } = specialTokenRoles[role]
    const configured = keys.map(key => content(config[key])).find(token => token !== undefined && has(token))
    const token = named ?? configured ?? (role === 'unkToken' ? unknownToken : undefined) ?? usual.find(isSpecial)
    if (token !== undefined) assigned[role] = token
  }
  return assigned
}

/** The roles as tokenizer_config.json writes them. */
export function rolesForConfig(names: SpecialTokenNames): Json {
  const config: Json = {}
  for (const role of roles) if (names[role] !== undefined) config[specialTokenRoles[role].keys[0] as string] = names[role]
  return config
}

/** Tokens are written as strings or as objects with a `content`. */
function content(token: unknown): string | undefined {
  if (typeof token === 'string') return token
  return isObject(token) && typeof token['content'] === 'string' ? token['content'] : undefined
}
