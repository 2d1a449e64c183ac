// Rules that find bugs; how code is laid out is not their business. Warnings are errors.
import js from '@eslint/js'
import { defineConfig } from 'eslint/config'
import typescript from 'typescript-eslint'

const nodeGlobals = ['AbortController', 'AbortSignal', 'fetch', 'Buffer', 'URL', 'clearTimeout', 'console', 'process', 'setTimeout', 'setImmediate']

export default defineConfig(
  { ignores: ['build/', 'dist/', 'prebuilds/', 'node_modules/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    rules: {
      'eqeqeq': 'error',
      'no-self-compare': 'error',
      'no-template-curly-in-string': 'error',
      'no-unmodified-loop-condition': 'error',
      'no-unreachable-loop': ['error', { ignore: ['ForOfStatement'] }],
    },
  },
  {
    files: ['**/*.ts'],
    extends: [typescript.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: ['tsconfig.json', 'tsconfig.test.json'], tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/require-array-sort-compare': ['error', { ignoreStringArrays: true }],
      '@typescript-eslint/return-await': ['error', 'in-try-catch'],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // A `!` after an index says that the bound is known.
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
      // An interface that promises a promise may be kept without waiting for anything.
      '@typescript-eslint/require-await': 'off',
      // tsc's noUnusedLocals and noUnusedParameters say it already.
      '@typescript-eslint/no-unused-vars': 'off',
    },
  },
  // Tests hand methods to map and to matchers.
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/unbound-method': 'off' } },
  {
    files: ['**/*.mjs'],
    languageOptions: { globals: Object.fromEntries(nodeGlobals.map(name => [name, 'readonly'])) },
  },
)
