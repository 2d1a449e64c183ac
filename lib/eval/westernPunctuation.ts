/**
 * The rules of mteval-v13a for Western languages, which Tercom shares. Their order matters (later ones see the spaces of earlier ones),
 * and so do spaces around the text: a rule that looks at a neighbour finds none at an end. The text's own spaces multiply.
 */

/** ASCII marks stand alone: all but the apostrophe, comma, hyphen and dot. */
export function separateMarks(text: string): string {
  return text.replace(/[ -&(-+:-@/[-`{-~]/g, ' $& ')
}

/** Dots and commas stand alone unless they are between digits, hyphens if they follow a digit. */
export function separateDotsAndHyphens(text: string): string {
  return text
    .replace(/([^0-9])([.,])/gu, '$1 $2 ')
    .replace(/([.,])([^0-9])/gu, ' $1 $2')
    .replace(/([0-9])(-)/g, '$1 $2 ')
}
