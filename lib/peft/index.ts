export type { BottleneckConfig, IA3Config, LoraConfig, PeftConfig, PeftOptions, PeftType, PrefixTuningConfig, PromptTuningConfig, TaskType } from './config.js'
export { getPeftModel, PeftModel, type PeftModelOptions } from './peftModel.js'
export { quantizeWeights, type QuantizationOptions } from './quantizeWeights.js'
