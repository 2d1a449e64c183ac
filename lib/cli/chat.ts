import { readFile, writeFile } from 'node:fs/promises'
import { createInterface, type Interface } from 'node:readline'
import { AbortedError, ConfigError, DataError, WarpweftError } from '../errors.js'
import { ChatTemplate, type ChatMessage } from '../generate/chatTemplate.js'
import type { GenerationOptions } from '../generate/options.js'
import { PromptCache } from '../generate/promptCache.js'
import { specialTokens, textStream } from '../generate/textStream.js'
import { resolveModel } from '../hub/resolveModel.js'
import { ioError } from '../io/ioError.js'
import type { GenerativeModel } from '../nn/decoding.js'
import type { Tokenizer } from '../text/tokenizer.js'
import { exitCodes } from '../train/interruption.js'
import type { Command } from './arguments.js'
import { answeringItself, atWork } from './atWork.js'
import { generationFlags, generationOptions, limit } from './generationFlags.js'
import { generativeModel } from './models.js'
import { requireInput } from './standardInput.js'
import { written } from './written.js'

const help = `/help            this list
/system [TEXT]   sets the system prompt, or takes it away, and begins anew
/reset           begins anew
/save FILE       writes the conversation as JSON: a list of role and content
/exit            leaves, as Ctrl-D does
Ctrl-C stops an answer; a second one leaves.`

export const chat: Command = {
  about: 'talks with a chat model',
  usage: 'chat MODEL [options]',
  operands: [1, 1],
  flags: {
    system: { value: 'TEXT', about: 'the system prompt' },
    chatTemplate: { value: 'FILE', about: 'a template in Jinja, in place of the one that the model brings' },
    ...generationFlags,
  },
  async run([name], options) {
    requireInput()
    atWork('loading the model')
    const directory = await resolveModel(name!), template = await chatTemplate(directory, options.text('chatTemplate'))
    const { model, tokenizer } = await generativeModel(directory)
    const conversation = new Conversation(model, tokenizer, template, { ...specialTokens(model, tokenizer), ...await generationOptions(options, tokenizer) }, options.text('system'))
    return answeringItself(() => conversation.run())
  },
}

/** @throws ConfigError where there is none */
async function chatTemplate(directory: string, file: string | undefined): Promise<ChatTemplate> {
  const own = await ChatTemplate.read(directory)
  if (file !== undefined) {
    const text = await readFile(file, 'utf8').catch((error: unknown) => { throw ioError('read', file, error) })
    return own ? own.with(text) : new ChatTemplate(new Map([['default', text]]))
  }
  if (own) return own
  throw new ConfigError(`${directory} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json): it was not made for conversations. `
    + 'Use `warpweft generate`, or give a template with --chat-template FILE.')
}

/** Lines in, answers out. */
class Conversation {
  private messages: ChatMessage[] = []
  private readonly cache: PromptCache | undefined
  /** Of the answer that is being given. */
  private answering: AbortController | undefined
  private readonly interactive = process.stdin.isTTY && process.stdout.isTTY

  constructor(
    private readonly model: GenerativeModel, private readonly tokenizer: Tokenizer, private readonly template: ChatTemplate, private readonly options: GenerationOptions,
    private system: string | undefined,
  ) {
    this.cache = model.isEncoderDecoder ? undefined : new PromptCache()
  }

  /** @returns the exit code */
  async run(): Promise<number> {
    const lines = createInterface({ input: process.stdin, ...(this.interactive ? { output: process.stdout, prompt: '> ' } : {}), terminal: this.interactive })
    let ended: number | undefined
    const leave = (signal: 'SIGINT' | 'SIGTERM') => (): void => {
      if (signal === 'SIGINT' && this.answering && !this.answering.signal.aborted) {
        this.answering.abort()
        return
      }
      ended = exitCodes[signal]
      this.answering?.abort()
      lines.close()
    }
    const [interrupt, terminate] = [leave('SIGINT'), leave('SIGTERM')]
    process.on('SIGINT', interrupt).on('SIGTERM', terminate)
    lines.on('SIGINT', interrupt)   // in a terminal keys come as they are
    process.stdin.on('error', () => { lines.close() })   // an input that is gone has ended
    try {
      if (this.interactive) await written('Ask something; /help lists the commands.\n')
      for await (const line of this.incoming(lines)) {
        if (!await this.take(line)) break
        if (ended !== undefined) break
      }
      return ended ?? 0
    } finally {
      lines.close()
      process.stdin.destroy()   // an open terminal would keep the process
      process.off('SIGINT', interrupt).off('SIGTERM', terminate)
      this.cache?.dispose()
    }
  }

