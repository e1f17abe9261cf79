/**
 * What modules and backward() told while a profile ran, as spans that nest: one for each call of a module, one for each
 * backward(), and inside it one for each stretch of records that a module's forward made, in those of the modules around it.
 */
import { Step, scopeAt } from "../watch.js";

export interface Span {
  /** 0 for backward() itself. */
  scope: number;
  backward: boolean;
  /** ns since the profile began. */
  start: number;
  end: number;
}

/** Steps as they came: kind, tag, time. */
export class Steps {
  readonly #numbers: number[] = [];
  /** Steps that there was no room for. */
  dropped = 0;

  constructor(readonly most: number) {}

  readonly hear = (step: Step, tag: number, time: number): void => {
    if (this.#numbers.length < 3 * this.most) this.#numbers.push(step, tag, time);
    else this.dropped++;
  };

  /** The spans, a span before those inside it; those still open end at `end`. */
  spans(end: number): Span[] {
    const spans: Span[] = [];
    const open: Span[] = [];
    const walks: number[] = []; // how many spans were open when each backward() began, itself included
    const begin = (scope: number, backward: boolean, start: number) => {
      const span = { scope, backward, start, end };
      spans.push(span);
      open.push(span);
    };
    const closeTo = (depth: number, time: number) => {
      while (open.length > depth) open.pop()!.end = time;
    };
    for (let i = 0; i < this.#numbers.length; i += 3) {
      const [step, tag, time] = this.#numbers.slice(i, i + 3) as [Step, number, number];
      const scope = tag >> 1;
      switch (step) {
        case Step.open:
          begin(scope, (tag & 1) === 1, time);
          break;
        case Step.close:
          closeTo(open.length - 1, time);
          break;
        case Step.walk:
          begin(0, true, time);
          walks.push(open.length);
          break;
        case Step.walked:
          closeTo((walks.pop() ?? 1) - 1, time);
          break;
        case Step.at: {
          const depth = walks.at(-1) ?? 0;
          const path = pathTo(scope);
          let same = 0;
          while (same < path.length && open[depth + same]?.scope === path[same]) same++;
          closeTo(depth + same, time);
          for (const inside of path.slice(same)) begin(inside, true, time);
          break;
        }
      }
    }
    return spans;
  }
}

/** The scopes around one, outermost first, and itself; [] for none. */
export function pathTo(scope: number): number[] {
  const path: number[] = [];
  for (let at = scope; at !== 0; at = scopeAt(at).parent) path.unshift(at);
  return path;
}
