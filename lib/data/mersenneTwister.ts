/**
 * MT19937, with which torch draws on a CPU: for what has to be drawn alike here and there. Everything else draws from `Random`.
 * @see Matsumoto, Nishimura 1998, https://doi.org/10.1145/272991.272995
 */
export class MersenneTwister {
  private readonly state = new Uint32Array(624)
  private at = 624

  /** @param seed of which the low 32 bits count */
  constructor(seed: number) {
    const { state } = this
    state[0] = seed
    for (let i = 1; i < state.length; i++) state[i] = Math.imul(1812433253, state[i - 1]! ^ (state[i - 1]! >>> 30)) + i
  }

  /** From 0 to 2^32 - 1. */
  uint32(): number {
    if (this.at === this.state.length) this.twist()
    let y = this.state[this.at++]!
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    return (y ^ (y >>> 18)) >>> 0
  }

  private twist(): void {
    const { state } = this, n = state.length
    for (let i = 0; i < n; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % n]! & 0x7fffffff)
      state[i] = state[(i + 397) % n]! ^ (y >>> 1) ^ ((y & 1) * 0x9908b0df)
    }
    this.at = 0
  }
}
