/**
 * A number with a fixed count of decimals, halves rounded to the even digit as C and Python print them; `toFixed` rounds them up. Halves
 * are not rare here: 9 of 16 is 56.25 %.
 * @param value 0 or more
 */
export function fixed(value: number, decimals: number): string {
  const rounded = value.toFixed(decimals)
  // A half at that decimal is an odd multiple of 2^-(decimals + 1), if it is a binary number at all.
  const half = value * 2 ** (decimals + 1) % 2 === 1
  return half && Number(rounded.at(-1)) % 2 === 1 ? (value * (1 - 2 ** -50)).toFixed(decimals) : rounded
}
