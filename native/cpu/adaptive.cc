// RMSprop, Adagrad, Adadelta: steps over the root of an accumulated square of the gradient.
#include "optim.h"

namespace napier::ISA {

// RMSprop (Hinton's lecture 6e, 2012; centered: Graves 2013) as PyTorch writes it:
//   square = alpha square + (1 - alpha) g^2;  average = alpha average + (1 - alpha) g  (centered)
//   d = g / (sqrt(square - average^2) + eps);  v = momentum v + d;  p -= lr (v or d)
template <class T>
void rmsprop(List<T> p, List<const T> g, List<T> square, List<T> average, List<T> v, T* step, double lr, double alpha,
             double eps, double weightDecay, double momentum, int64_t maximize) {
  step[0] += 1;
  const Vec<T> rate = splat(T(lr)), keep = splat(T(alpha)), fresh = splat(T(1 - alpha)), small = splat(T(eps)),
               mu = splat(T(momentum));
  const Slope<T> slope(weightDecay, maximize);
  auto squared = [&](Vec<T> s, Vec<T> d) { return keep * s + fresh * d * d; };
  auto averaged = [&](Vec<T> a, Vec<T> d) { return keep * a + fresh * d; };
  if (average.length == 0 && v.length == 0)
    return stepAll({p, square}, g, [&](Vec<T>* x, Vec<T> g) {
      Vec<T> d = slope(x[0], g);
      x[1] = squared(x[1], d);
      x[0] = x[0] - rate * d / (vsqrt(x[1]) + small);
    });
  if (average.length == 0)
    return stepAll({p, square, v}, g, [&](Vec<T>* x, Vec<T> g) {
      Vec<T> d = slope(x[0], g);
      x[1] = squared(x[1], d);
      x[2] = mu * x[2] + d / (vsqrt(x[1]) + small);
      x[0] = x[0] - rate * x[2];
    });
  if (v.length == 0)
    return stepAll({p, square, average}, g, [&](Vec<T>* x, Vec<T> g) {
      Vec<T> d = slope(x[0], g);
      x[1] = squared(x[1], d);
      x[2] = averaged(x[2], d);
      x[0] = x[0] - rate * d / (vsqrt(x[1] - x[2] * x[2]) + small);
    });
  stepAll({p, square, average, v}, g, [&](Vec<T>* x, Vec<T> g) {
    Vec<T> d = slope(x[0], g);
    x[1] = squared(x[1], d);
    x[2] = averaged(x[2], d);
    x[3] = mu * x[3] + d / (vsqrt(x[1] - x[2] * x[2]) + small);
    x[0] = x[0] - rate * x[3];
  });
}
KERNEL(rmsprop)

// Adagrad (Duchi, Hazan & Singer 2011): sum += g^2 (from `initial` on);  p -= lr / (1 + step lrDecay) g / (sqrt(sum) + eps)
template <class T>
void adagrad(List<T> p, List<const T> g, List<T> sum, T* step, double lr, double lrDecay, double initial, double eps,
             double weightDecay, int64_t maximize) {
  const double before = double(step[0]);
  step[0] += 1;
  const bool first = before == 0;
  const Vec<T> rate = splat(T(lr / (1 + before * lrDecay))), small = splat(T(eps)), start = splat(T(initial));
  const Slope<T> slope(weightDecay, maximize);
  stepAll({p, sum}, g, [&](Vec<T>* x, Vec<T> g) {
    Vec<T> d = slope(x[0], g);
    x[1] = (first ? start : x[1]) + d * d;
    x[0] = x[0] - rate * d / (vsqrt(x[1]) + small);
  });
}
KERNEL(adagrad)

// Adadelta (Zeiler 2012): square = rho square + (1 - rho) g^2;  d = sqrt(delta + eps) / sqrt(square + eps) g
//   delta = rho delta + (1 - rho) d^2;  p -= lr d
template <class T>
void adadelta(List<T> p, List<const T> g, List<T> square, List<T> delta, T* step, double lr, double rho, double eps,
              double weightDecay, int64_t maximize) {
  step[0] += 1;
  const Vec<T> rate = splat(T(lr)), keep = splat(T(rho)), fresh = splat(T(1 - rho)), small = splat(T(eps));
  const Slope<T> slope(weightDecay, maximize);
  stepAll({p, square, delta}, g, [&](Vec<T>* x, Vec<T> g) {
    Vec<T> d = slope(x[0], g);
    x[1] = keep * x[1] + fresh * d * d;
    d = vsqrt(x[2] + small) / vsqrt(x[1] + small) * d;
    x[2] = keep * x[2] + fresh * d * d;
    x[0] = x[0] - rate * d;
  });
}
KERNEL(adadelta)

} // namespace napier::ISA
