import { resolve } from 'node:path'

/** A folder of the reference data that lies beside the project, or where WARPWEFT_SHARED says. */
export const sharedFolder = (name: string): string => resolve(process.env['WARPWEFT_SHARED'] ?? '../shared', name)
