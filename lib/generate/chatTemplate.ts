import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, join } from 'node:path'
import { CheckpointError, ConfigError } from '../errors.js'
import { ioError, systemCode } from '../io/ioError.js'

/** A turn of a conversation. Templates know the roles system, user and assistant, some also tool. */
export interface ChatMessage { role: string, content: string }

export interface ChatTemplateOptions {
  /** Ends where the answer begins (default), instead of behind the last message. */
  addGenerationPrompt?: boolean
  /** Which of several templates; default 'default'. */
  name?: string
  /** Further names that the template may know, such as `tools` or `enable_thinking`. */
  variables?: Readonly<Record<string, unknown>>
}

// The declarations of version 0.5.11 do not resolve in ES modules (their imports lack extensions), so an import would be a compile error.
const { Template } = createRequire(import.meta.url)('@huggingface/jinja') as { Template: new (source: string) => { render(items: Record<string, unknown>): string } }

/** How a model was taught to see a conversation: templates in Jinja that make one text of its messages. Nothing but text comes of them. */
export class ChatTemplate {
  /** @param sources by name   @param specialTokens as templates call them: bos_token, eos_token, … */
  constructor(readonly sources: ReadonlyMap<string, string>, private readonly specialTokens: Readonly<Record<string, string>> = {}) {}

  /**
   * The template of a model directory: `chat_template.jinja` (and `additional_chat_templates/*.jinja`), else `chat_template` of `tokenizer_config.json`, one or
   * several with names. @returns undefined if it has none   @throws CheckpointError for a file that cannot be read
   */
  static async read(directory: string): Promise<ChatTemplate | undefined> {
    const config = await tokenizerConfig(directory), sources = new Map<string, string>(), given = config['chat_template']
    if (typeof given === 'string') sources.set('default', given)
    else if (Array.isArray(given)) for (const { name, template } of given as { name: string, template: string }[]) sources.set(name, template)
    const file = await textOf(join(directory, 'chat_template.jinja'))
    if (file !== undefined) sources.set('default', file)
    const more = await readdir(join(directory, 'additional_chat_templates')).catch(() => [])
    for (const name of more.filter(name => name.endsWith('.jinja'))) {
      const text = await textOf(join(directory, 'additional_chat_templates', name))
      if (text !== undefined) sources.set(basename(name, '.jinja'), text)
    }
    return sources.size === 0 ? undefined : new ChatTemplate(sources, specialTokensOf(config))
  }

  /** The same special tokens with another template. */
  with(source: string): ChatTemplate { return new ChatTemplate(new Map([['default', source]]), this.specialTokens) }

  /**
   * @returns the text of a conversation, to be encoded without adding special tokens: the template writes them
   * @throws ConfigError for a name that is not there, and for what the template refuses, such as roles out of turn
   */
  render(messages: readonly ChatMessage[], { addGenerationPrompt = true, name, variables = {} }: ChatTemplateOptions = {}): string {
    const chosen = name ?? (this.sources.has('default') ? 'default' : [...this.sources.keys()][0]!), source = this.sources.get(chosen)
    if (source === undefined) throw new ConfigError(`there is no chat template '${chosen}'; known are ${[...this.sources.keys()].join(', ')}.`)
    try {
      return new Template(source).render({ ...this.specialTokens, ...variables, messages, add_generation_prompt: addGenerationPrompt })
    } catch (cause) {
      throw new ConfigError(`the chat template refuses the conversation: ${(cause as Error).message}`, { cause })
    }
  }
}

async function tokenizerConfig(directory: string): Promise<Readonly<Record<string, unknown>>> {
  const path = join(directory, 'tokenizer_config.json'), text = await textOf(path)
  if (text === undefined) return {}
  try {
    const config: unknown = JSON.parse(text)
    return typeof config === 'object' && config !== null ? config as Readonly<Record<string, unknown>> : {}
  } catch (cause) {
    throw new CheckpointError(`${path} is not JSON (${(cause as Error).message}). Save or download it again.`, { cause })
  }
}

function specialTokensOf(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const tokens: Record<string, string> = {}
  for (const [key, value] of Object.entries(config)) {
    if (!key.endsWith('_token')) continue
    const text = typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value
    if (typeof text === 'string') tokens[key] = text
  }
  return tokens
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined
    throw ioError('read', path, error)
  }
}
