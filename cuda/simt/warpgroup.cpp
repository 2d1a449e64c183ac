#include "cuda/simt/warpgroup.hpp"

#include <algorithm>
#include <cstring>
#include <list>

#include "cuda/simt/collectives.hpp"
#include "cuda/simt/matrix.hpp"

namespace warpweft::simt {
namespace {

constexpr int kWarps = 32;
constexpr uint32_t kRegisters = 65536, kFewest = 24, kMost = 256;

// Sums in registers that products are on their way to. The registers hold NaN meanwhile.
struct Sums { float* d[32]; int count; uint32_t group; std::vector<float> value; };   // [lane][count]

struct Product { WgmmaShape shape; const uint32_t* a[32]; uint64_t descriptorA, descriptorB; uint32_t group; Sums* sums; Site at; };

struct Queue {
  std::vector<Product> products;
  std::list<Sums> sums;
  uint32_t group = 0;
  bool fenced = false;
  uint64_t issued = 0;
};

struct Issued { uint64_t a, b; Site at; };

struct Warpgroups {
  Queue queues[kWarps];
  std::vector<Issued> issued[kWarps / 4];   // what the first warp to come brought
  bool used = false;
  uint32_t registers[kWarps], free;
  std::vector<Thread*> waiting;
};
Warpgroups& groups() {
  static auto* g = new Warpgroups;
  return *g;
}

unsigned warps() { return (block.threads + 31) / 32; }

void needWarpgroup(Site at) {
  needHopper(at);
  needAllLanes(at.what, at);
  if (self->warp->number / 4 * 4 + 4 > warps()) fail(at.file, at.line, "%s in warp %u of a block of %u warps: its warpgroup is not whole", at.what, self->warp->number, warps());
}

// The operand that a descriptor describes, with 128-byte swizzle: lines by 16 steps of k.
class Operand {
 public:
  Operand(uint64_t descriptor, bool acrossLines, bool bfloat, const char* name, Site at)
      : start_(static_cast<uint32_t>(descriptor & 0x3FFF) << 4), leading_(static_cast<uint32_t>(descriptor >> 16 & 0x3FFF) << 4), stride_(static_cast<uint32_t>(descriptor >> 32 & 0x3FFF) << 4),
        across_(acrossLines), bfloat_(bfloat), at_(at) {
    if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0) fail(at.file, at.line, "wgmma: the descriptor 0x%016llX of %s is not one of 128-byte swizzle at a multiple of 1024 bytes", static_cast<unsigned long long>(descriptor), name);
  }
  float operator()(uint32_t line, uint32_t k) const {
    const uint32_t offset = across_ ? line % 64 * 2 + line / 64 * leading_ + k % 8 * 128 + k / 8 * stride_ : line % 8 * 128 + line / 8 * stride_ + k * 2;
    uint16_t v;
    std::memcpy(&v, asyncRead(swizzle128(start_ + offset), 2, at_), 2);
    return bfloat_ ? fromBits(static_cast<uint32_t>(v) << 16) : floatFromHalf(v);
  }

