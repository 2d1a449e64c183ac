// Written by `npm run gpu:accept` from bench/results/gpu-*.json. Do not edit.

/** GPUs, by compute capability, on which every kernel has been run and compared with the CPU's, and what ran there. Others are experimental. */
export const verifiedHardware: ReadonlyMap<string, string> = new Map<string, string>([])
