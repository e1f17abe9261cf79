// The pointwise part of recurrent cells: from the sums of the gates to the new state, in one walk instead of a dozen.
//
//   LSTM (Hochreiter & Schmidhuber 1997, with forget gates): c = f c0 + i g, h = o tanh c
//   GRU (Cho et al. 2014, in cuDNN's form):                  h = (1 - z) n + z h0, n = tanh(x_n + r u_n)
//
// i, f, o, r, z are sigmoids of their sums and g the tanh of its own. A row of the sums is [gates, size]. Activations are
// saved for the gradient. LSTM: 13 values read or written an element, 5 exp.
#include "math.h"
#include "rows.h"

namespace napier::ISA {

// step(row, j, load, store) for each register of each row of `size` elements; load(p) and store(p, v) leave out what
// lies behind the last element.
template <class T, class F> INLINE void eachGate(int64_t n, int64_t size, int64_t values, const F& step) {
  parallel(n, grainOf(size * values * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++)
      along<T>(
          size,
          [&](int64_t j) {
            step(
                row, j, [](const T* p) { return load(p); }, [](T* p, Vec<T> v) { store(p, v); });
          },
          [&](int64_t j, int64_t rest) {
            step(
                row, j, [=](const T* p) { return loadPart(p, rest); }, [=](T* p, Vec<T> v) { storePart(p, v, rest); });
          });
  });
}

template <class T> void lstmCell(T* h, T* c, T* gates, const T* x, const T* c0, int64_t n, int64_t size) {
  eachGate<T>(n, size, 13, [=](int64_t row, int64_t j, auto read, auto write) {
    const int64_t at = row * size + j, gate = 4 * row * size + j;
    Vec<T> i = sigmoid(read(x + gate)), f = sigmoid(read(x + gate + size)), g = tanh(read(x + gate + 2 * size));
    Vec<T> o = sigmoid(read(x + gate + 3 * size)), next = fma(f, read(c0 + at), i * g);
    write(gates + gate, i);
    write(gates + gate + size, f);
    write(gates + gate + 2 * size, g);
    write(gates + gate + 3 * size, o);
    write(c + at, next);
    write(h + at, o * tanh(next));
  });
}
KERNEL(lstmCell)

// dc' = dc + dh o (1 - tanh(c)^2);  sums: di = dc' g i (1 - i), df = dc' c0 f (1 - f), dg = dc' i (1 - g^2),
// do = dh tanh(c) o (1 - o);  dc0 = dc' f
template <class T>
void lstmCellGrad(T* dx, T* dc0, const T* dh, const T* dc, const T* gates, const T* c, const T* c0, int64_t n,
                  int64_t size) {
  eachGate<T>(n, size, 13, [=](int64_t row, int64_t j, auto read, auto write) {
    const int64_t at = row * size + j, gate = 4 * row * size + j;
    const Vec<T> one = splat(T(1)), i = read(gates + gate), f = read(gates + gate + size);
    const Vec<T> g = read(gates + gate + 2 * size), o = read(gates + gate + 3 * size), y = tanh(read(c + at));
    const Vec<T> arrived = dh ? read(dh + at) : Vec<T>{};
    const Vec<T> d = (dc ? read(dc + at) : Vec<T>{}) + arrived * o * (one - y * y);
    write(dx + gate, d * g * i * (one - i));
    write(dx + gate + size, d * read(c0 + at) * f * (one - f));
    write(dx + gate + 2 * size, d * i * (one - g * g));
    write(dx + gate + 3 * size, arrived * y * o * (one - o));
    write(dc0 + at, d * f);
  });
}
KERNEL(lstmCellGrad)

template <class T> void gruCell(T* h, T* gates, const T* x, const T* u, const T* h0, int64_t n, int64_t size) {
  eachGate<T>(n, size, 11, [=](int64_t row, int64_t j, auto read, auto write) {
    const int64_t at = row * size + j, gate = 3 * row * size + j;
    Vec<T> r = sigmoid(read(x + gate) + read(u + gate));
    Vec<T> z = sigmoid(read(x + gate + size) + read(u + gate + size));
    Vec<T> m = tanh(fma(r, read(u + gate + 2 * size), read(x + gate + 2 * size)));
    write(gates + gate, r);
    write(gates + gate + size, z);
    write(gates + gate + 2 * size, m);
    write(h + at, fma(z, read(h0 + at) - m, m));
  });
}
KERNEL(gruCell)

// dn = dh (1 - z) (1 - n^2), the sum's;  dz = dh (h0 - n) z (1 - z);  dr = dn u_n r (1 - r);
// dx = [dr, dz, dn], du = [dr, dz, dn r], dh0 = dh z
template <class T>
void gruCellGrad(T* dx, T* du, T* dh0, const T* dh, const T* gates, const T* u, const T* h0, int64_t n, int64_t size) {
  eachGate<T>(n, size, 13, [=](int64_t row, int64_t j, auto read, auto write) {
    const int64_t at = row * size + j, gate = 3 * row * size + j;
    const Vec<T> one = splat(T(1)), r = read(gates + gate), z = read(gates + gate + size);
    const Vec<T> m = read(gates + gate + 2 * size), d = read(dh + at);
    const Vec<T> dm = d * (one - z) * (one - m * m), dz = d * (read(h0 + at) - m) * z * (one - z);
    const Vec<T> dr = dm * read(u + gate + 2 * size) * r * (one - r);
    write(dx + gate, dr);
    write(dx + gate + size, dz);
    write(dx + gate + 2 * size, dm);
    write(du + gate, dr);
    write(du + gate + size, dz);
    write(du + gate + 2 * size, dm * r);
    write(dh0 + at, d * z);
  });
}
KERNEL(gruCellGrad)

} // namespace napier::ISA
