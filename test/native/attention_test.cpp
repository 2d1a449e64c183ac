// Attention against a naive one in double precision (attention_reference.hpp) over odd sizes and every option; the formulas of its gradients are themselves checked by
// finite differences.
#include <array>
#include <tuple>

#include "attention_reference.hpp"

WW_DECLARE(Attention)
WW_DECLARE(AttentionBackward)

namespace warpweft::test {
namespace {

// Gaps between the elements of a strided output stay as they were (Tensor fills them with ones).
void gapsUntouched(const std::string& what, const Tensor& t) {
  const std::string bits = t.bits();
  std::vector<char> used(bits.size(), 0);
  const int64_t size = sizeOf(t.dtype()), origin = static_cast<int64_t>(bits.size()) - size;
  int64_t last = 0;
  for (int64_t i = 0; i < t.numel(); i++) last = std::max(last, t.offset(i));
  for (int64_t i = 0; i < t.numel(); i++)
    for (int64_t u = 0; u < size; u++) used[size_t(origin + (t.offset(i) - last) * size + u)] = 1;
  for (size_t i = 0; i < bits.size(); i++)
    if (!used[i] && bits[i] != char(0xFF)) { expect(false, "%s: wrote between its elements", what.c_str()); return; }
}

// A few roundings of float32 sums, and one rounding to the storage type. `terms` is the size of what was added up, of which much may have cancelled. ofFactors: the
// result is a product with P or dS, which tensor cores take in the storage type.
void agrees(const std::string& what, const Tensor& got, const std::vector<double>& expected, double terms = 0, bool ofFactors = false) {
  const double rounding = roundingOf(got.dtype());
  close(what, got, expected, rounding * 1.01 + 2e-6, 2e-6 * std::fmax(terms, largest(expected)) + 1e-9 + (kRoundsFactors && ofFactors && got.dtype() != DType::f32 ? rounding * terms : 0));
}
// The size of the terms of y: probabilities that add up to 1, times values.
double termsOfY(const Problem& p) { return largest(p.V) / (1 - p.c.dropout); }

void verify(const Case& c) {
  Problem p(c);
  const auto forwards = withTiles(WW_ENTRIES(Attention)), backwards = withTiles(WW_ENTRIES(AttentionBackward));
  try {
    p.forward().check(Check("attention"));
    p.backward().check(Check("attentionBackward"));
  } catch (const OpError& e) {
    expect(false, "%s: refused: %s", c.describe().c_str(), e.message.c_str());
    return;
  }
  for (size_t n = 0; n < forwards.size(); n++) {
    const std::string name = std::string(forwards[n].isa) + ": " + c.describe() + ": ";
    TestContext one(1), three(3);
    one.run(forwards[n], p.forward());
    p.reference();
    agrees(name + "y", p.y, p.expectedY, c.dtype == DType::f32 ? 0 : termsOfY(p), true);
    agrees(name + "lse", p.lse, p.expectedLse);
    const std::string y = p.y.bits(), lse = p.lse.bits();
    three.run(forwards[n], p.forward());
    expect(y == p.y.bits() && lse == p.lse.bits(), "%sforward differs between one thread and three", name.c_str());

    const auto givenY = p.y.values();
    p.reference(&givenY);
    const std::vector<double>* expected[] = {&p.expectedDq, &p.expectedDk, &p.expectedDv, &p.expectedBias};
    const char* names[] = {"dq", "dk", "dv", "biasGrad"};
    std::string bits[4];
    for (const bool threaded : {false, true}) {
      p.freshGradients();
      Tensor* grads[] = {&p.dq, &p.dk, &p.dv, &p.biasGrad};
      std::vector<double> before[4];
      for (size_t g = 0; g < 4; g++) if (c.accumulate && grads[g]->view()) before[g] = grads[g]->values();
      (threaded ? three : one).run(backwards[n], p.backward());
      for (size_t g = 0; g < 4; g++) {
        if (!grads[g]->view()) continue;
        if (threaded) { expect(bits[g] == grads[g]->bits(), "%s%s differs between one thread and three", name.c_str(), names[g]); continue; }
        bits[g] = grads[g]->bits();
        std::vector<double> want = *expected[g];
        for (size_t i = 0; i < before[g].size(); i++) want[i] += before[g][i];
        agrees(name + names[g], *grads[g], want, p.terms[g], g < 3);
        if (!c.accumulate) gapsUntouched(name + names[g], *grads[g]);
      }
    }
  }
}

// The formulas of the reference itself, against differences of sum(dy * y).
void finiteDifferences(const Case& c) {
  Problem p(c);
  const auto loss = [&] {
    p.reference();
    double sum = 0;
    for (size_t i = 0; i < p.expectedY.size(); i++) sum += p.expectedY[i] * p.dY[i];
    return sum;
  };
  loss();
  const auto exactY = p.expectedY;
  p.reference(&exactY);
  const std::vector<double> dq = p.expectedDq, dk = p.expectedDk, dv = p.expectedDv, db = p.expectedBias;
  const auto compare = [&](const char* name, std::vector<double>& x, const std::vector<double>& gradient) {
    for (size_t i = 0; i < x.size(); i += 1 + x.size() / 7) {
      const double kept = x[i], h = 1e-5;
      x[i] = kept + h; const double above = loss();
      x[i] = kept - h; const double below = loss();
      x[i] = kept;
      const double slope = (above - below) / (2 * h);
      expect(std::fabs(slope - gradient[i]) <= 1e-6 * (1 + std::fabs(slope)), "reference: %s: %s[%zu] is %.9g, the difference quotient %.9g",
             c.describe().c_str(), name, i, gradient[i], slope);
    }
  };
  compare("dq", p.Q, dq); compare("dk", p.K, dk); compare("dv", p.V, dv);
  if (c.bias == Bias::full) compare("biasGrad", p.biases, db);
}

void sizesAndOptions() {
  const int64_t lengths[] = {1, 3, 17, 63, 65, 257}, dims[] = {1, 8, 17, 32, 64, 80, 128, 256};
  const DType types[] = {DType::f32, DType::bf16, DType::f16};
  const DType flags[] = {DType::b8, DType::i32, DType::u8};
  int n = 0;
  for (int64_t Tq : lengths)
    for (int64_t Tk : lengths) {
      const bool large = Tq == 257 || Tk == 257;
      for (int option = 0; option < (large ? 3 : 6); option++, n++) {
        Case c;
        c.B = 1 + n % 3; c.H = n % 4 == 3 ? 6 : 2; c.G = n % 4 == 3 ? 2 : n % 4 == 1 ? 1 : 2;
        c.Tq = Tq; c.Tk = Tk; c.D = dims[(n * 5) % 8];
        if (large && c.D > 80) c.B = 1, c.H = c.G = 2;
        c.dtype = types[n % 5 < 3 ? 0 : n % 5 - 2];
        c.causal = n % 2 == 1;
        c.window = n % 7 == 3 ? 1 + n % 50 : 0;
        c.dropout = n % 6 == 2 ? 0.3 : 0;
        c.softcap = n % 5 == 3 ? 0.7 : n % 7 == 5 ? 3 : 0;
        c.padding = n % 5 == 1 ? Padding::trailing : n % 5 == 2 ? Padding::holes : n % 11 == 0 ? Padding::allOfOne : Padding::none;
        c.paddingType = flags[n % 3];
        c.bias = n % 4 == 2 ? Bias(1 + n / 4 % 4) : Bias::none;
        c.biasType = n % 3 ? DType::f32 : c.dtype;
        c.fused = n % 3 != 0;
        c.accumulate = n % 8 == 5 && c.dtype == DType::f32;
        verify(c);
      }
    }
}

void packed() {
  for (const int64_t D : {16, 40, 80})
    for (int n = 0; n < 6; n++) {
      Case c;
      c.D = D; c.H = 4; c.G = n % 2 ? 2 : 4;
      c.queryOffsets = {0, 5, 5, 70, 71, 203}; c.keyOffsets = {0, 5, 9, 80, 80, 210};
      if (n >= 3) c.queryOffsets.front() = 2, c.keyOffsets.front() = 3;   // rows before the first sequence and behind the last belong to none
      c.Tq = n >= 3 ? 207 : 203; c.Tk = n >= 3 ? 215 : 210;
      c.causal = n != 1; c.window = n == 2 ? 30 : 0;
      c.dropout = n == 4 ? 0.2 : 0;
      c.padding = n == 5 ? Padding::holes : Padding::none;
      c.bias = n == 3 ? Bias::full : n == 5 ? Bias::perKey : Bias::none;
      c.fused = false;
      verify(c);
      c.dtype = DType::bf16;
      verify(c);
    }
}

// Generation: few queries, keys long enough to be split.
void decoding() {
  for (int n = 0; n < 10; n++) {
    Case c;
    c.B = n % 3 + 1; c.Tq = n < 6 ? 1 : n - 4; c.Tk = 1111 + 700 * n; c.H = 4; c.G = n % 2 ? 4 : 1; c.D = n % 4 == 3 ? 20 : 64;
    if (n == 4) c.H = 16, c.G = 1, c.Tk = 300;
    c.causal = n % 3 != 0; c.window = n % 4 == 1 ? 200 : n == 4 ? 77 : 0;
    c.padding = n % 5 == 1 ? Padding::holes : n % 5 == 2 ? Padding::allOfOne : Padding::none;
    c.bias = n % 4 == 0 ? Bias::full : n == 6 ? Bias::perHead : Bias::none;
    c.dtype = n % 3 == 2 ? DType::bf16 : DType::f32;
    c.softcap = n % 4 == 2 ? 1.5 : 0;
    c.dropout = n == 8 ? 0.3 : 0;
    verify(c);
  }
}

// Long enough for several spans of keys in backward.
void spans() {
  Case c;
  c.Tq = 130; c.Tk = 1100; c.H = 2; c.G = 1; c.D = 24; c.fused = false;
  verify(c);
  c.causal = true; c.Tq = c.Tk = 900; c.window = 100; c.G = 2; c.fused = true; c.accumulate = true;
  verify(c);
  c.window = 0; c.padding = Padding::trailing; c.dropout = 0.1; c.accumulate = false;
  verify(c);
}

// Every width that a device has a kernel for, with every option somewhere.
void widths() {
  int n = 0;
  for (const DType t : {DType::f32, DType::bf16, DType::f16})
    for (const int64_t D : {24, 32, 64, 96, 128, 200, 256}) {
      Case c;
      c.dtype = t; c.D = D; c.Tq = 83; c.Tk = 101; c.H = 2; c.G = 1 + n % 2; c.fused = n % 2;
      c.causal = n % 2 == 0; c.window = n % 3 == 1 ? 40 : 0; c.softcap = n % 3 == 2 ? 2 : 0;
      c.dropout = n % 4 < 2 ? 0.2 : 0;
      c.bias = n % 5 == 1 ? Bias::full : n % 5 == 2 ? Bias::perHead : n % 5 == 3 ? Bias::scalarRow : Bias::none;
      c.biasType = n % 2 ? DType::f32 : t;
      c.padding = n % 5 == 4 ? Padding::holes : n % 5 == 3 ? Padding::trailing : Padding::none;
      verify(c);
      n++;
    }
}

void emptySizes() {
  using Sizes = std::array<int64_t, 5>;
  for (const auto& [B, Tq, Tk, H, D] : std::vector<Sizes>{{0, 4, 4, 2, 8}, {2, 0, 5, 2, 8}, {2, 5, 0, 2, 8}, {2, 1, 0, 2, 8}, {2, 5, 5, 0, 8}, {2, 0, 0, 2, 8}}) {
    Case c;
    c.B = B; c.Tq = Tq; c.Tk = Tk; c.H = c.G = H; c.D = D;
    verify(c);
  }
}

// What hidden keys hold is never seen; NaN elsewhere stays in its row; an infinite bias hides keys and whole rows.
void specialValues() {
  Case c;
  c.B = 2; c.Tq = 70; c.Tk = 90; c.H = c.G = 2; c.D = 24; c.padding = Padding::holes; c.bias = Bias::full; c.dropout = 0.1;
  for (const int64_t Tq : {70, 2}) {
    c.Tq = Tq;
    if (Tq == 2) c.dropout = 0;
    Problem p(c);
    for (int64_t i = 0; i < p.k.numel(); i++)
      if (p.padding.get(i / (c.G * c.D)) == 0) { p.k.set(i, NAN); p.v.set(i, INFINITY); p.K[size_t(i)] = p.V[size_t(i)] = 0; }
    for (int64_t j = 0; j < c.Tk; j++) {
      const int64_t hiddenRow = (1 * c.H + 1) * c.Tq * c.Tk + 1 * c.Tk + j, someKeys = 1 * c.Tk + j;
      p.bias.set(hiddenRow, -INFINITY); p.biases[size_t(hiddenRow)] = -INFINITY;
      if (j % 3) { p.bias.set(someKeys, -INFINITY); p.biases[size_t(someKeys)] = -INFINITY; }
    }
    const auto backwards = withTiles(WW_ENTRIES(AttentionBackward));
    size_t n = 0;
    for (const Kernel& k : withTiles(WW_ENTRIES(Attention))) {
      const std::string name = std::string(k.isa) + ": special values: ";
      TestContext one(1);
      one.run(k, p.forward());
      p.reference();
      agrees(name + "y", p.y, p.expectedY);
      agrees(name + "lse", p.lse, p.expectedLse);
      const auto givenY = p.y.values();
      p.reference(&givenY);
      p.freshGradients();
      one.run(backwards[n++], p.backward());
      agrees(name + "dq", p.dq, p.expectedDq, p.terms[0]);
      agrees(name + "dk", p.dk, p.expectedDk, p.terms[1]);
      agrees(name + "dv", p.dv, p.expectedDv, p.terms[2]);
      agrees(name + "biasGrad", p.biasGrad, p.expectedBias, p.terms[3]);
    }
  }
  Case plain;
  plain.Tq = plain.Tk = 40; plain.H = plain.G = 1; plain.D = 16;
  Problem p(plain);
  p.q.set(7 * 16 + 3, NAN);
  for (const Kernel& k : withTiles(WW_ENTRIES(Attention))) {
    TestContext one(1);
    one.run(k, p.forward());
    for (int64_t i = 0; i < 40 * 16; i++)
      if (!expect(std::isnan(p.y.get(i)) == (i / 16 == 7), "%s: a NaN in query 7 gives %g in row %lld", k.isa, p.y.get(i), static_cast<long long>(i / 16))) break;
  }
}

// Matrix tiles cut float32 into bfloat16: they must lose nothing by it, and leave what they cannot hold to the other path, bit for bit.
void tiles() {
  const auto forwards = withTiles(WW_ENTRIES(Attention)), backwards = withTiles(WW_ENTRIES(AttentionBackward));
  if (std::strcmp(forwards.back().isa, "amx") != 0) return;
  const Kernel &plain = forwards[forwards.size() - 2], &tiled = forwards.back(), &plainBack = backwards[backwards.size() - 2], &tiledBack = backwards.back();
  Case c;
  c.Tq = c.Tk = 200; c.H = 4; c.G = 2; c.D = 64; c.causal = true;
  const auto worst = [](const Tensor& t, const std::vector<double>& expected) {
    double most = 0;
    for (int64_t i = 0; i < t.numel(); i++) most = std::fmax(most, std::fabs(t.get(i) - expected[size_t(i)]));
    return most;
  };
  struct Errors { double y, dq, dk, dv; std::string bits; };
  const auto run = [&](Problem& p, const Kernel& forward, const Kernel& backward) {
    TestContext two(2);
    two.run(forward, p.forward());
    p.reference();
    Errors e{};
    e.y = worst(p.y, p.expectedY);
    const auto givenY = p.y.values();
    p.reference(&givenY);
    p.freshGradients();
    two.run(backward, p.backward());
    e.dq = worst(p.dq, p.expectedDq); e.dk = worst(p.dk, p.expectedDk); e.dv = worst(p.dv, p.expectedDv);
    e.bits = p.y.bits() + p.lse.bits() + p.dq.bits() + p.dk.bits() + p.dv.bits();
    return e;
  };
  Problem p(c);
  const Errors a = run(p, plain, plainBack), b = run(p, tiled, tiledBack);
  expect(a.bits != b.bits, "tiles are not used");
  const std::tuple<const char*, double, double> errors[] = {{"y", a.y, b.y}, {"dq", a.dq, b.dq}, {"dk", a.dk, b.dk}, {"dv", a.dv, b.dv}};
  for (const auto& [name, ofPlain, ofTiles] : errors) expect(ofTiles <= 1.5 * ofPlain, "tiles: the largest error of %s is %g, that of AVX-512 %g", name, ofTiles, ofPlain);
  for (const double x : {0x1p50, 0x1p-100, double(INFINITY), double(NAN)}) {
    Problem strange(c);
    for (int64_t g = 0; g < c.G; g++) strange.v.set((3 * c.G + g) * c.D + 5, x);   // every head has one such number
    expect(run(strange, plain, plainBack).bits == run(strange, tiled, tiledBack).bits, "tiles: a head with %g among its values is not left to AVX-512", x);
  }
  // Where the last queries alone see such a number, the threads do not decide who goes which way.
  Problem late(c);
  for (int64_t g = 0; g < c.G; g++) late.k.set(((c.Tk - 1) * c.G + g) * c.D + 5, 0x1p-100);
  std::string bits[2];
  for (int t : {0, 1}) {
    TestContext context(t ? 8 : 1);
    context.run(tiled, late.forward());
    bits[t] = late.y.bits() + late.lse.bits();
  }
  expect(bits[0] == bits[1], "tiles: bits depend on threads");
  // Numbers that are ordinary, but make score gradients that are not.
  Problem small(c);
  for (Tensor* x : {&small.v, &small.dy})
    for (int64_t i = 0; i < x->numel(); i++) x->set(i, x->get(i) * 0x1p-60);
  const Errors ofSmall = run(small, plain, plainBack), ofSmallTiles = run(small, tiled, tiledBack);
  expect(ofSmallTiles.dq <= 1.5 * ofSmall.dq && ofSmallTiles.dk <= 1.5 * ofSmall.dk, "tiles: of small numbers the largest errors are %g and %g, those of AVX-512 %g and %g", ofSmallTiles.dq,
         ofSmallTiles.dk, ofSmall.dq, ofSmall.dk);
}

void brokenOffsets() {
  using Offsets = std::vector<int32_t>;
  for (const auto& [queries, keys, position] : std::vector<std::tuple<Offsets, Offsets, int64_t>>{
           {{0, 9, 4}, {0, 5, 10}, 2}, {{0, 4, 11}, {0, 5, 10}, 2}, {{-1, 4, 10}, {0, 5, 10}, 0}, {{0, 4, 10}, {0, 5, 1000000}, 2}}) {
    Case c;
    c.Tq = c.Tk = 10; c.H = c.G = 2; c.D = 8; c.queryOffsets = queries; c.keyOffsets = keys; c.bias = Bias::full;
    Problem p(c);
    for (const Kernel& k : withTiles(WW_ENTRIES(Attention))) {
      TestContext one(1);
      one.run(k, p.forward());
      expect(one.faults > 0 && one.faultPosition == position && one.faultSize == 11, "%s: offsets that fall or leave the tensor are a fault at %lld, got %lld", k.isa,
             static_cast<long long>(position), static_cast<long long>(one.faultPosition));
      close(std::string(k.isa) + ": y after a fault", p.y, std::vector<double>(size_t(p.y.numel()), 0.0), 0);
    }
    for (const Kernel& k : withTiles(WW_ENTRIES(AttentionBackward))) {
      TestContext one(1);
      p.freshGradients();
      one.run(k, p.backward());
      expect(one.faults > 0, "%s: backward reports broken offsets too", k.isa);
      for (Tensor* t : {&p.dq, &p.dk, &p.dv, &p.biasGrad})
        close(std::string(k.isa) + ": gradient after a fault", *t, std::vector<double>(size_t(t->numel()), 0.0), 0);
    }
  }
}

// An absent gradient leaves the others as they are.
void absentGradients() {
  Case c;
  c.B = 2; c.Tq = 70; c.Tk = 50; c.H = 4; c.G = 2; c.D = 32;
  const auto backwards = withTiles(WW_ENTRIES(AttentionBackward));
  size_t n = 0;
  for (const Kernel& k : withTiles(WW_ENTRIES(Attention))) {
    Problem p(c);
    TestContext one(1);
    one.run(k, p.forward());
    one.run(backwards[n], p.backward());
    const std::string dq = p.dq.bits(), dk = p.dk.bits(), dv = p.dv.bits();
    for (int kept = 0; kept < 3; kept++) {
      p.freshGradients();
      AttentionBackward a = p.backward();
      if (kept != 0) a.dq = absentGrad();
      if (kept != 1) a.dk = absentGrad();
      if (kept != 2) a.dv = absentGrad();
      one.run(backwards[n], a);
      expect((kept == 0 ? p.dq.bits() == dq : kept == 1 ? p.dk.bits() == dk : p.dv.bits() == dv), "%s: gradient %d alone differs from all three", k.isa, kept);
    }
    n++;
  }
}

#ifdef WARPWEFT_SIMT
// What no kernel is made for is refused before anything is queued.
void tooWide() {
  Case c;
  c.Tq = 2; c.Tk = 3; c.D = 257;
  const Problem p(c);
  const auto message = [](const Kernel& k, const auto& op) -> std::string {
    try {
      TestContext(1).run(k, op);
    } catch (const cuda::Unsupported& e) {
      return e.what();
    }
    return "accepted";
  };
  expect(message(WW_ENTRIES(Attention)[0], p.forward()).find("257 wide, expected at most 256") != std::string::npos, "attention 257 wide is refused by name");
  expect(message(WW_ENTRIES(AttentionBackward)[0], p.backward()).find("257 wide, expected at most 256") != std::string::npos, "attentionBackward 257 wide is refused by name");
}
#endif

template <class Op> void refused(const Op& op, const char* expected) {
  try {
    op.check(Check(Op::name));
    expect(false, "%s: accepted, expected: %s", Op::name, expected);
  } catch (const OpError& e) {
    expect(e.message.find(expected) != std::string::npos, "%s: \"%s\", expected: %s", Op::name, e.message.c_str(), expected);
  }
}

void checks() {
  Case c;
  c.B = 2; c.Tq = 5; c.Tk = 6; c.H = 4; c.G = 2; c.D = 8; c.bias = Bias::perHead; c.padding = Padding::holes;
  const Problem p(c);
  const auto with = [&](auto change) { Attention a = p.forward(); change(a); return a; };
  refused(with([](Attention& a) { a.k.sizes[2] = 3; }), "v");
  refused(with([](Attention& a) { a.k.sizes[2] = a.v.sizes[2] = 3; }), "divisor");
  refused(with([](Attention& a) { a.q.strides[3] = 2; }), "adjacent");
  refused(with([](Attention& a) { a.v.dtype = DType::f16; }), "dtype");
  refused(with([](Attention& a) { a.keyPadding.sizes[1] = 7; }), "keyPadding");
  refused(with([](Attention& a) { a.bias.sizes[3] = 7; }), "bias");
  refused(with([](Attention& a) { a.lse.sizes[2] = 6; }), "lse");
  refused(with([](Attention& a) { a.dropout = 0.1; }), "rng");
  refused(with([](Attention& a) { a.dropout = NAN; }), "dropout");
  refused(with([](Attention& a) { a.window = -1; }), "window");
  refused(with([](Attention& a) { a.y.strides[1] = 0; }), "y");
  Tensor offsets(DType::i32, {3});
  refused(with([&](Attention& a) { a.queryOffsets = offsets.in(); }), "go together");
  refused(with([&](Attention& a) { a.queryOffsets = a.keyOffsets = offsets.in(); }), "batch");
  AttentionBackward b = p.backward();
  b.biasGrad.sizes[1] = 3;
  refused(b, "biasGrad");
  b = p.backward();
  b.bias = absentIn();
  refused(b, "bias");
}

void differences() {
  for (int n = 0; n < 6; n++) {
    Case c;
    c.B = 2; c.Tq = 5; c.Tk = 7; c.H = 4; c.G = n % 2 ? 2 : 4; c.D = 6;
    c.causal = n % 3 == 1; c.window = n == 4 ? 3 : 0; c.dropout = n == 2 ? 0.4 : 0;
    c.padding = n == 3 ? Padding::holes : n == 5 ? Padding::allOfOne : Padding::none;
    c.bias = n >= 2 ? Bias::full : Bias::none;
    finiteDifferences(c);
  }
}

}  // namespace
}  // namespace warpweft::test

int main() {
  using namespace warpweft::test;
  differences();
  checks();
#ifdef WARPWEFT_SIMT
  tooWide();
#endif
  emptySizes();
  specialValues();
  tiles();
  brokenOffsets();
  absentGradients();
  packed();
  decoding();
  spans();
  widths();
  sizesAndOptions();
  return report("attention");
}
