// One work in a process of its own: node work.js NAME SECONDS. Prints JSON: milliseconds of each run after two that do not count, and the process's peak memory.
import { works } from './works.js'

const [name, seconds] = process.argv.slice(2) as [string, string]
const { run, ...facts } = works[name]!()
for (let i = 0; i < 2; i++) await run()
const times: number[] = [], end = performance.now() + 1000 * Number(seconds)
while (times.length < 3 || (performance.now() < end && times.length < 500)) {
  const start = performance.now()
  await run()
  times.push(performance.now() - start)
}
console.log(JSON.stringify({ ...facts, times, peakMiB: process.resourceUsage().maxRSS / 1024 }))