  private async* incoming(lines: Interface): AsyncGenerator<string> {
    const waiting: string[] = []
    let wake = (): void => undefined, closed = false
    lines.on('line', line => { waiting.push(line); wake() })
    lines.on('close', () => { closed = true; wake() })
    for (;;) {
      if (this.interactive && !closed) lines.prompt()
      if (waiting.length === 0 && !closed) await new Promise<void>(resolve => { wake = resolve })
      const line = waiting.shift()
      if (line === undefined) return
      yield line
    }
  }

  /** @returns whether to go on */
  private async take(line: string): Promise<boolean> {
    const text = line.trim(), [, command, rest = ''] = /^\/(\S*)\s*(.*)$/s.exec(text) ?? []
    if (text === '') return true
    if (command === undefined) await this.answer(text)
    else if (command === 'exit' || command === 'quit') return false
    else await this.obey(command, rest)
    return true
  }

  private async obey(command: string, rest: string): Promise<void> {
    switch (command) {
      case 'help': await written(`${help}\n`); return
      case 'system': this.system = rest === '' ? undefined : rest; this.messages = []; console.error(rest === '' ? 'No system prompt; a new conversation.' : 'A new conversation.'); return
      case 'reset': this.messages = []; console.error('A new conversation.'); return
      case 'save': await this.save(rest); return
      default: console.error(`There is no command /${command}; /help lists them. A text that begins with / may begin with a space and another sign.`)
    }
  }

  private async save(path: string): Promise<void> {
    if (path === '') { console.error('/save needs a file: /save conversation.json'); return }
    const problem = await writeFile(path, `${JSON.stringify(this.all, null, 2)}\n`).then(() => undefined, (error: unknown) => ioError('write', path, error) as Error)
    console.error(problem ? `warpweft: ${problem.message}` : `Saved: ${path}`)
  }

  private get all(): ChatMessage[] { return [...this.system === undefined ? [] : [{ role: 'system', content: this.system }], ...this.messages] }

  /** Says what the model answers. What goes wrong leaves the conversation as it was. */
  private async answer(text: string): Promise<void> {
    this.messages.push({ role: 'user', content: text })
    const said: string[] = []
    this.answering = new AbortController()
    try {
      const ids = this.tokenizer.encode(this.template.render(this.all), { addSpecialTokens: this.model.isEncoderDecoder }).ids
      if (ids.length >= this.model.maxPositions)
        throw new DataError(`the conversation has ${ids.length} tokens, the model positions for ${this.model.maxPositions}. /reset begins anew.`)
      const options: GenerationOptions = { ...this.options, ...limit(this.model, this.options, ids.length), signal: this.answering.signal, ...(this.cache ? { promptCache: this.cache } : {}) }
      const room = this.model.maxPositions - ids.length + 1
      if (!this.model.isEncoderDecoder && (options.maxNewTokens ?? 0) > room) options.maxNewTokens = room
      for await (const piece of textStream(this.model, this.tokenizer, ids, options)) {
        said.push(piece)
        await written(piece)
      }
      await written('\n')
    } catch (error) {
      if (!(error instanceof AbortedError)) {
        this.messages.pop()
        if (said.length > 0) await written('\n')
        if (!(error instanceof WarpweftError)) throw error
        console.error(`warpweft: ${(error as Error).message}`)
        return
      }
      await written('\n')
    } finally {
      this.answering = undefined
    }
    this.messages.push({ role: 'assistant', content: said.join('') })
  }
}
