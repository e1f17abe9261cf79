/**
 * Search over cells: at random, and by regularised evolution (Real et al., "Regularized evolution for image classifier
 * architecture search", 2018). What a cell is worth is the caller's to say: usually the accuracy of a CellNetwork after some
 * steps of training.
 */
import { expect } from "../errors.js";
import { Stream } from "../tune/random.js";
import { EDGES, type Genotype, OPERATIONS } from "./space.js";

/** What a cell is worth, by a training of `steps` steps: more is better. */
export type Evaluate = (genotype: Genotype, trial: number, steps: number) => number | Promise<number>;

/** A cell that was looked at. */
export interface Evaluated {
  /** From 0. */
  number: number;
  /** The cell. */
  genotype: Genotype;
  /** What it is worth. */
  score: number;
}

/** What a search found. */
export interface SearchResult {
  /** Of the highest score; of several the first. */
  best: Evaluated;
  /** In the order in which they were looked at. */
  history: Evaluated[];
  /** Steps of training that it took, where evaluate() trains for as many as it is told. */
  steps: number;
}

/** Options of both searches. */
export interface NasOptions {
  /** Steps of training in all; trials are as many as they pay for. Default: 30 trials. */
  steps?: number;
  /** Steps that one cell is trained for. Default 100. */
  stepsPerTrial?: number;
  /** Default 0. */
  seed?: number;
  /** Called and awaited behind each cell. */
  onTrial?: (trial: Evaluated) => void | Promise<void>;
  /** Ends the search between two cells; hand it to trainAlone() too, and the cell that is being trained is given up. */
  signal?: AbortSignal;
}

/** Options of evolve(). */
export interface EvolutionOptions extends NasOptions {
  /** Cells that live at once: the first so many are random, so there must be more trials. Default 10. */
  population?: number;
  /** Cells that a parent is the best of. Default 3. */
  sample?: number;
}

const randomGenotype = (stream: Stream): Genotype => EDGES.map(() => OPERATIONS[stream.below(OPERATIONS.length)]!);

/** One edge gets another operation. */
function mutated(genotype: Genotype, stream: Stream): Genotype {
  const edge = stream.below(EDGES.length);
  const others = OPERATIONS.filter((operation) => operation !== genotype[edge]);
  return genotype.map((operation, i) => (i === edge ? others[stream.below(others.length)]! : operation));
}

async function run(
  op: string,
  evaluate: Evaluate,
  { stepsPerTrial = 100, steps = 30 * stepsPerTrial, seed = 0, onTrial, signal }: NasOptions,
  atLeast: number, // trials
  next: (history: readonly Evaluated[], stream: Stream) => Genotype,
): Promise<SearchResult> {
  const whole = Number.isSafeInteger(stepsPerTrial) && stepsPerTrial >= 1;
  expect(whole, op, "stepsPerTrial to be a whole number from 1 up", `${stepsPerTrial}`);
  const enough = Number.isSafeInteger(steps) && steps >= stepsPerTrial;
  expect(enough, op, "a whole number of steps, at least one trial's", `${steps} of ${stepsPerTrial} a trial`);
  const trials = Math.floor(steps / stepsPerTrial);
  if (trials < atLeast)
    throw new RangeError(
      `${op}: expected more trials than the population of ${atLeast - 1}, which is random, got ${trials} (${steps} steps, ` +
        `${stepsPerTrial} a trial); give at least ${atLeast * stepsPerTrial} steps, a smaller population or fewer stepsPerTrial`,
    );
  const goOn = (done: number) => {
    if (signal?.aborted) throw new Error(`${op}: aborted after ${done} of ${trials} trials`, { cause: signal.reason });
  };
  const history: Evaluated[] = [];
  for (let i = 0; i < trials; i++) {
    goOn(i);
    const genotype = next(history, new Stream(seed, i));
    const score = await evaluate(genotype, i, stepsPerTrial);
    expect(typeof score === "number" && !Number.isNaN(score), op, "evaluate to answer a number", `${score}`);
    goOn(i);
    const evaluated = { number: i, genotype, score };
    history.push(evaluated);
    await onTrial?.(evaluated);
  }
  return { best: history.reduce((a, b) => (b.score > a.score ? b : a)), history, steps: trials * stepsPerTrial };
}

/**
 * Cells at random.
 *
 * @throws (rejects) ShapeError for wrong options, or where evaluate answers no number; Error where the signal came
 * @example
 * const { best } = await nas.randomSearch((cell) => cell.filter((o) => o === "conv3x3").length, { steps: 2000, stepsPerTrial: 100 });
 */
export const randomSearch = (evaluate: Evaluate, options: NasOptions = {}): Promise<SearchResult> =>
  run("randomSearch", evaluate, options, 1, (_, stream) => randomGenotype(stream));

/**
 * Evolution that lets the oldest die: the best of a few is changed at one edge and takes the oldest's place (Real et al. 2018).
 *
 * @throws (rejects) ShapeError for wrong options, or where evaluate answers no number; RangeError where there are no more
 *   trials than the population; Error where the signal came
 */
export async function evolve(
  evaluate: Evaluate,
  { population = 10, sample = 3, ...options }: EvolutionOptions = {},
): Promise<SearchResult> {
  const good = Number.isSafeInteger(population) && Number.isSafeInteger(sample) && sample >= 1 && sample <= population;
  expect(good, "evolve", "a sample from 1 to the population", `${sample} of ${population}`);
  return run("evolve", evaluate, options, population + 1, (history, stream) => {
    if (history.length < population) return randomGenotype(stream);
    const living = history.slice(-population);
    const drawn = Array.from({ length: sample }, () => living[stream.below(population)]!);
    return mutated(drawn.reduce((a, b) => (b.score > a.score ? b : a)).genotype, stream);
  });
}
