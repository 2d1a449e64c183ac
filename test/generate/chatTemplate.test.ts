import { mkdirSync, writeFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { CheckpointError, ConfigError } from '#lib/errors.js'
import { ChatTemplate } from '#lib/generate/chatTemplate.js'
import { temporaryFolder } from '../io/temporaryFolder.js'

const at = temporaryFolder()
const messages = [{ role: 'user', content: 'Hi ' }, { role: 'assistant', content: 'Ho' }]
const folder = (name: string, files: Record<string, unknown>): string => {
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(at(name, ...file.split('/').slice(0, -1)), { recursive: true })
    writeFileSync(at(name, ...file.split('/')), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return at(name)
}

test('a template of tokenizer_config.json, with its special tokens', async () => {
  const template = await ChatTemplate.read(folder('one', { 'tokenizer_config.json': {
    bos_token: { content: '<s>', special: true }, eos_token: '</s>',
    chat_template: "{{ bos_token }}{% for m in messages %}\n  {%- if m['role'] == 'user' %}\n[{{ m.content | trim }}]\n  {%- else %}\n{{ m.content }}{{ eos_token }}\n  {%- endif %}\n{% endfor %}{% if add_generation_prompt %}>{% endif %}",
  } }))
  expect(template!.render(messages)).toBe('<s>[Hi]Ho</s>>')
  expect(template!.render(messages, { addGenerationPrompt: false })).toBe('<s>[Hi]Ho</s>')
})

test('several by name, files before them, variables', async () => {
  const config = { chat_template: [{ name: 'default', template: 'config' }, { name: 'tools', template: '{{ tools | length }}{{ messages[0].content }}' }] }
  const listed = await ChatTemplate.read(folder('list', { 'tokenizer_config.json': config }))
  expect([listed!.render(messages), listed!.render(messages, { name: 'tools', variables: { tools: [1, 2] } })]).toEqual(['config', '2Hi '])
  expect(() => listed!.render(messages, { name: 'rag' })).toThrow(/known are default, tools/)
  const files = await ChatTemplate.read(folder('files', { 'tokenizer_config.json': config, 'chat_template.jinja': 'file', 'additional_chat_templates/rag.jinja': 'rag' }))
  expect([files!.render(messages), files!.render(messages, { name: 'rag' }), files!.with('own').render(messages)]).toEqual(['file', 'rag', 'own'])
})

test('none, damaged ones, and those that refuse', async () => {
  expect(await ChatTemplate.read(folder('none', { 'tokenizer_config.json': {} }))).toBeUndefined()
  expect(await ChatTemplate.read(at('nothing'))).toBeUndefined()
  await expect(ChatTemplate.read(folder('broken', { 'tokenizer_config.json': '{' }))).rejects.toThrow(CheckpointError)
  for (const source of ["{{ raise_exception('roles must alternate') }}", '{% if %}']) expect(() => new ChatTemplate(new Map([['default', source]])).render(messages)).toThrow(ConfigError)
  expect(() => new ChatTemplate(new Map([['default', "{{ raise_exception('roles must alternate') }}"]])).render(messages)).toThrow(/roles must alternate/)
})
