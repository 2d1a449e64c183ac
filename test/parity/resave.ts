// node build/js/test/parity/resave.js FOLDER DIR…: loads the models of parity cases and saves them again under FOLDER, for check_saved.py.
import { basename, join } from 'node:path'
import { loadModel, saveModel } from '#lib/hub/modelDirectory.js'

const [folder, ...directories] = process.argv.slice(2)
if (!folder || directories.length === 0) {
  console.error('usage: resave.js FOLDER DIR…')
  process.exit(2)
}
for (const directory of directories) {
  const { model } = await loadModel(directory)
  await saveModel(join(folder, basename(directory)), model)
  model.dispose()
}
