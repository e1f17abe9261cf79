/**
 * deadUnits(): units behind ReLUs that did not fire once in an epoch.
 */

import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { unscoped } from "../memory.js";
import { type Module, ReLU, ReLU6 } from "../nn/index.js";
import { lessEqual, maximum } from "../ops/arithmetic.js";
import { amax, sum } from "../ops/reduce.js";
import { Tensor } from "../tensor.js";
import type { Callback } from "./callbacks.js";
import { type Finding, figure } from "./diagnosis.js";
import type { Scores } from "./events.js";

/** Options of deadUnits. */
export interface DeadUnitsOptions {
  /** Steps between those that are watched. Default 1: a unit that fires once in the epoch is alive. */
  every?: number;
  /** The share of dead units from which a layer is a finding. Default 0.1. */
  threshold?: number;
  /** Which modules are watched. Default: nn.ReLU and nn.ReLU6. */
  modules?: (module: Module, name: string) => boolean;
  /** Which axis of a module's output counts its units. Default: 1, and the last one of outputs with three dimensions. */
  axis?: number;
}

interface State {
  most: Record<string, Tensor>;
  counts: Record<string, [dead: number, units: number]>;
}

/**
 * Watches ReLUs for units that are dead: whose output is never above 0 in a whole epoch of training, so that no gradient
 * reaches them any more. A unit is a channel, or a feature. The largest output of each unit is kept on the device (one pass
 * over the outputs of a watched step); nothing is copied. Epoch events carry the share of dead units as `deadUnits/MODULE`;
 * the second call of a module in one forward is `MODULE#2`. ReLUs that are functions, x.relu(), are not seen.
 *
 * A layer with a tenth of its units dead is a finding (CS231n's notes tell of networks with 40 %, for a learning rate that
 * is too high); for what ReLUs do to a network see Glorot, Bordes & Bengio, "Deep sparse rectifier neural networks", 2011.
 *
 * @throws ShapeError for options out of range
 * @example
 * const model = new nn.Sequential(new nn.Linear(2, 8), new nn.ReLU(), new nn.Linear(8, 1));
 * const trainer = new train.Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }), loss: nn.mse });
 * const loader = new data.DataLoader(new data.TensorDataset([randn([64, 2]), randn([64, 1])]), { batchSize: 8 });
 * for await (const event of trainer.fit(loader, { epochs: 2, callbacks: [train.deadUnits()] }))
 *   if (event.type === "epoch") console.log(event.measured?.["deadUnits/1"]);
 */
export function deadUnits({ every = 1, threshold = 0.1, modules = isRelu, axis }: DeadUnitsOptions = {}): Callback {
  expect(Number.isSafeInteger(every) && every >= 1, "deadUnits", "every to be a whole number from 1 up", `${every}`);
  expect(threshold > 0 && threshold <= 1, "deadUnits", "threshold above 0 and up to 1", `${threshold}`);
  let state: State = { most: {}, counts: {} };
  let unhook: (() => void)[] = [];
  const calls = new Map<string, number>();

  /** Takes in the output of a module. */
  const see = (name: string, output: Tensor) => {
    const call = (calls.get(name) ?? 0) + 1;
    calls.set(name, call);
    const key = call === 1 ? name : `${name}#${call}`;
    const units = axis ?? (output.ndim === 3 ? 2 : 1);
    const kept = units < 0 ? units + output.ndim : units;
    const others = output.shape.map((_, i) => i).filter((i) => i !== kept);
    unscoped(() =>
      noGrad(() => {
        const plain = output.detach();
        const top = amax(plain, others);
        plain.free();
        const known = state.most[key];
        state.most[key] = known ? maximum(known, top) : top;
        if (known) for (const t of [known, top]) t.free();
      }),
    );
  };
  const end = () => {
    for (const remove of unhook.splice(0)) remove();
    for (const t of Object.values(state.most)) t.free();
    state.most = {};
  };

  return {
    name: "deadUnits",
    onFitStart(run) {
      if (!run.resumed) state = { most: {}, counts: {} };
      const watched = run.model.namedModules().filter(([name, m]) => m !== run.model && modules(m, name));
      unhook = watched.map(([name, m]) =>
        m.registerForwardHook((module, _, output) => {
          if (!module.training || run.step % every !== 0 || !(output instanceof Tensor) || output.ndim < 2) return;
          see(name, output);
        }),
      );
      unhook.push(
        run.model.registerForwardPreHook(() => {
          calls.clear();
          return undefined;
        }),
      );
    },
    async measure(when): Promise<Scores | undefined> {
      if (when !== "epoch") return undefined;
      const entries = Object.entries(state.most);
      state.most = {};
      const reads = unscoped(() =>
        noGrad(() =>
          entries.map(async ([, top]) => {
            const below = lessEqual(top, 0);
            const dead = sum(below);
            for (const t of [below, top]) t.free();
            const count = dead.item();
            dead.free();
            return count;
          }),
        ),
      );
      const counts = await Promise.all(reads);
      state.counts = Object.fromEntries(entries.map(([key, top], i) => [key, [counts[i]!, top.size]]));
      return Object.fromEntries(entries.map(([key, top], i) => [`deadUnits/${key}`, counts[i]! / top.size]));
    },
    diagnose: () =>
      Object.entries(state.counts).flatMap(([name, [dead, units]]): Finding[] =>
        dead / units < threshold
          ? []
          : [
              {
                kind: "deadUnits",
                where: name,
                message: `${name}: ${dead} of ${units} units did not fire once in the last epoch (bound ${figure(100 * threshold)} %): lower the learning rate, or start the bias above 0`,
              },
            ],
      ),
    onFitEnd: end,
    onException: end,
    stateDict: () => ({ most: { ...state.most }, counts: state.counts }),
    loadStateDict: (saved) => void (state = saved as State),
  };
}

const isRelu = (module: Module): boolean => module instanceof ReLU || module instanceof ReLU6;
