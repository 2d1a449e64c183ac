// indexSelect, gather and their gradients: bad indices, duplicates, half types, accumulation, bits whatever the threads.
#include "test_context.hpp"

#include "ops/gather.hpp"
#include "ops/index_select.hpp"
#include "ops/scatter_add.hpp"

WW_DECLARE(IndexSelect)
WW_DECLARE(IndexAdd)
WW_DECLARE(Gather)
WW_DECLARE(ScatterAdd)

using namespace warpweft;
using namespace warpweft::test;

namespace {

void selects() {
  for (DType t : {DType::f32, DType::bf16, DType::i64, DType::u8, DType::b8})
    for (DType it : {DType::i32, DType::i64})
      for (int64_t C : {0, 1, 17, 300}) {
        const int64_t N = 7, M = 65;
        Tensor x(t, {N, 2, C}, {2 * C + 3, C, 1}), ids(it, {M});
        x.fill([&](int64_t i) { return t == DType::b8 ? i % 2 : static_cast<double>(i % 100); });
        ids.fill([](int64_t i) { return static_cast<double>(i * 5 % 7); });
        ids.set(4, -1);
        ids.set(40, 7);
        std::vector<double> expected;
        for (int64_t m = 0; m < M; m++)
          for (int64_t i = 0; i < 2 * C; i++) expected.push_back(m == 4 || m == 40 ? 0 : x.get(static_cast<int64_t>(ids.get(m)) * 2 * C + i));
        for (const Kernel& k : WW_ENTRIES(IndexSelect)) {
          Tensor y(t, {M, 2, C});
          TestContext c(3);
          c.run(k, IndexSelect{x.in(), ids.in(), y.out()});
          close(std::string(k.isa) + " indexSelect " + nameOf(t), y, expected, 0);
          if (C) expect(c.reported(2) && c.faultPosition == 4 && c.faultValue == -1 && c.faultSize == 7, "%s indexSelect reported %lld faults, first at %lld", k.isa,
                        static_cast<long long>(c.faults), static_cast<long long>(c.faultPosition));
        }
      }
}

void adds() {
  for (DType t : {DType::f32, DType::bf16, DType::f16})
    for (int64_t N : {1, 7, 300})
      for (int64_t M : {0, 1, 65, 1000})
        for (int64_t C : {1, 17, 1100}) {
          if (M * C > 100000 && N != 7) continue;
          for (bool accumulate : {false, true}) {
            Tensor dy(t, {M, C}), ids(DType::i32, {M});
            dy.fill([](int64_t i) { return std::sin(static_cast<double>(i)); });
            ids.fill([&](int64_t i) { return static_cast<double>(i * i % 11 % N); });
            if (M == 65) ids.set(3, 1000);
            std::vector<double> expected(static_cast<size_t>(N * C), accumulate ? 0.5 : 0.0);
            for (int64_t m = 0; m < M; m++)
              if (ids.get(m) < static_cast<double>(N))
                for (int64_t i = 0; i < C; i++) expected[static_cast<size_t>(static_cast<int64_t>(ids.get(m)) * C + i)] += dy.get(m * C + i);
            for (const Kernel& k : WW_ENTRIES(IndexAdd)) {
              std::string bits;
              for (int threads : {1, 4}) {
                Tensor dx(t, {N, C}, {C + 1, 1});
                if (accumulate) dx.fill([](int64_t) { return 0.5; });
                TestContext c(threads);
                c.run(k, IndexAdd{dy.in(), ids.in(), dx.grad(accumulate)});
                close(std::string(k.isa) + " indexAdd " + nameOf(t), dx, expected, roundingOf(t) * 1.01, 1e-5);
                expect(c.faults == (M == 65), "%s indexAdd reported %lld faults", k.isa, static_cast<long long>(c.faults));
                if (threads == 1) bits = dx.bits();
                else expect(bits == dx.bits(), "%s indexAdd differs with threads", k.isa);
              }
            }
          }
        }
  for (const Kernel& k : WW_ENTRIES(IndexAdd)) {
    Tensor dy(DType::f32, {2, 3}), ids(DType::i32, {2});
    TestContext c;
    c.run(k, IndexAdd{dy.in(), ids.in(), absentGrad()});
  }
}

void gathers() {
  for (DType t : {DType::f32, DType::bf16, DType::i64, DType::u8})
    for (int64_t C : {1, 17, 1000})
      for (int64_t K : {0, 1, 5, 300}) {
        const int64_t R = 9;
        Tensor x(t, {3, 3, C}, {3 * C + 6, C + 2, 1}), index(DType::i64, {3, 3, K});
        x.fill([](int64_t i) { return static_cast<double>(i % 120); });
        index.fill([&](int64_t i) { return static_cast<double>(i * 31 % C); });
        if (K == 5) index.set(11, static_cast<double>(C));
        std::vector<double> expected;
        for (int64_t i = 0; i < R * K; i++) expected.push_back(K == 5 && i == 11 ? 0 : x.get(i / K * C + static_cast<int64_t>(index.get(i))));
        for (const Kernel& k : WW_ENTRIES(Gather)) {
          Tensor y(t, {3, 3, K});
          TestContext c(2);
          c.run(k, Gather{x.in(), index.in(), y.out()});
          close(std::string(k.isa) + " gather " + nameOf(t), y, expected, 0);
          expect(c.faults == (K == 5) && (K != 5 || c.faultPosition == 11), "%s gather reported %lld faults", k.isa, static_cast<long long>(c.faults));
        }
      }
}

void scatters() {
  for (DType t : {DType::f32, DType::bf16, DType::f16})
    for (int64_t C : {1, 17, 1000})
      for (int64_t K : {0, 1, 5, 300})
        for (bool accumulate : {false, true}) {
          const int64_t R = 9;
          Tensor dy(t, {R, K}, {K + 4, 1}), index(DType::i32, {R, K});
          dy.fill([](int64_t i) { return std::cos(static_cast<double>(i)); });
          index.fill([&](int64_t i) { return static_cast<double>(i * i % 23 % C); });
          std::vector<double> expected(static_cast<size_t>(R * C), accumulate ? 2.0 : 0.0);
          for (int64_t i = 0; i < R * K; i++) expected[static_cast<size_t>(i / K * C + static_cast<int64_t>(index.get(i)))] += dy.get(i);
          for (const Kernel& k : WW_ENTRIES(ScatterAdd)) {
            Tensor dx(t, {R, C}, {C + 3, 1});
            if (accumulate) dx.fill([](int64_t) { return 2; });
            TestContext c(3);
            c.run(k, ScatterAdd{dy.in(), index.in(), dx.grad(accumulate)});
            close(std::string(k.isa) + " scatterAdd " + nameOf(t), dx, expected, roundingOf(t) * 1.01, 1e-5);
          }
        }
}

}  // namespace

int main() {
  selects();
  adds();
  gathers();
  scatters();
  return report("indexing");
}
