#pragma once

// What the processor can do, beyond what the compiler was told.
namespace warpweft::cpu {

bool hasAvx2();
bool hasAvx512();   // with BF16 and VNNI
// Matrix tiles (AMX) for bfloat16. Asks the system for room to save their 8 KiB with the state of every thread (Linux 5.16, Documentation/arch/x86/xstate.rst).
bool hasTiles();

// Whether kernels of avx512 use matrix tiles (simd/tiles.hpp): in the instruction set "amx", and where a test says so.
bool usesTiles();
void useTiles(bool use);
// Whether they multiply bfloat16 as pairs in vectors: on AMD, where an instruction on pairs does twice the work of one on floats; on Intel it takes four times as long.
bool usesPairs();
void usePairs(bool use);   // for tests

}  // namespace warpweft::cpu
