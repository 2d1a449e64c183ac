import { pretrainedClasses } from '#lib/models/registry.js'
import { cpu } from '#lib/tensor/device.js'
import type { Precision } from './runCase.js'

/** What became of a case; `worst` is the greatest error in parts of its bound. */
export interface Row { name: string, architecture: string, compared: number, passed: number, worst: number }

/** docs/models.md: the classes that can be loaded, and how the cases of each came out. */
export function modelsPage(rows: readonly Row[], precision: Precision, date: string): string {
  const known = pretrainedClasses.filter(({ modelType }) => modelType !== 'warpweft-transformer')
  const types = [...new Set(known.map(({ modelType }) => modelType))]
  const casesOf = (architecture: string): string => {
    const own = rows.filter(row => row.architecture === architecture)
    if (own.length === 0) return '–'
    const failed = own.filter(row => row.passed < row.compared).length
    return `${own.length}${failed > 0 ? `, ${failed} of them failed` : ''}; ${own.reduce((sum, row) => sum + row.compared, 0)} tensors, worst at ${Math.max(...own.map(row => row.worst)).toPrecision(2)} of its bound`
  }
  return [
    '# Models', '',
    `Classes of transformers that load, train, generate and save here. Written by \`npm run parity -- --table docs/models.md DIR…\` on ${date} (${precision}, ${cpu.describe()}): each case holds weights,`,
    'inputs, outputs, the loss, every gradient and generated sequences that PyTorch and transformers computed in float64; `test/parity/make*.py` make cases of any configuration, `sweep.py` of random ones.', '',
    `${rows.filter(row => row.passed === row.compared).length} of ${rows.length} cases passed.`, '',
    '| `model_type` | class | cases |', '|---|---|---|',
    ...types.flatMap(type => known.filter(({ modelType }) => modelType === type).map(({ architecture }, i) => `| ${i === 0 ? `\`${type}\`` : ''} | ${architecture} | ${casesOf(architecture)} |`)), '',
    'Rules of comparison: float32 outputs and losses within 2e-5 of the largest value of the tensor, gradients within 1e-4 of their largest, scores of beams within 1e-4, sequences equal;',
    'bfloat16 within 3e-2.', '',
  ].join('\n')
}
