/**
 * Sentences with what the text metrics treat in different ways: punctuation, numbers, scripts, an empty hypothesis, a missing reference.
 */
export const hypotheses = [
  'The cat sat on the mat , quietly .', 'It costs $1,234.5 (in 2019-2020), doesn\'t it?', '他们在讨论 AI 的未来。', '', '“Quoted” — naïve café…',
]
export const references = [
  'The cat sat quietly on the mat.', 'It cost $1,234.50 in 2019-2020, doesn\'t it?', '他们正在讨论 AI 的未来！', 'An empty hypothesis',
  '“Quoted” – a naïve café …',
]
export const secondReferences = [
  'A cat was sitting on a mat.', 'In 2019-2020, it cost $1,234.5, didn\'t it?', null, '', '“Quoted”, naïve café',
]
