// Two plans. In the order of time, each buffer goes where memory was used last: what the caches still hold, as the free
// lists of an uncaptured step would give it. By size, the largest first, each goes as low as it can: the block is then
// near the most that lives at once, whatever the lifetimes. The first stands unless it needs more than a sixteenth more;
// on the training steps of the benchmark it never did (docs/architecture.md).
#include "plan.h"
#include <algorithm>

namespace napier {

namespace {

int64_t planBySize(std::vector<Lifetime>& all) {
  std::vector<Lifetime*> order;
  for (Lifetime& l : all) order.push_back(&l);
  std::stable_sort(order.begin(), order.end(), [](const Lifetime* a, const Lifetime* b) {
    if (a->bytes != b->bytes) return a->bytes > b->bytes;
    if (a->first != b->first) return a->first < b->first;
    return a->last < b->last;
  });
  int64_t top = 0;
  std::vector<const Lifetime*> placed; // by offset
  for (Lifetime* piece : order) {
    int64_t at = 0;
    for (const Lifetime* other : placed) {
      if (other->last < piece->first || piece->last < other->first) continue;
      if (at + piece->bytes <= other->offset) break;
      at = std::max(at, other->offset + other->bytes);
    }
    piece->offset = at;
    top = std::max(top, at + piece->bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), at,
                                   [](int64_t offset, const Lifetime* p) { return offset < p->offset; }),
                  piece);
  }
  return top;
}

// The block in the course of time: segments that cover it from 0 on.
class Course {
public:
  int64_t top() const { return segments.empty() ? 0 : end(segments.back()); }

  void give(const Lifetime& gone) {
    auto at = std::lower_bound(segments.begin(), segments.end(), gone.offset,
                               [](const Segment& s, int64_t offset) { return s.offset < offset; });
    at->free = true;
    at->touched = gone.last;
  }

  // The free place of `bytes` that was touched last, its bytes counted each; where there is none, the block grows.
  int64_t take(int64_t bytes) {
    int64_t where = -1;
    double newest = 0;
    for (size_t i = 0, j; i < segments.size(); i = j) {
      for (j = i; j < segments.size() && segments[j].free; j++) {}
      if (j == i) {
        j++;
        continue;
      }
      const int64_t low = segments[i].offset, high = end(segments[j - 1]);
      auto consider = [&](int64_t offset) {
        if (offset < low || offset + bytes > high) return;
        const double time = touched(i, j, offset, bytes);
        if (where < 0 || time > newest) newest = time, where = offset;
      };
      for (size_t k = i; k < j; k++) {
        consider(segments[k].offset);
        consider(end(segments[k]) - bytes);
      }
    }
    if (where < 0) {
      where = !segments.empty() && segments.back().free ? lastFree() : top();
      segments.push_back({top(), where + bytes - top(), -1, true});
    }
    occupy(where, bytes);
    return where;
  }

private:
  struct Segment {
    int64_t offset, bytes;
    int touched; // by which call last; -1: by none
    bool free;
  };
  std::vector<Segment> segments;

  static int64_t end(const Segment& s) { return s.offset + s.bytes; }

  // When the bytes from `offset` on, within segments [i, j), were touched, on average.
  double touched(size_t i, size_t j, int64_t offset, int64_t bytes) const {
    double sum = 0;
    for (size_t k = i; k < j; k++) {
      const Segment& s = segments[k];
      const int64_t shared = std::min(offset + bytes, end(s)) - std::max(offset, s.offset);
      if (shared > 0) sum += double(shared) * s.touched;
    }
    return sum / double(bytes);
  }

  int64_t lastFree() const { // where the free bytes at the end begin
    size_t i = segments.size();
    while (i > 0 && segments[i - 1].free) i--;
    return segments[i].offset;
  }

  void occupy(int64_t offset, int64_t bytes) {
    std::vector<Segment> cut;
    for (const Segment& s : segments) {
      const int64_t before = std::min(end(s), offset) - s.offset, after = end(s) - std::max(s.offset, offset + bytes);
      if (before > 0) cut.push_back({s.offset, before, s.touched, s.free});
      if (s.offset <= offset && offset < end(s)) cut.push_back({offset, bytes, -1, false});
      if (after > 0) cut.push_back({end(s) - after, after, s.touched, s.free});
    }
    segments.swap(cut);
  }
};

int64_t planByTime(std::vector<Lifetime>& all) {
  std::vector<Lifetime*> begins, ends;
  for (Lifetime& l : all) begins.push_back(&l), ends.push_back(&l);
  std::stable_sort(begins.begin(), begins.end(), [](const Lifetime* a, const Lifetime* b) {
    return a->first != b->first ? a->first < b->first : a->bytes > b->bytes;
  });
  std::stable_sort(ends.begin(), ends.end(), [](const Lifetime* a, const Lifetime* b) { return a->last < b->last; });
  Course course;
  size_t gone = 0;
  for (Lifetime* piece : begins) {
    for (; ends[gone]->last < piece->first; gone++) course.give(*ends[gone]);
    piece->offset = course.take(piece->bytes);
  }
  return course.top();
}

} // namespace

int64_t planMemory(std::vector<Lifetime>& all) {
  std::vector<Lifetime> small = all;
  const int64_t least = planBySize(small), bytes = planByTime(all);
  if (bytes <= least + least / 16) return bytes;
  all = std::move(small);
  return least;
}

} // namespace napier
