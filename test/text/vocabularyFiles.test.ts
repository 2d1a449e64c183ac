import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { TokenizerError } from '#lib/errors.js'
import { Tokenizer } from '#lib/text/tokenizer.js'
import { temporaryFolder } from '../io/temporaryFolder.js'

const at = temporaryFolder()
const write = (files: Record<string, unknown>): void => {
  mkdirSync(at('model'), { recursive: true })
  for (const [file, content] of Object.entries(files)) writeFileSync(at('model', file), typeof content === 'string' ? content : JSON.stringify(content))
}
// Expected ids, tokens and texts are those of transformers 5.23 for the same files.
const words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'the', 'cat', 'sat', '##s', 'cafe', '.', 'Cat', '[NEW]']
const letters = ['h', 'e', 'l', 'o', 'Ġ', 'w', 'r', 'd', 'he', 'll', 'hell', 'hello', 'Ġw']
const merges = '#version: 0.2\nh e\nl l\nhe ll\nhell o\nĠ w\n'

describe('vocabulary files', () => {
  test('vocab.txt is BERT\'s WordPiece, in lower case unless the configuration says otherwise', async () => {
    write({ 'vocab.txt': `${words.join('\n')}\n`, 'tokenizer_config.json': { tokenizer_class: 'BertTokenizer' } })
    const tokenizer = await Tokenizer.fromFile(at('model'))
    expect(tokenizer.encode('The Cats sat [MASK].').tokens).toEqual(['[CLS]', 'the', 'cat', '##s', 'sat', '[MASK]', '.', '[SEP]'])
    expect(tokenizer.encode('Café', { pair: 'the dog' }).ids).toEqual([2, 9, 3, 5, 1, 3])
    expect(tokenizer.encode('Café', { pair: 'the dog' }).typeIds).toEqual([0, 0, 0, 1, 1, 1])
    expect(tokenizer.decode([2, 5, 6, 8, 7, 10, 3])).toBe('the cats sat.')
    expect([tokenizer.padId, tokenizer.maskId, tokenizer.unkId]).toEqual([0, 4, 1])
    write({ 'tokenizer_config.json': { tokenizer_class: 'DistilBertTokenizer', do_lower_case: false }, 'added_tokens.json': { '[NEW]': 12 } })
    expect((await Tokenizer.fromFile(at('model'))).encode('Cat cat the[NEW]').ids).toEqual([2, 11, 6, 5, 12, 3])
  })

  test('vocab.json and merges.txt are GPT-2\'s byte-level BPE', async () => {
    write({ 'vocab.json': Object.fromEntries([...letters, '<|endoftext|>'].map((token, id) => [token, id])), 'merges.txt': merges })
    const tokenizer = await Tokenizer.fromFile(at('model'))
    expect(tokenizer.encode('hello world<|endoftext|>').ids).toEqual([11, 12, 3, 6, 2, 7, 13])
    expect(tokenizer.decode([11, 12, 3, 6, 2, 7])).toBe('hello world')
    expect(tokenizer.eosId).toBe(13)
  })

  test('or RoBERTa\'s, with its own template', async () => {
    const special = ['<s>', '<pad>', '</s>', '<unk>', '<mask>']
    write({ 'vocab.json': Object.fromEntries([...special, ...letters].map((token, id) => [token, id])), 'merges.txt': merges, 'tokenizer_config.json': { tokenizer_class: 'RobertaTokenizer' } })
    const tokenizer = await Tokenizer.fromFile(at('model'))
    expect(tokenizer.encode('hello <mask>').ids).toEqual([0, 16, 9, 4, 2])
    expect(tokenizer.encode('hello', { pair: 'hello' }).ids).toEqual([0, 16, 2, 2, 16, 2])
    write({ 'tokenizer_config.json': { tokenizer_class: 'RobertaTokenizer', mask_token: { content: '<mask>', lstrip: true } } })
    expect((await Tokenizer.fromFile(at('model'))).encode('hello <mask>').ids).toEqual([0, 16, 4, 2])
  })

  test('saved, they are a tokenizer.json that gives the same', async () => {
    write({ 'vocab.txt': words.join('\n') })
    const tokenizer = await Tokenizer.fromFile(at('model'))
    await tokenizer.save(at('saved'))
    expect(JSON.parse(readFileSync(at('saved', 'tokenizer.json'), 'utf8'))).toMatchObject({ model: { type: 'WordPiece' } })
    expect((await Tokenizer.fromFile(at('saved'))).encode('The cats').ids).toEqual(tokenizer.encode('The cats').ids)
  })

  test('of a class that is not known are refused with what to do', async () => {
    write({ 'vocab.json': { a: 0 }, 'merges.txt': '', 'tokenizer_config.json': { tokenizer_class: 'CLIPTokenizer' } })
    await expect(Tokenizer.fromFile(at('model'))).rejects.toThrow(/vocab.json and merges.txt of a CLIPTokenizer are not known here. Convert it in Python/)
    await expect(Tokenizer.fromFile(at('model'))).rejects.toThrow(TokenizerError)
  })
})