 private:
  uint32_t start_, leading_, stride_;
  bool across_, bfloat_;
  Site at_;
};

// A warp's 16 rows: products and sums in double, rounded once.
void perform(const Product& p, unsigned warp) {
  const int N = p.shape.N;
  float a[16][16];
  if (p.a[0]) {
    for (unsigned lane = 0; lane < 32; lane++)
      for (unsigned i = 0; i < 8; i++) {
        const auto h = static_cast<uint16_t>(p.a[lane][i / 2] >> 16 * (i % 2));
        a[lane / 4 + 8 * (i / 2 % 2)][2 * (lane % 4) + i % 2 + 8 * (i / 4)] = p.shape.bfloat ? fromBits(static_cast<uint32_t>(h) << 16) : floatFromHalf(h);
      }
  } else {
    const Operand operand(p.descriptorA, p.shape.majorA, p.shape.bfloat, "A", p.at);
    for (uint32_t row = 0; row < 16; row++)
      for (uint32_t k = 0; k < 16; k++) a[row][k] = operand(warp % 4 * 16 + row, k);
  }
  const Operand operand(p.descriptorB, p.shape.majorB, p.shape.bfloat, "B", p.at);
  std::vector<float> b(16 * static_cast<size_t>(N));
  for (int n = 0; n < N; n++)
    for (int k = 0; k < 16; k++) b[static_cast<size_t>(k * N + n)] = operand(static_cast<uint32_t>(n), static_cast<uint32_t>(k));
  std::vector<double> sum(static_cast<size_t>(N));
  for (int row = 0; row < 16; row++) {
    std::fill(sum.begin(), sum.end(), 0.);
    for (int k = 0; k < 16; k++)
      for (int n = 0; n < N; n++) sum[static_cast<size_t>(n)] += static_cast<double>(a[row][k]) * static_cast<double>(b[static_cast<size_t>(k * N + n)]);
    for (int n = 0; n < N; n++) {
      float& d = p.sums->value[static_cast<size_t>((row % 8 * 4 + n % 8 / 2) * p.sums->count + n / 8 * 4 + row / 8 * 2 + n % 2)];
      d = static_cast<float>(sum[static_cast<size_t>(n)] + (p.shape.accumulate ? static_cast<double>(d) : 0.));
    }
  }
}

void giveBack(const Sums& s) {
  for (int lane = 0; lane < 32; lane++) std::memcpy(s.d[lane], &s.value[static_cast<size_t>(lane * s.count)], sizeof(float) * static_cast<size_t>(s.count));
}

struct In { float* d; const uint32_t* a; uint64_t descriptorA, descriptorB; bool accumulate; };

void issue(const WgmmaShape& shape, const Meeting& m, Site at) {
  const In& first = m.input<In>(0);
  for (unsigned lane = 1; lane < 32; lane++) {
    const In& in = m.input<In>(lane);
    if (in.descriptorA != first.descriptorA || in.descriptorB != first.descriptorB || in.accumulate != first.accumulate)
      fail(at.file, at.line, "wgmma: lanes 0 and %u of warp %u bring different operands", lane, self->warp->number);
  }
  Warpgroups& all = groups();
  Queue& q = all.queues[self->warp->number];
  all.used = true;
  std::vector<Issued>& log = all.issued[self->warp->number / 4];
  const Issued mine{first.descriptorA ^ static_cast<uint64_t>(first.accumulate), first.descriptorB, at};
  if (q.issued == log.size()) log.push_back(mine);
  const Issued& expected = log[q.issued++];
  if (expected.a != mine.a || expected.b != mine.b || expected.at.line != at.line) fail(at.file, at.line, "wgmma: the warps of the warpgroup of warp %u bring different products", self->warp->number);

  Sums* sums = nullptr;
  for (Sums& s : q.sums)
    if (s.d[0] == first.d) sums = &s;
  if (!sums) {
    if (!q.fenced) fail(at.file, at.line, "wgmma without wgmmaFence: its registers may not have been written yet");
    sums = &q.sums.emplace_back();
    sums->count = shape.N / 2;
    sums->value.resize(32 * static_cast<size_t>(sums->count));
    for (unsigned lane = 0; lane < 32; lane++) {
      sums->d[lane] = m.input<In>(lane).d;
      std::memcpy(&sums->value[lane * static_cast<size_t>(sums->count)], sums->d[lane], sizeof(float) * static_cast<size_t>(sums->count));
      std::memset(sums->d[lane], 0xFF, sizeof(float) * static_cast<size_t>(sums->count));
    }
  }
  sums->group = q.group;
  Product p{shape, {}, first.descriptorA, first.descriptorB, q.group, sums, at};
  for (unsigned lane = 0; lane < 32; lane++) p.a[lane] = m.input<In>(lane).a;
  q.products.push_back(p);
}

}  // namespace

void beginWarpgroups() {
  Warpgroups& all = groups();
  if (all.used) {
    for (Queue& q : all.queues) q = {};
    for (auto& log : all.issued) log.clear();
  }
  all.used = false;
  all.waiting.clear();
  all.free = 0;
  const uint32_t each = std::min(kRegisters / (warps() * 32), 255u) / 8 * 8;   // what the bounds of the launch leave to a thread
  for (uint32_t& r : all.registers) r = each;
}

