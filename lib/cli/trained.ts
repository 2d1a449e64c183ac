import type { Trainer, TrainingResult } from '../train/trainer.js'
import { answeringItself, atWork } from './atWork.js'
import { rescueTraining } from './rescue.js'

/** Trains for a command: signals are the trainer's, and a failure loses no step that can be saved. */
export async function trained(trainer: Trainer, outputDir: string | undefined): Promise<TrainingResult> {
  try {
    return await answeringItself(() => trainer.train())
  } catch (error) {
    atWork('saving what there is', () => '')
    throw await rescueTraining(trainer, outputDir, error)
  }
}
