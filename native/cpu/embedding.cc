// Embedding: row ids[i] of w for each i, and its gradient. Bandwidth-bound.
#include "rows.h"

namespace napier::ISA {

// y[n, cols] = w[ids[n], cols]; an id outside [0, rows) is reported and its row of y set to 0.
template <class T> void embedding(T* y, const T* w, Indices ids, int64_t rows, int64_t cols, int64_t n, Fault& fault) {
  const size_t bytes = size_t(cols) * sizeof(T);
  parallel(n, grainOf(2 * cols * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      int64_t id = ids[i];
      const bool found = uint64_t(id) < uint64_t(rows);
      if (!found) fault.report(i, id, 0, rows - 1);
      if (bytes == 0) continue;
      if (found) memcpy(y + i * cols, w + id * cols, bytes);
      else memset(y + i * cols, 0, bytes);
    }
  });
}
KERNEL(embedding)

// dw[ids[i]] += dy[i] in the order of i: positions are sorted by chunk of rows of dw (a stable counting sort), then
// each chunk is cleared and added to by one thread. An id equal to paddingIndex adds nothing (-1: there is none).
template <class T>
void embeddingGrad(T* dw, const T* dy, Indices ids, int64_t rows, int64_t cols, int64_t n, int64_t paddingIndex,
                   Fault& fault) {
  // Chunks of rows of dw: few enough to count, small enough to share out.
  const int64_t chunks = rows < 64 ? rows : 64, chunkRows = chunks ? (rows + chunks - 1) / chunks : 1;
  Scratch<int64_t> order(n + 1);
  int64_t start[65] = {};
  for (int64_t i = 0; i < n; i++) {
    int64_t id = ids[i];
    if (uint64_t(id) >= uint64_t(rows)) fault.report(i, id, 0, rows - 1);
    else if (id != paddingIndex) start[id / chunkRows + 1]++;
  }
  for (int64_t c = 0; c < 64; c++) start[c + 1] += start[c];
  int64_t next[64];
  for (int64_t c = 0; c < 64; c++) next[c] = start[c];
  for (int64_t i = 0; i < n; i++) {
    int64_t id = ids[i];
    if (uint64_t(id) < uint64_t(rows) && id != paddingIndex) order[next[id / chunkRows]++] = i;
  }
  parallel(chunks, grainOf((chunkRows + n / (chunks + 1)) * 2 * cols * int64_t(sizeof(T))),
           [&](int64_t begin, int64_t end) {
             for (int64_t c = begin; c < end; c++) {
               int64_t first = c * chunkRows, last = first + chunkRows < rows ? first + chunkRows : rows;
               if (first >= last || cols == 0) continue;
               memset(dw + first * cols, 0, size_t((last - first) * cols) * sizeof(T));
               for (int64_t k = start[c]; k < start[c + 1]; k++) {
                 const T* from = dy + order[k] * cols;
                 T* to = dw + ids[order[k]] * cols;
                 along<T>(
                     cols, [&](int64_t j) { store(to + j, load(to + j) + load(from + j)); },
                     [&](int64_t j, int64_t rest) {
                       storePart(to + j, loadPart(to + j, rest) + loadPart(from + j, rest), rest);
                     });
               }
             }
           });
}
KERNEL(embeddingGrad)

// y[n, cols] = 1 at each label, else 0; a label outside [0, cols) is reported.
template <class T> void oneHot(T* y, Indices labels, int64_t cols, int64_t n, Fault& fault) {
  parallel(n, grainOf(cols * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    if (cols > 0) memset(y + begin * cols, 0, size_t((end - begin) * cols) * sizeof(T));
    for (int64_t i = begin; i < end; i++) {
      const int64_t label = labels[i];
      if (uint64_t(label) < uint64_t(cols)) y[i * cols + label] = T(1);
      else fault.report(i, label, 0, cols - 1);
    }
  });
}
KERNEL(oneHot)

} // namespace napier::ISA
