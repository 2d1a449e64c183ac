import type { Adapter } from './adapter.js'
import type { Case } from './case.js'

export const encoderModels: Record<string, (c: Case) => Adapter> = {}
