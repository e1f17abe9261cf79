// Adam and its relatives: a moving mean m of the gradient over the root of a moving mean v of its square. 28 bytes of
// traffic an element. step counts on the device, so that a skipped call does not count; t = step + 1.
#include "optim.h"

namespace napier::ISA {

// m += (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g^2
template <class T> struct Moments {
  Vec<T> fresh1, keep2, fresh2;
  INLINE Moments(double beta1, double beta2)
      : fresh1(splat(T(1 - beta1))), keep2(splat(T(beta2))), fresh2(splat(T(1 - beta2))) {}
  INLINE void operator()(Vec<T>& m, Vec<T>& v, Vec<T> g) const {
    m = m + fresh1 * (g - m);
    v = v * keep2 + fresh2 * g * g;
  }
};

// Adam (Kingma & Ba 2014) and AdamW (decoupled: Loshchilov & Hutter 2017) as PyTorch writes them:
//   p *= 1 - lr weightDecay (decoupled), else g += weightDecay p;  top = max(top, v) (amsgrad: Reddi et al. 2018)
//   p -= lr / (1 - beta1^t) m / (sqrt(top or v) / sqrt(1 - beta2^t) + eps)
template <class T>
void adam(List<T> p, List<const T> g, List<T> m, List<T> v, List<T> top, T* step, double lr, double beta1, double beta2,
          double eps, double weightDecay, int64_t decoupled, int64_t maximize) {
  const double t = double(step[0] += 1);
  const double correction1 = 1 - __builtin_pow(beta1, t), correction2 = __builtin_sqrt(1 - __builtin_pow(beta2, t));
  const Moments<T> moments(beta1, beta2);
  const Vec<T> rate = splat(T(lr / correction1)), root = splat(T(correction2)), small = splat(T(eps));
  const Vec<T> shrink = splat(T(decoupled ? 1 - lr * weightDecay : 1));
  const Slope<T> slope(decoupled ? 0 : weightDecay, maximize);
  auto moved = [&](Vec<T> p, Vec<T> m, Vec<T> v) { return p * shrink - rate * m / (vsqrt(v) / root + small); };
  if (top.length == 0)
    return stepAll({p, m, v}, g, [&](Vec<T>* x, Vec<T> g) {
      moments(x[1], x[2], slope(x[0], g));
      x[0] = moved(x[0], x[1], x[2]);
    });
  stepAll({p, m, v, top}, g, [&](Vec<T>* x, Vec<T> g) {
    moments(x[1], x[2], slope(x[0], g));
    x[3] = larger(x[3], x[2]);
    x[0] = moved(x[0], x[1], x[3]);
  });
}
KERNEL(adam)

// Adamax (Kingma & Ba 2014, section 7): norm = max(beta2 norm, |g| + eps);  p -= lr / (1 - beta1^t) m / norm
template <class T>
void adamax(List<T> p, List<const T> g, List<T> m, List<T> norm, T* step, double lr, double beta1, double beta2,
            double eps, double weightDecay, int64_t maximize) {
  const double t = double(step[0] += 1);
  const Vec<T> fresh1 = splat(T(1 - beta1)), keep2 = splat(T(beta2)), small = splat(T(eps)),
               rate = splat(T(lr / (1 - __builtin_pow(beta1, t))));
  const Slope<T> slope(weightDecay, maximize);
  stepAll({p, m, norm}, g, [&](Vec<T>* x, Vec<T> g) {
    Vec<T> d = slope(x[0], g);
    x[1] = x[1] + fresh1 * (d - x[1]);
    x[2] = larger(keep2 * x[2], abs(d) + small);
    x[0] = x[0] - rate * x[1] / x[2];
  });
}
KERNEL(adamax)

// NAdam (Dozat 2016) as PyTorch 2 writes it: mu_t = beta1 (1 - 0.96^(t momentumDecay) / 2), muProduct = mu_1 ... mu_t,
//   p -= lr ((1 - mu_t) g / (1 - muProduct) + mu_{t+1} m / (1 - muProduct mu_{t+1})) / (sqrt(v / (1 - beta2^t)) + eps)
template <class T>
void nadam(List<T> p, List<const T> g, List<T> m, List<T> v, T* step, T* muProduct, double lr, double beta1,
           double beta2, double eps, double weightDecay, double momentumDecay) {
  const double t = double(step[0] += 1);
  auto momentum = [&](double t) { return beta1 * (1 - 0.5 * __builtin_pow(0.96, t * momentumDecay)); };
  const double now = momentum(t), next = momentum(t + 1);
  const double product = (t == 1 ? 1 : double(muProduct[0])) * now;
  muProduct[0] = T(product);
  const Moments<T> moments(beta1, beta2);
  const Vec<T> rateG = splat(T(lr * (1 - now) / (1 - product))), rateM = splat(T(lr * next / (1 - product * next)));
  const Vec<T> root = splat(T(__builtin_sqrt(1 - __builtin_pow(beta2, t)))), small = splat(T(eps));
  const Slope<T> slope(weightDecay, 0);
  stepAll({p, m, v}, g, [&](Vec<T>* x, Vec<T> g) {
    Vec<T> d = slope(x[0], g);
    moments(x[1], x[2], d);
    x[0] = x[0] - (rateG * d + rateM * x[1]) / (vsqrt(x[2]) / root + small);
  });
}
KERNEL(nadam)

// RAdam (Liu et al., "On the variance of the adaptive learning rate and beyond", 2019): with the length of the average
// rho = rhoMax - 2 t beta2^t / (1 - beta2^t), rhoMax = 2 / (1 - beta2) - 1, the step is rectified where rho > 5, else it is
// plain momentum.
template <class T>
void radam(List<T> p, List<const T> g, List<T> m, List<T> v, T* step, double lr, double beta1, double beta2, double eps,
           double weightDecay) {
  const double t = double(step[0] += 1), power2 = __builtin_pow(beta2, t);
  const double rhoMax = 2 / (1 - beta2) - 1, rho = rhoMax - 2 * t * power2 / (1 - power2), base = lr / (1 - __builtin_pow(beta1, t));
  const Moments<T> moments(beta1, beta2);
  const Slope<T> slope(weightDecay, 0);
  const bool rectified = rho > 5;
  const double rect =
      rectified ? __builtin_sqrt((rho - 4) * (rho - 2) * rhoMax / ((rhoMax - 4) * (rhoMax - 2) * rho) * (1 - power2)) : 1;
  const Vec<T> rate = splat(T(base * rect)), small = splat(T(eps));
  stepAll({p, m, v}, g, [&](Vec<T>* x, Vec<T> g) {
    moments(x[1], x[2], slope(x[0], g));
    x[0] = x[0] - (rectified ? rate * x[1] / (vsqrt(x[2]) + small) : rate * x[1]);
  });
}
KERNEL(radam)

// LAMB (You et al., "Large batch optimization for deep learning", 2019): Adam's step u with its weight decay, scaled
// for each tensor by |p| / |u| (1 where either is 0). The first pass updates the moments and adds the squares of p and u
// chunk by chunk, the chunks of a tensor in order; the second computes u again and moves p.
template <class T>
void lamb(List<T> p, List<const T> g, List<T> m, List<T> v, T* step, double lr, double beta1, double beta2, double eps,
          double weightDecay) {
  const double t = double(step[0] += 1);
  const Moments<T> moments(beta1, beta2);
  const Vec<T> first = splat(T(1 / (1 - __builtin_pow(beta1, t)))), small = splat(T(eps)), decay = splat(T(weightDecay)),
               root = splat(T(__builtin_sqrt(1 - __builtin_pow(beta2, t))));
  auto update = [&](Vec<T> p, Vec<T> m, Vec<T> v) { return m * first / (vsqrt(v) / root + small) + decay * p; };
  int64_t longest = 0;
  for (int64_t i = 0; i < p.length; i++) longest = p.count[i] > longest ? p.count[i] : longest;
  Scratch<double> squares(2 * (longest / kGrain + 1));
  for (int64_t tensor = 0; tensor < p.length; tensor++) {
    T *pt = p.data[tensor], *mt = m.data[tensor], *vt = v.data[tensor];
    const T* gt = g.data[tensor];
    const int64_t n = p.count[tensor];
    parallel(n, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t from = begin; from < end; from += kGrain) {
        const int64_t to = from + kGrain < end ? from + kGrain : end;
        Vec<T> pp{}, uu{};
        along<T>(
            to - from,
            [&](int64_t k) {
              const int64_t i = from + k;
              Vec<T> pi = load(pt + i), mi = load(mt + i), vi = load(vt + i);
              moments(mi, vi, load(gt + i));
              store(mt + i, mi);
              store(vt + i, vi);
              Vec<T> u = update(pi, mi, vi);
              pp = pp + pi * pi;
              uu = uu + u * u;
            },
            [&](int64_t k, int64_t rest) {
              const int64_t i = from + k;
              Vec<T> pi = loadPart(pt + i, rest), mi = loadPart(mt + i, rest), vi = loadPart(vt + i, rest);
              moments(mi, vi, loadPart(gt + i, rest));
              storePart(mt + i, mi, rest);
              storePart(vt + i, vi, rest);
              Vec<T> u = lanesBelow<T>(rest) ? update(pi, mi, vi) : Vec<T>{};
              pp = pp + pi * pi;
              uu = uu + u * u;
            });
        squares[2 * (from / kGrain)] = double(sumLanes<T>(pp));
        squares[2 * (from / kGrain) + 1] = double(sumLanes<T>(uu));
      }
    });
    double pp = 0, uu = 0;
    for (int64_t c = 0; c * kGrain < n; c++) pp += squares[2 * c], uu += squares[2 * c + 1];
    const double trust = pp > 0 && uu > 0 ? __builtin_sqrt(pp / uu) : 1;
    const Vec<T> rate = splat(T(lr * trust));
    parallel(n, kGrain, [&](int64_t begin, int64_t end) {
      along<T>(
          end - begin,
          [&](int64_t k) {
            const int64_t i = begin + k;
            Vec<T> pi = load(pt + i);
            store(pt + i, pi - rate * update(pi, load(mt + i), load(vt + i)));
          },
          [&](int64_t k, int64_t rest) {
            const int64_t i = begin + k;
            Vec<T> pi = loadPart(pt + i, rest);
            storePart(pt + i, pi - rate * update(pi, loadPart(mt + i, rest), loadPart(vt + i, rest)), rest);
          });
    });
  }
}
KERNEL(lamb)

} // namespace napier::ISA
