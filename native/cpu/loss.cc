// Losses over rows of class scores, and over logits.
//
// A row of x is read from memory once for its maximum and sum, and once for its gradient: the kernels run at the speed
// of reading x, and of exp. Labels come from outside: one that is neither a class nor ignoreIndex is reported and its
// row set to 0.
#include "map.h"
#include "row_blocks.h"

namespace napier::ISA {

// Whether row `row` counts: its label is a class. Reports a label that is neither a class nor ignoreIndex.
INLINE bool hasClass(int64_t label, int64_t row, int64_t ignoreIndex, int64_t cols, Fault& fault) {
  if (label == ignoreIndex) return false;
  if (label >= 0 && label < cols) return true;
  fault.report(row, label, 0, cols - 1);
  return false;
}

// loss = log sum_j exp(x_j) - x_label, with the maximum m taken out: log(sum_j exp(x_j - m)) - (x_label - m).
// loss, logSumExp: [rows]; the gradient needs logSumExp. 1 exp an element.
template <class T>
void crossEntropy(T* loss, T* logSumExp, const T* x, Indices labels, int64_t ignoreIndex, int64_t rows, int64_t cols,
                  Fault& fault) {
  rowBlocks<T>(rows, cols, cols * int64_t(sizeof(T)), kShortRowOfX, [&](int64_t first, int count, T*) {
    const T* xb = x + first * cols;
    RowValues<T> top, logSum;
    if (cols <= kShortRowOfX) {
      const Vec<T> tops = maxRows<T>(count, [&](int r) { return foldMax(xb + r * cols, cols); });
      top = RowValues<T>(tops);
      const Vec<T> sums = sumRows<T>(count, [&](int r) { return foldExp(xb + r * cols, cols, top[r]); });
      logSum = RowValues<T>(log(sums * (1 / kLift<T>)));
    } else {
      const RowSum<T> row = sumExpRow(xb, cols);
      top.value[0] = row.top, logSum.value[0] = row.logSum;
    }
    for (int r = 0; r < count; r++) {
      const int64_t row = first + r, label = labels[row];
      const T m = top.value[r], l = logSum.value[r];
      logSumExp[row] = m + l;
      loss[row] = hasClass(label, row, ignoreIndex, cols, fault) ? l - (xb[r * cols + label] - m) : T(0);
    }
  });
}
KERNEL(crossEntropy)

// dx_j = dy (exp(x_j - logSumExp) - [j = label])
template <class T>
void crossEntropyGrad(T* dx, const T* x, const T* logSumExp, const T* dy, Indices labels, int64_t ignoreIndex,
                      int64_t rows, int64_t cols, Fault& fault) {
  const bool around = goesAround(dx, rows * cols) && cols % width<T> == 0;
  parallel(rows, grainOf(cols * 2 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const T* xr = x + row * cols;
      T* dxr = dx + row * cols;
      int64_t label = labels[row];
      if (!hasClass(label, row, ignoreIndex, cols, fault)) {
        zeroRow(dxr, cols);
        continue;
      }
      const Vec<T> lse = splat(logSumExp[row]), g = splat(dy[row] / kLift<T>);
      const int64_t own = label / width<T> * width<T>;
      const Vec<T> less = lane<T>() == splat(T(label - own)) ? splat(dy[row]) : Vec<T>{};
      auto slope = [&](Vec<T> v, int64_t i) {
        v = g * liftedExp(v - lse);
        return i == own ? v - less : v;
      };
      along<T>(
          cols, [&](int64_t i) { put<T>(dxr + i, slope(load(xr + i), i), around); },
          [&](int64_t i, int64_t rest) { storePart(dxr + i, slope(loadPart(xr + i, rest), i), rest); });
      if (around) streamed();
    }
  });
}
KERNEL(crossEntropyGrad)

// loss = -w_label x_label, of log-probabilities x; weight = w_label (1 without w). Both 0 where the label is ignored.
template <class T>
void nll(T* loss, T* weight, const T* x, const T* w, Indices labels, int64_t ignoreIndex, int64_t rows, int64_t cols,
         Fault& fault) {
  for (int64_t row = 0; row < rows; row++) {
    int64_t label = labels[row];
    const bool counts = hasClass(label, row, ignoreIndex, cols, fault);
    weight[row] = !counts ? T(0) : w ? w[label] : T(1);
    loss[row] = counts ? -weight[row] * x[row * cols + label] : T(0);
  }
}
KERNEL(nll)

// dx_label = -w_label dy
template <class T>
void nllGrad(T* dx, const T* dy, const T* w, Indices labels, int64_t ignoreIndex, int64_t rows, int64_t cols,
             Fault& fault) {
  parallel(rows, grainOf(cols * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      int64_t label = labels[row];
      zeroRow(dx + row * cols, cols);
      if (hasClass(label, row, ignoreIndex, cols, fault)) dx[row * cols + label] = -(w ? w[label] : T(1)) * dy[row];
    }
  });
}
KERNEL(nllGrad)

