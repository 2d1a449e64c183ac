#pragma once
// The device layer: all that a kernel may use of a GPU. Under nvcc these are PTX and intrinsics, under WARPWEFT_SIMT the emulator in cuda/simt. docs/cuda.md.
#include "cuda/device/bulk.cuh"
#include "cuda/device/launch.cuh"
#include "cuda/device/math.cuh"
#include "cuda/device/matrix.cuh"
#include "cuda/device/memory.cuh"
#include "cuda/device/platform.cuh"
#include "cuda/device/random.cuh"
#include "cuda/device/tensor_map.cuh"
#include "cuda/device/warp.cuh"
#include "cuda/device/warpgroup.cuh"
