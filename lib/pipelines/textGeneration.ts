import { ConfigError, DataError } from '../errors.js'
import type { ChatMessage, ChatTemplate } from '../generate/chatTemplate.js'
import { generate } from '../generate/generate.js'
import { generationDefaults } from '../generate/generationConfig.js'
import type { GenerationOptions } from '../generate/options.js'
import type { GenerativeModel } from '../nn/decoding.js'
import type { Tokenizer } from '../text/tokenizer.js'

export interface TextGenerationOptions extends GenerationOptions {
  /** Give the prompt along with what follows it. Default true. */
  returnFullText?: boolean
  /** Put the special tokens of the tokenizer around the prompt. Default: those that stand before it. */
  addSpecialTokens?: boolean
}

export interface GeneratedText { generatedText: string }

/**
 * Goes on with prompts.
 * @returns for each prompt `numReturnSequences` texts
 * @throws as `generate`; DataError for a prompt without tokens
 */
export async function generateTexts(
  model: GenerativeModel, tokenizer: Tokenizer, prompts: readonly string[], { returnFullText = true, addSpecialTokens, ...options }: TextGenerationOptions = {},
): Promise<GeneratedText[][]> {
  if (model.isEncoderDecoder) throw new ConfigError('text-generation is for decoders; this model has an encoder. Use text2text-generation')
  const found: GeneratedText[][] = []
  // One by one: prompts of different lengths would be padded, which costs more than it saves on few of them.
  for (const [i, prompt] of prompts.entries()) {
    const ids = promptIds(tokenizer, prompt, addSpecialTokens)
    if (ids.length === 0) throw new DataError(`text-generation: prompt ${i + 1} has no tokens, and the tokenizer no token to begin with. Give a text`)
    const { newTokens } = await generate(model, [ids], { ...endsOf(model, tokenizer), tokenizer, ...options })
    const before = tokenizer.decode(ids)
    found.push(newTokens.map(tokens => {
      const whole = tokenizer.decode([...ids, ...tokens])   // spacing may depend on the tokens before
      const added = whole.startsWith(before) ? whole.slice(before.length) : tokenizer.decode(tokens)
      return { generatedText: returnFullText ? prompt + added : added }
    }))
  }
  return found
}

/** The prompt with what the tokenizer puts before it, and without what ends a text. */
function promptIds(tokenizer: Tokenizer, prompt: string, addSpecialTokens: boolean | undefined): number[] {
  const { ids } = tokenizer.encode(prompt, { addSpecialTokens: addSpecialTokens ?? true })
  const open = addSpecialTokens === undefined && ids.at(-1) === tokenizer.eosId && !prompt.endsWith(tokenizer.eosToken ?? '\0') ? ids.slice(0, -1) : ids
  return open.length === 0 && tokenizer.bosId !== undefined ? [tokenizer.bosId] : open
}

/** The tokenizer's end and padding, where the model's own generation_config.json does not name them. */
function endsOf(model: GenerativeModel, { eosId, padId }: Tokenizer): GenerationOptions {
  const known = generationDefaults(model)
  return {
    ...(eosId === undefined || known.eosTokenId !== undefined ? {} : { eosTokenId: eosId }), ...(padId === undefined || known.padTokenId !== undefined ? {} : { padTokenId: padId }),
  }
}

/**
 * Answers a conversation, whose last message is the user's.
 * @returns `numReturnSequences` answers, without the conversation
 * @throws ConfigError for a model without a chat template, or what the template refuses
 */
export async function answerChat(
  model: GenerativeModel, tokenizer: Tokenizer, template: ChatTemplate | undefined, messages: readonly ChatMessage[], options: TextGenerationOptions = {},
): Promise<GeneratedText[]> {
  if (!template) throw new ConfigError('text-generation: the model has no chat template, so it cannot be given messages. Give a text, or put a chat_template.jinja beside its config.json')
  return (await generateTexts(model, tokenizer, [template.render(messages)], { ...options, returnFullText: false, addSpecialTokens: false }))[0]!
}

export interface Text2TextOptions extends GenerationOptions {
  /** Stands before each text, such as 'summarize: ' for T5. */
  prefix?: string
  /** Languages of models that have a token for each, such as 'en_XX' and 'de_DE' of mBART. */
  srcLang?: string
  tgtLang?: string
  /** What is behind the model's positions is left out; with false it is an error. Default true. */
  truncation?: boolean
}

/** Encoder-decoder models: a text for each text, by beams or as the options say. @throws as `generate`; ConfigError for a decoder, or an unknown language */
export async function transformTexts(
  model: GenerativeModel, tokenizer: Tokenizer, texts: readonly string[], { prefix = '', srcLang, tgtLang, truncation = true, ...options }: Text2TextOptions = {},
): Promise<string[]> {
  if (!model.isEncoderDecoder) throw new ConfigError('this pipeline is for models with an encoder and a decoder. Use text-generation')
  const forced = tgtLang === undefined ? {} : { forcedBosTokenId: languageToken(tokenizer, tgtLang) }, most = model.maxPositions
  const found: string[] = []
  for (const text of texts) {
    const ids = withLanguage(tokenizer, tokenizer.encode(prefix + text, Number.isFinite(most) ? { maxLength: most, truncation } : {}).ids, srcLang)
    const { newTokens: [tokens] } = await generate(model, [ids], { tokenizer, ...endsOf(model, tokenizer), ...forced, ...options })
    found.push(tokenizer.decode(tokens!).trim())
  }
  return found
}

/** Puts a language where the tokenizer's template has its own: behind the text in mBART, before it in its successors. @throws ConfigError if it has none */
function withLanguage(tokenizer: Tokenizer, ids: number[], language: string | undefined): number[] {
  if (language === undefined) return ids
  const place = [ids.length - 1, 0].find(i => /^[a-z]{2,3}_[A-Za-z]{2,4}$/.test(tokenizer.idToToken(ids[i]!) ?? '')), token = languageToken(tokenizer, language)
  if (place === undefined) throw new ConfigError(`srcLang is ${JSON.stringify(language)}, but this tokenizer puts no language beside a text. Leave it out`)
  return ids.map((id, i) => i === place ? token : id)
}

function languageToken(tokenizer: Tokenizer, language: string): number {
  const id = tokenizer.tokenToId(language)
  if (id === undefined) throw new ConfigError(`the tokenizer has no token for the language ${JSON.stringify(language)}. Languages are tokens such as en_XX`)
  return id
}
