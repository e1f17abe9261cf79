/** @file How well rows find their partners: recall at k. */

/** Recall of both ways. */
export interface RetrievalScores {
  /** Share of the rows whose own column is among their k best. */
  rows: number;
  /** Share of the columns whose own row is among their k best. */
  columns: number;
}

/**
 * Recall at k of a square matrix of similarities in which row i belongs to column i: how often the partner is among the k
 * most similar. Equally similar ones count as better than the partner.
 *
 * @param similarity [n, n], row-major
 * @param k from 1 to n
 */
export function recallAtK(similarity: ArrayLike<number>, k: number): RetrievalScores {
  const n = Math.sqrt(similarity.length);
  if (!Number.isInteger(n) || n === 0)
    throw new RangeError(`recallAtK: expected a square matrix of similarities, got ${similarity.length} numbers`);
  if (!Number.isSafeInteger(k) || k < 1 || k > n)
    throw new RangeError(`recallAtK: expected k from 1 to ${n}, got ${k}`);
  const share = (at: (own: number, other: number) => number) => {
    let found = 0;
    for (let i = 0; i < n; i++) {
      let better = 0;
      for (let j = 0; j < n; j++) if (j !== i && !(at(i, j) < at(i, i))) better++;
      if (better < k) found++;
    }
    return found / n;
  };
  return { rows: share((i, j) => similarity[i * n + j]!), columns: share((i, j) => similarity[j * n + i]!) };
}
