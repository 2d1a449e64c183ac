// A model of one's own with a training loop of one's own: does a sequence hold the same token at both ends? An embedding, two encoder layers and a
// linear layer learn it. Run it with: node examples/own-model.mjs [steps]
import { backward, data, manualSeed, memory, nn, noGrad, ops, optim, scope, tensor } from 'warpweft'

const steps = Number(process.argv[2] ?? 400)
const V = 12, T = 8, B = 64   // vocabulary, sequence length, batch

// Parameters and submodules are properties; `namedParameters()` finds them under their paths, as in PyTorch.
class SameEnds extends nn.Module {
  constructor(C) {
    super()
    this.embedding = new nn.Embedding(V, C)
    this.positions = new nn.LearnedPositions(T, C)
    this.encoder = new nn.TransformerEncoder(2, { dModel: C, heads: 4, feedForward: 2 * C, dropout: 0, activation: 'gelu', normFirst: true, eps: 1e-5 },
      { finalNorm: true })
    this.head = new nn.Linear(C, 2)
  }

  forward(ids /* B T */) {
    const x = this.encoder.forward(this.positions.forward(this.embedding.forward(ids)))   // B T C
    return this.head.forward(ops.mean(x, 1))                                              // B 2
  }
}

manualSeed(0)
const before = memory().tensors
const random = new data.Random(0, 'sequences')
function batch() {
  const ids = Int32Array.from({ length: B * T }, () => random.integer(V)), labels = Int32Array.from({ length: B }, () => random.integer(2))
  for (let b = 0; b < B; b++) {
    const first = ids[b * T]
    ids[b * T + T - 1] = labels[b] ? first : (first + 1 + random.integer(V - 1)) % V
  }
  return { ids: tensor(ids, [B, T]), labels: tensor(labels, [B]) }
}

const model = new SameEnds(32), optimizer = new optim.AdamW(model, { learningRate: 3e-3, weightDecay: 0.01 })
console.log(`${model.parameterCount} parameters, the first is ${[...model.stateDict().keys()][0]}`)
for (let step = 1; step <= steps; step++) {
  // What is made inside is freed at the end; parameters, gradients and optimizer states belong to their owners and stay.
  await scope(async () => {
    const { ids, labels } = batch()
    const loss = ops.crossEntropy(model.forward(ids), labels)
    backward(loss)
    optimizer.step({ maxNorm: 1 })
    optimizer.zeroGrad()
    if (step % 100 === 0 || step === steps) console.log(`step ${step}: loss ${(await loss.item()).toFixed(4)}`)   // reading is what waits
  })
}

model.eval()
const right = await noGrad(() => scope(async () => {
  const { ids, labels } = batch(), [answers, expected] = await Promise.all([ops.argmax(model.forward(ids)).data(), labels.data()])
  return answers.reduce((n, answer, i) => n + (answer === expected[i] ? 1 : 0), 0)
}))
console.log(`right on ${right} of ${B} new sequences`)
for (const owner of [optimizer, model]) owner.dispose()
console.log(`tensors left over: ${memory().tensors - before}`)
