/**
 * Callbacks: what watches a run, or steers it, without being part of the loop. A callback is a function of events, or an
 * object with a name and the hooks it wants; the loop calls them in the order of the list and waits for promises. A hook
 * that throws ends the run, and the error names the callback.
 *
 * Numbers never hold up a step: `measure` queues reads on the device, and what its promise gives arrives with the event of
 * the same log point, steps later, in metrics.jsonl and for every other callback.
 */
import type { Finding } from "./diagnosis.js";
import type { CheckpointEvent, EpochEvent, FitResult, Scores, TrainEvent, ValidationEvent } from "./events.js";
import type { TrainerSettings } from "./options.js";

/** What hooks may know of the run, and do to it. */
export interface RunContext extends Readonly<Pick<TrainerSettings, "model" | "optimizer" | "schedule" | "out">> {
  /** Names of the scores, "loss" first. */
  readonly metrics: readonly string[];
  /** Optimizer steps so far. */
  readonly step: number;
  /** The epoch that is under way, from 1. */
  readonly epoch: number;
  /** Steps between step events. */
  readonly logEvery: number;
  /** Whether the run goes on from a checkpoint. */
  readonly resumed: boolean;
  /** Ends the run after its current step, with reason "stopped". */
  stop(): void;
}

/**
 * Something that takes part in fit(). All hooks are optional; those that answer a promise are awaited, but
 * `onGradients`, which stands in the middle of a step, must not wait.
 *
 * @example
 * const model = new nn.Linear(2, 1);
 * const trainer = new train.Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }), loss: nn.mse });
 * const counter: train.Callback = {
 *   name: "stopAtFive",
 *   onStepEnd: (run) => void (run.step === 5 && run.stop()),
 *   onFitEnd: (result) => console.log(result.reason),
 * };
 * const set = new data.TensorDataset([randn([8, 2]), randn([8, 1])]);
 * await trainer.fit(new data.DataLoader(set, { batchSize: 2 }), { epochs: 3, callbacks: [counter] });
 */
export interface Callback {
  /** What errors and checkpoints call it: unique among the callbacks of a run. */
  readonly name: string;
  /** Before the first step; a resumed run has loaded its checkpoint by then. */
  onFitStart?(run: RunContext): unknown;
  /** Before the first batch of an epoch, also where a resumed run goes on in the middle of it. */
  onEpochStart?(run: RunContext): unknown;
  /** Between backward and the optimizer's step, before clipping; with an optimizer that takes a closure, after its first call. Must not wait. */
  onGradients?(run: RunContext): void;
  /** After each optimizer step; the device may still be computing it. */
  onStepEnd?(run: RunContext): unknown;
  /**
   * At each log point ("step") and at the end of each epoch: numbers by name, or the promise of some, to stand in the
   * event as `measured`. Queue the reads and return: what was computed so far is read, and the run goes on meanwhile.
   */
  measure?(when: "step" | "epoch", run: RunContext): Promise<Scores | undefined> | Scores | undefined;
  /** Each event, before the hooks of its kind below. */
  onEvent?(event: TrainEvent, run: RunContext): unknown;
  /** After the steps of an epoch, before its validation. */
  onEpochEnd?(event: EpochEvent, run: RunContext): unknown;
  /** After a validation. */
  onValidation?(event: ValidationEvent, run: RunContext): unknown;
  /** After a checkpoint was written. */
  onCheckpoint?(event: CheckpointEvent, run: RunContext): unknown;
  /** When the run has ended, for whatever reason but an error. */
  onFitEnd?(result: FitResult, run: RunContext): unknown;
  /** When the run ends by an error, which fit() then rejects with; an error in here becomes a warning of the process. */
  onException?(error: unknown, run: RunContext): unknown;
  /** What is wrong with the run, as far as is known: asked for at the end of each epoch, after its validation, and of the run. */
  diagnose?(): readonly Finding[];
  /**
   * What a checkpoint shall keep: tensors, numbers, texts, arrays and plain objects; may be a promise. A checkpoint's
   * state goes to the callback of the same name; one that the checkpoint does not know starts afresh.
   */
  stateDict?(): unknown;
  /** Takes over what stateDict() gave, before onFitStart. */
  loadStateDict?(state: unknown): unknown;
}

/** A callback, or a function of events that is called, and awaited, for each. */
export type AnyCallback = (Callback & { call?: never }) | ((event: TrainEvent) => unknown);

type Hook = Exclude<keyof Callback, "name">;
type Arguments<H extends Hook> = Parameters<NonNullable<Callback[H]>>;

/** The callbacks of a run. */
export class CallbackList {
  readonly #list: readonly Callback[];

