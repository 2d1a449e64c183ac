/**
 * `module`, with everything that it lacks taken from another object: what stands in the place of a layer has to answer as the layer did (`outFeatures`, `weight`, …), and
 * the model around adapters as the model within.
 * @param to gives the other object; it may change
 */
export function delegating<T extends object>(module: T, to: (module: T) => object): T {
  const outside: T = new Proxy(module, {
    get(own, name) {
      const holder = Reflect.has(own, name) ? own : to(own), value: unknown = Reflect.get(holder, name)
      if (typeof value !== 'function' || name === 'constructor') return value
      return (...given: unknown[]): unknown => {
        const result: unknown = Reflect.apply(value, holder, given)
        return result === own ? outside : result   // `return this`
      }
    },
    has: (own, name) => Reflect.has(own, name) || Reflect.has(to(own), name),
    set: (own, name, value) => Reflect.set(Reflect.has(own, name) ? own : to(own), name, value),
  })
  return outside
}
