#pragma once

// What the processor can do, beyond what the compiler was told.
namespace warpweft::cpu {

bool hasAvx2();
bool hasAvx512();   // with BF16 and VNNI
// Tile registers that multiply bfloat16 (AMX). Asks the system to let this process use them: they make the state of every thread 8 KiB larger.
bool hasTiles();

// How the kernels of avx512 multiply matrices of bfloat16: converted to float32; as pairs in vectors; in tile registers.
enum class Bf16Products { floats, pairs, tiles };

// Pairs where an instruction on them does twice the work of one on floats (AMD); where it takes four times as long as that (Intel), floats. Tiles once they were chosen.
Bf16Products bf16Products();
// To be called before the first product. False, and nothing is changed, if the processor cannot.
bool chooseBf16Products(Bf16Products wanted);

}  // namespace warpweft::cpu
