// The loops of elementwise kernels: division by multiplication, joined dimensions, and parts of less than 2^31 elements of loops that no test could hold.
#include "cuda/elementwise/loop.cuh"
#include "simt_test.hpp"

using namespace warpweft;
using namespace warpweft::cuda;
using namespace warpweft::test;

namespace {

void divisions() {
  std::mt19937 random(3);
  const auto check = [](uint32_t n, uint32_t d) { expect(Divider::of(d)(n) == n / d, "%u / %u = %u", n, d, Divider::of(d)(n)); };
  for (uint32_t d : {1u, 2u, 3u, 5u, 7u, 641u, 1000u, 65535u, 65536u, 65537u, 0x3FFFFFFFu, 0x40000000u, 0x7FFFFFFEu, 0x7FFFFFFFu})
    for (uint32_t n : {0u, 1u, d - 1, d, d + 1 < 0x80000000u ? d + 1 : d, 0x7FFFFFFFu, 0x7FFFFFFEu, 0x40000000u}) check(n, d);
  for (int i = 0; i < 200000; i++) check(static_cast<uint32_t>(random()) >> 1, 1 + (static_cast<uint32_t>(random()) >> (1 + random() % 31)));
}

View viewOf(std::vector<int64_t> sizes, std::vector<int64_t> strides) {
  View v{};
  v.rank = static_cast<int32_t>(sizes.size());
  for (size_t d = 0; d < sizes.size(); d++) v.sizes[d] = sizes[d], v.strides[d] = strides[d];
  return v;
}

// Element i of the loop is an element of the tensor, each once, and the same one in both operands.
void joins() {
  const View y = viewOf({4, 1, 3, 5}, {1, 7, 20, 4}), x = viewOf({4, 1, 3, 5}, {100, 0, 0, 1});
  const View* views[] = {&y, &x};
  const Loop<2> l = loopOver(views);
  expect(l.rank == 3 && l.sizes[0] == 4 && l.total == 60, "rank %d", l.rank);
  std::vector<bool> seen(60);
  for (int64_t i = 0; i < 60; i++) {
    int64_t o[2], many[2];
    l.offsets(i, o);
    l.offsetsOfMany(i, many);
    const int64_t a = o[0] % 4, c = o[0] / 4 % 5, b = o[0] / 20;
    expect(o[1] == 100 * a + c && b < 3 && !seen[static_cast<size_t>(o[0])] && o[0] == many[0] && o[1] == many[1], "element %d", static_cast<int>(i));
    seen[static_cast<size_t>(o[0])] = true;
  }
  const View whole = viewOf({6, 5, 4}, {20, 4, 1}), row = viewOf({6, 5, 4}, {0, 0, 1});
  const View* same[] = {&whole, &whole};
  const View* broadcast[] = {&whole, &row};
  expect(loopOver(same).rank == 1 && loopOver(broadcast).rank == 2 && loopOver(broadcast).sizes[1] == 30, "contiguous dimensions are not joined");
}

void parts(std::vector<int64_t> sizes, std::vector<int64_t> strides) {
  const View v = viewOf(std::move(sizes), std::move(strides));
  const View* views[] = {&v};
  const Loop<1> l = loopOver(views);
  int64_t total = 0, count = 0, last = -1;
  forEachPart(l, [&](const Loop<1>& part, const int64_t (&begin)[1]) {
    expect(part.total > 0 && part.total < int64_t{1} << 31 && begin[0] > last && begin[0] % 8 == 0, "a part of %lld elements at %lld", static_cast<long long>(part.total), static_cast<long long>(begin[0]));
    total += part.total;
    last = begin[0];
    count++;
  });
  expect(total == l.total && (count > 1) == (total >= int64_t{1} << 31), "%lld parts of %lld elements instead of %lld", static_cast<long long>(count), static_cast<long long>(total), static_cast<long long>(l.total));
}

}  // namespace

int main() {
  divisions();
  joins();
  parts({1000}, {1});
  parts({0x7FFFFFFF}, {1});
  parts({int64_t{1} << 31}, {1});
  parts({(int64_t{5} << 32) + 3}, {1});
  parts({3, int64_t{1} << 30, 8}, {int64_t{1} << 40, 16, 1});
  parts({7, 0, 3}, {8, 8, 8});
  return report("simt loops");
}
