import { Random } from '#lib/data/random.js'
import { tensor } from '#lib/tensor/create.js'
import type { Tensor } from '#lib/tensor/tensor.js'

export const random = new Random(0, 'bench')
export const normal = (...shape: number[]): Tensor => tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()), shape).keep()
