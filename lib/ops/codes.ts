// Numbers of the native enumerations, by name. Each list stands in the order of its enum: native/ops/unary.hpp, binary.hpp, reduce.hpp, matmul.hpp, gated.hpp.

const numbered = <T extends string>(...names: T[]): Record<T, number> => Object.fromEntries(names.map((name, i) => [name, i])) as Record<T, number>

export const unaryOps = numbered('neg', 'abs', 'exp', 'log', 'log1p', 'sqrt', 'rsqrt', 'square', 'reciprocal', 'relu', 'gelu', 'geluTanh', 'quickGelu', 'silu', 'tanh', 'sigmoid',
  'softplus', 'erf', 'sin', 'cos', 'sign', 'floor', 'ceil', 'round', 'trunc', 'logicalNot', 'isNan', 'isFinite')

export const binaryOps = numbered('add', 'sub', 'mul', 'div', 'pow', 'max', 'min', 'floorDivide', 'remainder', 'eq', 'ne', 'lt', 'le', 'gt', 'ge', 'logicalAnd', 'logicalOr', 'logicalXor')

export const reduceOps = numbered('sum', 'mean', 'max', 'min', 'prod', 'sumOfSquares')

/** Activations of a product's epilogue. */
export const activations = numbered('none', 'relu', 'gelu', 'geluTanh', 'silu')
export type Activation = keyof typeof activations

/** Activations of a gate. */
export const gateActivations = numbered('relu', 'gelu', 'geluTanh', 'silu', 'sigmoid')
export type GateActivation = keyof typeof gateActivations
