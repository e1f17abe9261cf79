/**
 * profile(): runs a function and measures each kernel call in it, natively, with the module that made it.
 */
import { performance } from "node:perf_hooks";
import { addon } from "../native.js";
import type { Module } from "../nn/index.js";
import { nameModules } from "../nn/scopes.js";
import { unwatchTimes, watch, watchTimes } from "../watch.js";
import { Profile } from "./profile.js";
import { Steps } from "./spans.js";

export {
  type Call,
  type ModuleProfile,
  type OpProfile,
  Profile,
  type ProfileSums,
  type TableOptions,
} from "./profile.js";

/** Options of profile. */
export interface ProfileOptions {
  /** Whose modules are named by their path in it. Default: that of the module which is called first. */
  model?: Module;
  /** Calls that are kept, of about 90 bytes each; those beyond are counted as dropped. Default a million. */
  maxCalls?: number;
}

const MOST = 10_000_000;
let running = false;

/** A profile that is being measured: what profile() is made of, for code that has no one function to run. */
export class Profiler {
  readonly #steps: Steps;
  readonly #before = performance.eventLoopUtilization();
  #stopped = false;

  /**
   * Measures from now on.
   *
   * @throws Error where another profile of this thread is being measured; RangeError for wrong options
   */
  constructor({ model, maxCalls = 1_000_000 }: ProfileOptions = {}) {
    if (!(Number.isSafeInteger(maxCalls) && maxCalls >= 1 && maxCalls <= MOST))
      throw new RangeError(`profile: expected maxCalls from 1 to ${MOST}, got ${maxCalls}`);
    if (running)
      throw new Error(
        "profile: this thread is being profiled already; await that profile() first, or profile around both",
      );
    this.#steps = new Steps(maxCalls);
    running = true;
    watchTimes(maxCalls, this.#steps.hear);
    if (model) nameModules(model);
  }

  /** Waits for the calls so far, and ends. */
  async stop<T = undefined>(result?: T): Promise<Profile<T>> {
    if (this.#stopped) throw new Error("profile: this profile has ended");
    this.#stopped = true;
    try {
      await addon.settled();
      const wall = addon.enter(watch.tag);
      const { idle } = performance.eventLoopUtilization(this.#before);
      return new Profile(result as T, addon.records(), this.#steps, wall, idle * 1e6);
    } finally {
      this.#end();
    }
  }

  /** Ends without a result. */
  cancel(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    addon.records();
    this.#end();
  }

  #end(): void {
    unwatchTimes();
    running = false;
  }
}

/**
 * Runs `fn` and measures what its kernels cost, by op and by module, forward and backward. Everything that this thread
 * calls meanwhile is counted, until `fn`'s result is there and its kernels are done. Costs about a microsecond a call.
 *
 * @example
 * const model = new nn.Sequential(new nn.Linear(16, 32), new nn.ReLU(), new nn.Linear(32, 4));
 * const measured = await profile(() => model.forward(randn([8, 16])).square().mean().backward());
 * console.log(measured.toString({ rows: 5 }));
 * const first = measured.modules.find((m) => m.name === "0" && !m.backward);
 * console.log(first?.calls, first?.flops, measured.memory.peak);
 * // await measured.saveChromeTrace("trace.json");
 *
 * @throws (rejects) the error of `fn`; Error where this thread is being profiled already
 */
export async function profile<T>(fn: () => T | PromiseLike<T>, options: ProfileOptions = {}): Promise<Profile<T>> {
  const profiler = new Profiler(options);
  try {
    return await profiler.stop(await fn());
  } catch (error) {
    profiler.cancel();
    throw error;
  }
}
