import { StreamingDecoder } from '../text/streamingDecoder.js'
import type { GeneratedToken, GrowingTexts } from './growingTexts.js'
import type { TextDecoder } from './stoppingCriteria.js'

export interface StreamedToken extends GeneratedToken {
  /** With `tokenizer`: the text that this token makes certain, often ''. Joined, they are what follows the prompt's text. */
  readonly text?: string
}

/** Adds to tokens the text that they make certain: no character is ever split. */
export class TextDeltas {
  private readonly decoders: readonly StreamingDecoder[]

  /** @param afterPrompt whether the new text follows that of the prompt, on which its spacing may depend */
  constructor({ tokens }: GrowingTexts, tokenizer: TextDecoder, afterPrompt: boolean) {
    this.decoders = tokens.map(text => {
      const decoder = new StreamingDecoder(ids => tokenizer.decode(ids))
      if (afterPrompt) decoder.push(...text)
      return decoder
    })
  }

  of(token: GeneratedToken): StreamedToken {
    const decoder = this.decoders[token.sequence]!
    return { ...token, text: decoder.push(token.token) + (token.last ? decoder.flush() : '') }
  }
}
