#pragma once
#include "runtime/view.hpp"

// Which elements of a storage a strided view touches. Overlap is decided here and not on byte ranges: the queries, keys and values of one fused product
// interleave in memory without sharing an element.
namespace warpweft {

enum class Overlap { none, identical, some };

bool injective(const View& v);
// Both views must lie in one storage (data pointers are compared). `some` also where it cannot be shown that they are disjoint.
Overlap overlap(const View& a, const View& b);

}  // namespace warpweft
