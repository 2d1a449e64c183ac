/** Writes to standard output, and waits for a slow reader. */
export const written = (text: string): Promise<unknown> => new Promise(resolve => { process.stdout.write(text, resolve) })