// loss = sum over labels y and classes j that are no label of max(0, 1 - (x_y - x_j)) / cols, slope = d loss / d x. The
// labels of a row end at the first -1. cols times labels operations a row.
template <class T>
void multiLabelMargin(T* loss, T* slope, const T* x, Indices labels, int64_t rows, int64_t cols, Fault& fault) {
  Scratch<uint8_t> mine(cols + 1);
  for (int64_t row = 0; row < rows; row++) {
    const T* xr = x + row * cols;
    T* sr = slope + row * cols;
    zeroRow(sr, cols);
    memset(mine.data, 0, size_t(cols));
    int64_t count = 0;
    for (; count < cols && labels[row * cols + count] != -1; count++) {
      int64_t label = labels[row * cols + count];
      if (label < 0 || label >= cols) {
        fault.report(row * cols + count, label, -1, cols - 1);
        break;
      }
      mine[label] = 1;
    }
    T sum = 0;
    const T share = T(1) / T(cols);
    for (int64_t k = 0; k < count; k++) {
      int64_t label = labels[row * cols + k];
      for (int64_t j = 0; j < cols; j++) {
        T over = T(1) - xr[label] + xr[j];
        if (mine[j] || over <= 0) continue;
        sum += over;
        sr[j] += share;
        sr[label] -= share;
      }
    }
    loss[row] = sum * share;
  }
}
KERNEL(multiLabelMargin)

// Multi-class SVM (Weston & Watkins 1999): loss = sum_{j != label} max(0, x_j - x_label + delta).
template <class T>
void hinge(T* loss, const T* x, Indices labels, double delta, int64_t ignoreIndex, int64_t rows, int64_t cols,
           Fault& fault) {
  parallel(rows, grainOf(cols * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const T* xr = x + row * cols;
      int64_t label = labels[row];
      if (!hasClass(label, row, ignoreIndex, cols, fault)) {
        loss[row] = 0;
        continue;
      }
      Vec<T> own = splat(xr[label]), margin = splat(T(delta));
      auto over = [&](Vec<T> v) { return v - own + margin; };
      auto clip = [](Vec<T> v) { return v <= Vec<T>{} ? Vec<T>{} : v; }; // NaN passes
      T sum = sumRow<T>(
          cols, [&](Vec<T> a, int64_t i) { return a + clip(over(load(xr + i))); },
          [&](Vec<T> a, int64_t i, int64_t rest) {
            return a + (lanesBelow<T>(rest) ? clip(over(loadPart(xr + i, rest))) : Vec<T>{});
          });
      T self = xr[label] - xr[label] + T(delta); // what j = label added
      loss[row] = sum - (self <= 0 ? T(0) : self);
    }
  });
}
KERNEL(hinge)

// dx_j = dy where the margin is broken, dx_label = -dy (number of broken margins)
template <class T>
void hingeGrad(T* dx, const T* x, const T* dy, Indices labels, double delta, int64_t ignoreIndex, int64_t rows,
               int64_t cols, Fault& fault) {
  parallel(rows, grainOf(cols * 2 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const T* xr = x + row * cols;
      T* dxr = dx + row * cols;
      int64_t label = labels[row];
      if (!hasClass(label, row, ignoreIndex, cols, fault)) {
        zeroRow(dxr, cols);
        continue;
      }
      T own = xr[label], g = dy[row];
      int64_t broken = 0;
      for (int64_t j = 0; j < cols; j++) {
        bool over = xr[j] - own + T(delta) > 0;
        dxr[j] = over ? g : T(0);
        broken += over && j != label;
      }
      dxr[label] = T(-broken) * g;
    }
  });
}
KERNEL(hingeGrad)

// loss = max(x, 0) - x t + log(1 + exp(-|x|)), which is -t log s(x) - (1 - t) log(1 - s(x)) and never overflows.
template <class T> void bceWithLogits(T* loss, const T* x, const T* t, int64_t n) {
  auto one = [](Vec<T> x, Vec<T> t) {
    Vec<T> zero{};
    Vec<T> positive = x < zero ? zero : x;
    return positive - x * t + log1p(exp(x < zero ? x : -x));
  };
  parallel(n, grainOf(3 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    const T *xb = x + begin, *tb = t + begin;
    T* lb = loss + begin;
    along<T>(
        end - begin, [&](int64_t i) { store(lb + i, one(load(xb + i), load(tb + i))); },
        [&](int64_t i, int64_t rest) { storePart(lb + i, one(loadPart(xb + i, rest), loadPart(tb + i, rest)), rest); });
  });
}
KERNEL(bceWithLogits)

// dx = dy (sigmoid(x) - t), dt = -dy x; either may be absent.
template <class T> void bceWithLogitsGrad(T* dx, T* dt, const T* dy, const T* x, const T* t, int64_t n) {
  auto slope = [](Vec<T> g, Vec<T> x, Vec<T> t) {
    Vec<T> zero{}, unit = splat(T(1));
    Vec<T> e = exp(x < zero ? x : -x); // sigmoid(-|x|) = e / (1 + e)
    return g * ((x < zero ? e : unit) / (unit + e) - t);
  };
  parallel(n, grainOf(5 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    const T *gb = dy + begin, *xb = x + begin, *tb = t + begin;
    if (dx)
      along<T>(
          end - begin, [&](int64_t i) { store(dx + begin + i, slope(load(gb + i), load(xb + i), load(tb + i))); },
          [&](int64_t i, int64_t rest) {
            storePart(dx + begin + i, slope(loadPart(gb + i, rest), loadPart(xb + i, rest), loadPart(tb + i, rest)),
                      rest);
          });
    if (dt)
      for (int64_t i = begin; i < end; i++) dt[i] = -dy[i] * x[i];
  });
}
KERNEL(bceWithLogitsGrad)

} // namespace napier::ISA