void endWarpgroups() {
  const Warpgroups& all = groups();
  for (unsigned w = 0; w < warps(); w++) {
    const Queue& q = all.queues[w];
    if (!q.products.empty()) fail(q.products[0].at.file, q.products[0].at.line, "wgmma: warp %u ended and did not wait for its products", w);
    if (q.issued != all.issued[w / 4].size()) fail(all.issued[w / 4].back().at.file, all.issued[w / 4].back().at.line, "wgmma: warp %u brought %llu products, others of its warpgroup %zu", w, static_cast<unsigned long long>(q.issued), all.issued[w / 4].size());
    if (all.registers[w] != all.registers[w / 4 * 4]) fail(__FILE__, __LINE__, "setRegisters: warps %u and %u of a warpgroup ended with %u and %u registers", w / 4 * 4, w, all.registers[w / 4 * 4], all.registers[w]);
  }
}

void wgmma(const WgmmaShape& shape, float* d, const uint32_t* a, uint64_t descriptorA, uint64_t descriptorB, Site at) {
  needWarpgroup(at);
  collective<char>(0xFFFFFFFFu, In{d, a, descriptorA, descriptorB, shape.accumulate}, [&](const Meeting& m) { issue(shape, m, at); }, at);
}

void wgmmaFence(Site at) {
  needWarpgroup(at);
  collective<char>(0xFFFFFFFFu, char{}, [](const Meeting&) { groups().queues[self->warp->number].fenced = true; }, at);
}

void wgmmaCommit(Site at) {
  needWarpgroup(at);
  collective<char>(0xFFFFFFFFu, char{}, [](const Meeting&) { groups().queues[self->warp->number].group++; }, at);
}

void wgmmaWait(uint32_t pending, Site at) {
  needWarpgroup(at);
  collective<char>(0xFFFFFFFFu, char{}, [&](const Meeting&) {
    Queue& q = groups().queues[self->warp->number];
    const auto over = [&](uint32_t group) { return static_cast<int32_t>(q.group - pending - group) > 0; };
    size_t done = 0;
    while (done < q.products.size() && over(q.products[done].group)) perform(q.products[done++], self->warp->number);
    q.products.erase(q.products.begin(), q.products.begin() + static_cast<std::ptrdiff_t>(done));
    for (auto s = q.sums.begin(); s != q.sums.end();) {
      if (!over(s->group)) {
        ++s;
        continue;
      }
      giveBack(*s);
      s = q.sums.erase(s);
    }
    q.fenced = false;
  }, at);
}

void setRegisters(uint32_t registers, bool more, Site at) {
  needWarpgroup(at);
  if (registers % 8 || registers < kFewest || registers > kMost) fail(at.file, at.line, "setRegisters to %u, expected a multiple of 8 from %u to %u", registers, kFewest, kMost);
  collective<char>(0xFFFFFFFFu, char{}, [&](const Meeting&) {
    Warpgroups& all = groups();
    uint32_t& mine = all.registers[self->warp->number];
    if (more ? registers < mine : registers > mine) fail(at.file, at.line, "setRegisters to %u, %s than the %u that a thread has", registers, more ? "less" : "more", mine);
    if (!more) {
      all.free += (mine - registers) * 32;
      for (Thread* t : all.waiting) wake(t);
      all.waiting.clear();
    } else {
      while (all.free < (registers - mine) * 32) {   // for ever, where nobody gives enough back
        all.waiting.push_back(self);
        wait(at);
      }
      all.free -= (registers - mine) * 32;
    }
    mine = registers;
  }, at);
}

void stmatrix(void* row, const uint32_t* r, int count, bool transposed, Site at) {
  needHopper(at);
  needAllLanes("stmatrix", at);
  struct Source { char* row; uint32_t r[4]; };
  Source in{static_cast<char*>(row), {}};
  std::memcpy(in.r, r, sizeof(uint32_t) * static_cast<size_t>(count));
  if (self->lane < 8u * static_cast<unsigned>(count)) {
    checkAligned(row, 16, "stmatrix", at.file, at.line);
    noteWrite(row, 16);
  }
  collective<char>(0xFFFFFFFFu, in, [&](const Meeting& m) {
    for (unsigned i = 0; i < static_cast<unsigned>(count); i++)
      for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned half = 0; half < 2; half++) {
          const auto v = static_cast<uint16_t>(m.input<Source>(lane).r[i] >> 16 * half);
          const unsigned g = lane / 4, t = 2 * (lane % 4) + half;
          std::memcpy(m.input<Source>(8 * i + (transposed ? t : g)).row + 2 * (transposed ? g : t), &v, 2);
        }
  }, at);
}

}  // namespace warpweft::simt
