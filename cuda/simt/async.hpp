#pragma once
// What Hopper does beside the threads of a block: barriers that count arrivals and bytes, copies of boxes of tensors (TMA), and the asynchronous proxy, which sees
// shared memory as it was when its writer fenced. Everything happens as late as it may: loads when no thread can go on without them, stores when they are waited for.
#include "cuda/simt/machine.hpp"

namespace warpweft::simt {

// What a tensor map says (device/tensor_map.cuh makes it and has checked it). Sizes and the box count elements, strides bytes; innermost dimension first.
struct TensorBox {
  uint64_t mark;   // kTensorBox
  char* data;
  uint64_t strides[4];   // of dimensions 1 to 4
  int64_t sizes[5];
  uint16_t box[5];
  uint8_t rank, elementBytes, swizzled;
};
inline constexpr uint64_t kTensorBox = 0x5EED7E4502B0CAFEu;

// Refuses Hopper's instructions on other GPUs.
void needHopper(Site at);

void mbarrierInit(void* barrier, uint32_t count, Site at);
void mbarrierInitFence(Site at);
void mbarrierArrive(void* barrier, Site at);
void mbarrierArriveExpect(void* barrier, uint32_t bytes, Site at);
void mbarrierWait(void* barrier, uint32_t parity, Site at);

// map: the 128 bytes of a TensorMap.
void bulkLoad(void* to, const void* map, const int32_t* place, int rank, void* barrier, Site at);
void bulkStore(const void* map, const int32_t* place, int rank, const void* from, Site at);
void bulkReduceAdd(float* to, const void* from, uint32_t bytes, Site at);
void bulkCommit(Site at);
void bulkWait(uint32_t pending, bool onlyRead, Site at);

void proxyFence(Site at);
// The running thread wrote there by a function of the device layer: its own fence has to follow before the asynchronous proxy reads. Other writes are taken by any fence.
void noteWrite(const void* p, size_t bytes);

// Of a piece of dynamic shared memory: its distance from the beginning; fails where it is not inside.
uint32_t sharedOffset(const void* p, size_t bytes, Site at);
// Dynamic shared memory as the asynchronous proxy sees it. Fails where threads wrote since, without a fence or before the reader was done.
const void* asyncRead(uint32_t offset, size_t bytes, Site at);

// 16-byte units are exchanged within 128 bytes by the number of the 128-byte line, counted from 1024-byte boundaries.
constexpr uint32_t swizzle128(uint32_t offset) { return offset ^ (offset >> 3 & 0x70u); }

}  // namespace warpweft::simt
