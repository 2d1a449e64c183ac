/** The label of positions that count for nothing in the loss (padding), as in PyTorch. */
export const ignoreIndex = -100
