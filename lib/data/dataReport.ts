/**
 * What became of the lines that were read. `read` = `kept` + `empty` + `tooLong` + `malformed` + `unmatched`; `truncated` counts kept
 * examples that were shortened. In aligned files a pair of lines counts as one.
 */
export interface DataReport {
  files: string[]
  read: number
  kept: number
  empty: number
  tooLong: number
  truncated: number
  /** Lines that are not of the format (wrong number of columns, no JSON object, a missing key). */
  malformed: number
  /** Lines that the other, shorter file has no counterpart for. */
  unmatched: number
}

export function emptyReport(files: string[] = []): DataReport {
  return { files, read: 0, kept: 0, empty: 0, tooLong: 0, truncated: 0, malformed: 0, unmatched: 0 }
}

/** One line for people: `train.tsv: 1,000 read, 990 kept, 8 empty, 2 too long`. Counts of zero are left out. */
export function describeReport(report: DataReport): string {
  const counts = [
    [report.read, 'read'], [report.kept, 'kept'], [report.truncated, 'of them truncated'], [report.empty, 'empty'],
    [report.tooLong, 'too long'], [report.malformed, 'malformed'], [report.unmatched, 'without counterpart'],
  ] as const
  const text = counts.filter(([count], i) => count > 0 || i < 2).map(([count, name]) => `${count.toLocaleString('en')} ${name}`).join(', ')
  return report.files.length > 0 ? `${report.files.join(' + ')}: ${text}` : text
}