  /** @throws TypeError for what is no callback, and for two of one name */
  constructor(given: readonly AnyCallback[]) {
    const names = new Set<string>();
    this.#list = given.map((callback, i) => {
      if (typeof callback === "function")
        return { name: callback.name || `callbacks[${i}]`, onEvent: (event) => callback(event) };
      if (typeof callback?.name !== "string" || callback.name === "")
        throw new TypeError(
          `fit: expected callbacks[${i}] to be a function of events, or an object with a name and hooks, got ${callback === null ? "null" : typeof callback === "object" ? "one without a name" : typeof callback}`,
        );
      if (names.has(callback.name))
        throw new TypeError(
          `fit: two callbacks are named "${callback.name}"; checkpoints tell them apart by name, give one another`,
        );
      names.add(callback.name);
      return callback;
    });
  }

  /** Calls a hook of all callbacks, one after the other; each promise is awaited. */
  async call<H extends Hook>(hook: H, ...args: Arguments<H>): Promise<void> {
    for (const callback of this.#list) {
      if (callback[hook] === undefined) continue;
      try {
        const answer = invoke(callback, hook, args);
        if (isPromise(answer)) await answer;
      } catch (error) {
        throw named(callback, hook, error);
      }
    }
  }

  /** Names of the callbacks that have a hook. */
  withHook(hook: Hook): string[] {
    return this.#list.filter((callback) => callback[hook] !== undefined).map((callback) => callback.name);
  }

  /** Calls a hook that must not wait. */
  callNow(hook: "onGradients", run: RunContext): void {
    for (const callback of this.#list) {
      if (callback[hook] === undefined) continue;
      let answer: unknown;
      try {
        answer = invoke(callback, hook, [run]);
      } catch (error) {
        throw named(callback, hook, error);
      }
      if (isPromise(answer)) {
        answer.then(undefined, () => {});
        throw named(
          callback,
          hook,
          new TypeError("expected it not to wait, got a promise; it stands in the middle of a step"),
        );
      }
    }
  }

  /** Tells all callbacks of the error that ends the run; their own errors become warnings. */
  async tellException(error: unknown, run: RunContext): Promise<void> {
    for (const callback of this.#list) {
      try {
        await callback.onException?.(error, run);
      } catch (second) {
        process.emitWarning(named(callback, "onException", second));
      }
    }
  }

  /** Asks for numbers: the reads are queued when this returns. The promise gives null where nobody measures. */
  measure(when: "step" | "epoch", run: RunContext): Promise<Scores | null> {
    const answers = this.#list.flatMap((callback) => {
      if (callback.measure === undefined) return [];
      const wrap = (error: unknown) => {
        throw named(callback, "measure", error);
      };
      try {
        return [Promise.resolve(callback.measure(when, run)).catch(wrap)];
      } catch (error) {
        return wrap(error);
      }
    });
    return Promise.all(answers).then((all) => {
      const scores = Object.assign({}, ...all) as Scores;
      return Object.keys(scores).length === 0 ? null : scores;
    });
  }

  /** What all callbacks find. */
  diagnose(): Finding[] {
    return this.#list.flatMap((callback) => {
      try {
        return callback.diagnose?.() ?? [];
      } catch (error) {
        throw named(callback, "diagnose", error);
      }
    });
  }

  /** The states by name, of those that have one. */
  async state(): Promise<Record<string, unknown>> {
    const states: Record<string, unknown> = {};
    for (const callback of this.#list) {
      if (callback.stateDict === undefined) continue;
      try {
        states[callback.name] = await callback.stateDict();
      } catch (error) {
        throw named(callback, "stateDict", error);
      }
    }
    return states;
  }

  /** Hands states to the callbacks of their names. */
  async load(states: Readonly<Record<string, unknown>>): Promise<void> {
    for (const callback of this.#list) {
      if (callback.loadStateDict === undefined || !Object.hasOwn(states, callback.name)) continue;
      try {
        await callback.loadStateDict(states[callback.name]);
      } catch (error) {
        throw named(callback, "loadStateDict", error);
      }
    }
  }
}

const invoke = (callback: Callback, hook: Hook, args: readonly unknown[]): unknown =>
  (callback[hook] as (...args: unknown[]) => unknown).apply(callback, args as unknown[]);

const isPromise = (x: unknown): x is PromiseLike<unknown> =>
  typeof (x as { then?: unknown } | null)?.then === "function";

const named = (callback: Callback, hook: Hook, error: unknown): Error =>
  new Error(
    `fit: the callback ${callback.name} failed in ${hook}: ${error instanceof Error ? error.message : String(error)}`,
    { cause: error },
  );
