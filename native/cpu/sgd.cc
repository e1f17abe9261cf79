// Stochastic gradient descent and the averaged variant.
#include "optim.h"

namespace napier::ISA {

// Sutskever et al. 2013 as PyTorch writes it:
//   g += weightDecay p;  v = first ? g : momentum v + (1 - dampening) g;  p -= lr (nesterov ? g + momentum v : v)
// Without momentum (an empty v) p -= lr g. step counts on the device: after a skipped first call, v is still empty.
// 12 or 20 bytes of traffic an element.
template <class T>
void sgd(List<T> p, List<const T> g, List<T> v, T* step, double lr, double momentum, double dampening,
         double weightDecay, int64_t nesterov, int64_t maximize) {
  const bool first = step[0] == 0;
  step[0] += 1;
  const Vec<T> rate = splat(T(lr)), mu = splat(T(momentum)), fresh = splat(T(1 - dampening));
  const Slope<T> slope(weightDecay, maximize);
  if (v.length == 0) return stepAll({p}, g, [&](Vec<T>* x, Vec<T> g) { x[0] = x[0] - rate * slope(x[0], g); });
  stepAll({p, v}, g, [&](Vec<T>* x, Vec<T> g) {
    Vec<T> d = slope(x[0], g);
    x[1] = first ? d : mu * x[1] + fresh * d;
    x[0] = x[0] - rate * (nesterov ? d + mu * x[1] : x[1]);
  });
}
KERNEL(sgd)

// Averaged SGD (Polyak & Juditsky 1992) as PyTorch writes it, with t = step + 1 and eta, mu of the step before:
//   p = (1 - lambda eta) p - eta g;  average += mu (p - average)
//   eta = lr / (1 + lambda lr t)^alpha;  mu = 1 / max(1, t - t0)
template <class T>
void asgd(List<T> p, List<const T> g, List<T> average, T* step, T* eta, T* mu, double lr, double lambda, double alpha,
          double t0, double weightDecay, int64_t maximize) {
  const double t = double(step[0] += 1);
  if (t == 1) eta[0] = T(lr), mu[0] = 1;
  const Vec<T> rate = splat(eta[0]), keep = splat(T(1 - lambda * double(eta[0]))), share = splat(mu[0]);
  const bool copies = mu[0] == 1;
  const Slope<T> slope(weightDecay, maximize);
  stepAll({p, average}, g, [&](Vec<T>* x, Vec<T> g) {
    x[0] = x[0] * keep - rate * slope(x[0], g);
    x[1] = copies ? x[0] : x[1] + (x[0] - x[1]) * share;
  });
  eta[0] = T(lr / __builtin_pow(1 + lambda * lr * t, alpha));
  mu[0] = T(t - t0 > 1 ? 1 / (t - t0) : 1);
}
KERNEL(asgd)

// Lion (Chen et al., "Symbolic discovery of optimization algorithms", 2023):
//   p -= lr (sign(beta1 m + (1 - beta1) g) + weightDecay p);  m = beta2 m + (1 - beta2) g
template <class T>
void lion(List<T> p, List<const T> g, List<T> m, T* step, double lr, double beta1, double beta2, double weightDecay) {
  step[0] += 1;
  const Vec<T> rate = splat(T(lr)), keep = splat(T(1 - lr * weightDecay)), unit = splat(T(1)), zero{};
  const Vec<T> keep1 = splat(T(beta1)), fresh1 = splat(T(1 - beta1)), keep2 = splat(T(beta2)),
               fresh2 = splat(T(1 - beta2));
  stepAll({p, m}, g, [&](Vec<T>* x, Vec<T> g) {
    Vec<T> u = keep1 * x[1] + fresh1 * g;
    u = u > zero ? unit : u < zero ? -unit : u; // NaN stays
    x[0] = x[0] * keep - rate * u;
    x[1] = keep2 * x[1] + fresh2 * g;
  });
}
KERNEL(lion)

// The end of a step of Muon: p = (1 - lr weightDecay) p - lr u, and the momentum that was made beside u is kept.
template <class T>
void muon(List<T> p, List<const T> u, List<T> m, List<const T> fresh, T* step, double lr, double weightDecay) {
  step[0] += 1;
  const Vec<T> rate = splat(T(lr)), keep = splat(T(1 - lr * weightDecay));
  stepAll({p}, u, [&](Vec<T>* x, Vec<T> u) { x[0] = x[0] * keep - rate * u; });
  stepAll({m}, fresh, [&](Vec<T>* x, Vec<T> fresh) { x[0] = fresh; });
}
KERNEL(muon)

} // namespace napier::ISA
