#pragma once
// layerNorm (centred) and rmsNorm in double, straight from their definitions, and the gradients; selfCheck() holds the two against each other.
#include "test_context.hpp"

namespace warpweft::test {

struct NormReference {
  bool centred;
  double eps;
  int64_t R, C;
  std::vector<double> s, weight, bias;   // weight, bias: empty where absent

  double& at(std::vector<double>& v, int64_t r, int64_t i) const { return v[static_cast<size_t>(r * C + i)]; }
  double at(const std::vector<double>& v, int64_t r, int64_t i) const { return v[static_cast<size_t>(r * C + i)]; }

  std::vector<double> y, mean, rstd;
  void forward() {
    y.assign(s.size(), 0); mean.assign(static_cast<size_t>(R), 0); rstd = mean;
    for (int64_t r = 0; r < R; r++) {
      double m = 0, v = 0;
      if (centred) for (int64_t i = 0; i < C; i++) m += at(s, r, i) / static_cast<double>(C);
      for (int64_t i = 0; i < C; i++) v += (at(s, r, i) - m) * (at(s, r, i) - m) / static_cast<double>(C);
      mean[static_cast<size_t>(r)] = m;
      const double k = rstd[static_cast<size_t>(r)] = 1 / std::sqrt(v + eps);
      for (int64_t i = 0; i < C; i++) at(y, r, i) = (at(s, r, i) - m) * k * w(i) + (bias.empty() ? 0 : bias[static_cast<size_t>(i)]);
    }
  }

  std::vector<double> ds, dweight, dbias;
  void backward(const std::vector<double>& dy, const std::vector<double>& dsum) {
    ds.assign(s.size(), 0); dweight.assign(static_cast<size_t>(C), 0); dbias = dweight;
    for (int64_t r = 0; r < R; r++) {
      const double m = mean[static_cast<size_t>(r)], k = rstd[static_cast<size_t>(r)];
      double g1 = 0, gh1 = 0;
      for (int64_t i = 0; i < C; i++) {
        const double d = at(dy, r, i), h = (at(s, r, i) - m) * k;
        dweight[static_cast<size_t>(i)] += d * h;
        dbias[static_cast<size_t>(i)] += d;
        g1 += d * w(i) / static_cast<double>(C);
        gh1 += d * w(i) * h / static_cast<double>(C);
      }
      for (int64_t i = 0; i < C; i++) {
        const double h = (at(s, r, i) - m) * k;
        at(ds, r, i) = k * (at(dy, r, i) * w(i) - (centred ? g1 : 0) - h * gh1) + (dsum.empty() ? 0 : at(dsum, r, i));
      }
    }
  }

  // Central differences of sum(dy * y) against backward.
  static void selfCheck(bool centred) {
    NormReference n{centred, 1e-5, 2, 5, {0.3, -1.2, 2.5, 0.1, 0.9, 3, 3.5, 2, -1, 0.2}, {1.1, 0.4, -0.7, 2, 1}, {0.1, 0.2, 0.3, 0.4, 0.5}, {}, {}, {}, {}, {}, {}};
    const std::vector<double> dy = {1, -2, 0.5, 0.7, -0.1, 0.3, 0.9, -1.5, 2, 0.4};
    n.forward();
    n.backward(dy, {});
    const auto differs = [&](std::vector<double>& of, const std::vector<double>& gradient, const char* name) {
      for (size_t i = 0; i < of.size(); i++) {
        double sides[2];
        for (int side = 0; side < 2; side++) {
          NormReference m = n;
          (&of == &n.s ? m.s : &of == &n.weight ? m.weight : m.bias)[i] += side ? 1e-6 : -1e-6;
          m.forward();
          sides[side] = 0;
          for (size_t j = 0; j < dy.size(); j++) sides[side] += dy[j] * m.y[j];
        }
        const double numeric = (sides[1] - sides[0]) / 2e-6;
        expect(std::fabs(numeric - gradient[i]) < 1e-7, "reference gradient of %s[%zu] is %g, by differences %g", name, i, gradient[i], numeric);
      }
    };
    differs(n.s, n.ds, "s");
    differs(n.weight, n.dweight, "weight");
    differs(n.bias, n.dbias, "bias");
  }

 private:
  double w(int64_t i) const { return weight.empty() ? 1 : weight[static_cast<size_t>(i)]; }
};

}  // namespace warpweft::test
