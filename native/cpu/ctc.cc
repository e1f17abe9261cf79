// Connectionist temporal classification (Graves et al. 2006): -log of the probability of all paths through t steps that
// read as the labels once repeats are merged and blanks dropped.
//
// The states of a sample are its labels with a blank before, between and behind: s = 2 labels + 1. By forward variables
//   alpha_t[s] = logp_t[state s] + log(exp alpha_{t-1}[s] + exp alpha_{t-1}[s-1] + exp alpha_{t-1}[s-2]),
// the last only where state s is a label other than the one before it. All in double and in logarithms, a row of states
// at a time; samples are shared out among threads. t s of 4 transcendental functions a sample; the gradient makes alpha
// again (t s doubles of scratch memory) and runs once backwards.
#include "rows.h"

namespace napier::ISA {

constexpr int64_t kEdge = 2; // states of probability 0 on either side, which spare the kernel its ends

// One sample: its labels with blanks between them.
struct CtcStates {
  int64_t steps, count; // of time; of states
  int64_t* label;       // [count]
  double* skip;         // [kEdge + count + kEdge]: 0 where a path may come from two states before, else -infinity
};

// log(e^a + e^b + e^c)
INLINE Vec<double> logSum(Vec<double> a, Vec<double> b, Vec<double> c) {
  Vec<double> m = a > b ? a : b;
  m = m > c ? m : c;
  const Vec<double> none = splat(-kInfinity<double>);
  const Vec<double> shift = m == none ? Vec<double>{} : m;
  return m == none ? none : shift + log(exp(a - shift) + exp(b - shift) + exp(c - shift));
}
INLINE double logSum(double a, double b) { return logSum(splat(a), splat(b), splat(-kInfinity<double>))[0]; }

// y[s] = of[s] + log(e^x[s] + e^x[s + by] + e^(x[s + 2 by] + skip[s + bySkip])), s < n; x and skip have edges.
INLINE void advance(double* y, const double* x, const double* skip, const double* of, int64_t n, int64_t by,
                    int64_t bySkip) {
  along<double>(
      n,
      [&](int64_t s) {
        store(y + s, load(of + s) + logSum(load(x + s), load(x + s + by), load(x + s + 2 * by) + load(skip + s + bySkip)));
      },
      [&](int64_t s, int64_t rest) {
        Vec<double> sum = logSum(loadPart(x + s, rest), loadPart(x + s + by, rest),
                                 loadPart(x + s + 2 * by, rest) + loadPart(skip + s + bySkip, rest));
        storePart(y + s, loadPart(of + s, rest) + sum, rest);
      });
}
INLINE void fillRow(double* x, int64_t n, double value) {
  for (int64_t i = 0; i < n; i++) x[i] = value;
}

// The states of sample i, or false after a report: lengths and labels come from outside.
INLINE bool readStates(CtcStates& states, int64_t i, Indices labels, Indices inputLengths, Indices labelLengths,
                       int64_t blank, const CtcSize& s, Fault& fault) {
  const int64_t steps = inputLengths[i], length = labelLengths[i];
  if (steps < 0 || steps > s.t) return fault.report(i, steps, 0, s.t), false;
  if (length < 0 || length > s.l) return fault.report(i, length, 0, s.l), false;
  states.steps = steps;
  states.count = 2 * length + 1;
  fillRow(states.skip, states.count + 2 * kEdge, -kInfinity<double>);
  for (int64_t k = 0; k < states.count; k++) {
    int64_t label = k % 2 ? labels[i * s.l + k / 2] : blank;
    if (label < 0 || label >= s.c) return fault.report(i * s.l + k / 2, label, 0, s.c - 1), false;
    states.label[k] = label;
    if (k % 2 && k >= 2 && label != states.label[k - 2]) states.skip[kEdge + k] = 0;
  }
  return true;
}

// alpha of all steps into rows of count + 2 kEdge; answers log p. `emit`: [count], scratch.
template <class T>
INLINE double forward(const CtcStates& states, const T* logp, double* alpha, int64_t rows, double* emit,
                      const CtcSize& s, int64_t i) {
  const int64_t n = states.count, width = n + 2 * kEdge;
  double* before = alpha;
  for (int64_t t = 0; t < states.steps; t++) {
    double* now = alpha + (t + 1) % rows * width;
    const T* row = logp + (t * s.n + i) * s.c;
    for (int64_t k = 0; k < n; k++) emit[k] = double(row[states.label[k]]);
    fillRow(now, width, -kInfinity<double>);
    if (t == 0) { // every path starts in state 0 or 1
      now[kEdge] = emit[0];
      if (n > 1) now[kEdge + 1] = emit[1];
    } else {
      advance(now + kEdge, before + kEdge, states.skip, emit, n, -1, kEdge);
    }
    before = now;
  }
  if (states.steps == 0) return n == 1 ? 0 : -kInfinity<double>;
  return n == 1 ? before[kEdge] : logSum(before[kEdge + n - 1], before[kEdge + n - 2]);
}

template <class T>
void ctc(T* loss, const T* logp, Indices labels, Indices inputLengths, Indices labelLengths, int64_t blank,
         int64_t zeroInfinity, const CtcSize& s, Fault& fault) {
  const int64_t most = 2 * s.l + 1;
  parallel(s.n, grainOf(s.t * most * 64), [&](int64_t begin, int64_t end) {
    Scratch<double> alpha(2 * (most + 2 * kEdge)), skip(most + 2 * kEdge), emit(most);
    Scratch<int64_t> label(most);
    CtcStates states{0, 0, label, skip};
    for (int64_t i = begin; i < end; i++) {
      loss[i] = 0;
      if (!readStates(states, i, labels, inputLengths, labelLengths, blank, s, fault)) continue;
      double logP = forward(states, logp, alpha, 2, emit, s, i);
      loss[i] = zeroInfinity && logP == -kInfinity<double> ? T(0) : T(-logP);
    }
  });
}
KERNEL(ctc)

// dx_t[c] = -dy sum over the states s of class c of exp(alpha_t[s] + beta_t[s] - log p), with backward variables
//   beta_t[s] = log sum over the states s' that may follow s of exp(beta_{t+1}[s'] + logp_{t+1}[state s']).
template <class T>
void ctcGrad(T* dx, const T* dy, const T* logp, Indices labels, Indices inputLengths, Indices labelLengths,
             int64_t blank, int64_t zeroInfinity, const CtcSize& s, Fault& fault) {
  const int64_t most = 2 * s.l + 1, room = most + 2 * kEdge;
  parallel(s.n, grainOf(s.t * most * 128), [&](int64_t begin, int64_t end) {
    Scratch<double> alpha((s.t + 1) * room), beta(2 * room), skip(room), emit(most), zero(most);
    Scratch<int64_t> label(most);
    CtcStates states{0, 0, label, skip};
    fillRow(zero, most, 0);
    for (int64_t i = begin; i < end; i++) {
      for (int64_t t = 0; t < s.t; t++) zeroRow(dx + (t * s.n + i) * s.c, s.c);
      if (!readStates(states, i, labels, inputLengths, labelLengths, blank, s, fault)) continue;
      const double logP = forward(states, logp, alpha, s.t + 1, emit, s, i);
      if (zeroInfinity && logP == -kInfinity<double>) continue;
      const int64_t n = states.count, width = n + 2 * kEdge;
      double *follows = beta, *now = beta + width; // beta + logp of the step behind; beta of this one
      for (int64_t t = states.steps - 1; t >= 0; t--) {
        fillRow(now, width, -kInfinity<double>);
        if (t == states.steps - 1) {
          now[kEdge + n - 1] = 0;
          if (n > 1) now[kEdge + n - 2] = 0;
        } else {
          advance(now + kEdge, follows + kEdge, states.skip, zero, n, 1, kEdge + 2);
        }
        const T* row = logp + (t * s.n + i) * s.c;
        T* dxr = dx + (t * s.n + i) * s.c;
        const double* at = alpha + (t + 1) * width + kEdge;
        for (int64_t k = 0; k < n; k++)
          dxr[states.label[k]] -= T(double(dy[i]) * exp(splat(at[k] + now[kEdge + k] - logP))[0]);
        fillRow(follows, width, -kInfinity<double>);
        for (int64_t k = 0; k < n; k++) follows[kEdge + k] = now[kEdge + k] + double(row[states.label[k]]);
      }
    }
  });
}
KERNEL(ctcGrad)

} // namespace napier::ISA
