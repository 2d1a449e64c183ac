const root = 0
// A name of the module: looking up a global is slow where the module runs in a context of its own, as under jest.
const { imul } = Math
const initialSlots = 1 << 12

/**
 * A tree of strings by UTF-16 units in flat arrays: the edges are an open-addressing hash table of (node, unit), so that a million strings
 * take tens of megabytes and building it makes no garbage.
 */
export class PrefixTree {
  static readonly root = root
  #parents = new Int32Array(initialSlots)
  #units = new Uint16Array(initialSlots)
  #children = new Int32Array(initialSlots)   // 0: empty slot (the root is nobody's child)
  #values = new Int32Array(initialSlots).fill(-1)
  #nodes = 1

  /** @param value from 0 */
  insert(text: string, value: number): void {
    let node = root
    for (let i = 0; i < text.length; i++) node = this.#add(node, text.charCodeAt(i))
    this.#values[node] = value
  }

  /** The node reached from `node` by `unit`, or -1. */
  step(node: number, unit: number): number {
    const child = this.#children[this.#slot(node, unit)] as number
    return child === 0 ? -1 : child
  }

  /** The value of the string that ends at `node`, or -1. */
  value(node: number): number {
    return this.#values[node] as number
  }

  /** Calls `found(value, end)` for each string of the tree that `text` continues with at `start`, shortest first. */
  prefixes(text: string, start: number, found: (value: number, end: number) => void): void {
    let node = root
    for (let i = start; i < text.length; i++) {
      node = this.step(node, text.charCodeAt(i))
      if (node < 0) return
      const value = this.#values[node] as number
      if (value >= 0) found(value, i + 1)
    }
  }

  #add(node: number, unit: number): number {
    const slot = this.#slot(node, unit)
    const child = this.#children[slot] as number
    if (child !== 0) return child
    this.#parents[slot] = node
    this.#units[slot] = unit
    const added = this.#children[slot] = this.#nodes++
    if (2 * this.#nodes > this.#children.length) this.#grow()
    return added
  }

  #slot(node: number, unit: number): number {
    const mask = this.#children.length - 1
    let hash = imul(node, 0x9e3779b1) ^ imul(unit, 0x85ebca6b)
    hash ^= hash >>> 15
    let slot = hash & mask
    while (this.#children[slot] !== 0 && (this.#parents[slot] !== node || this.#units[slot] !== unit)) slot = (slot + 1) & mask
    return slot
  }

  #grow(): void {
    const parents = this.#parents, units = this.#units, children = this.#children
    const slots = 2 * children.length
    this.#parents = new Int32Array(slots)
    this.#units = new Uint16Array(slots)
    this.#children = new Int32Array(slots)
    for (let i = 0; i < children.length; i++) {
      if (children[i] === 0) continue
      const slot = this.#slot(parents[i] as number, units[i] as number)
      this.#parents[slot] = parents[i] as number
      this.#units[slot] = units[i] as number
      this.#children[slot] = children[i] as number
    }
    const values = new Int32Array(slots).fill(-1)
    values.set(this.#values)
    this.#values = values
  }
}
