#!/usr/bin/env node
// The program. Nothing of the library is imported before the try: where the addon cannot be loaded, that is an error of one line too.
try {
  const { runProcess } = await import('./commandLine.js')
  runProcess()
} catch (error) {
  if (process.env['WARPWEFT_DEBUG'] === '1') console.error(error)
  else console.error(`warpweft: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
