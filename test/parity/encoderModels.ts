import type { Run } from './adapter.js'

export const encoderModels: Readonly<Record<string, Run<never>>> = {}
