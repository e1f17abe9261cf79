/** Every optimizer, by name, as the tests of this folder make them. */
import { optim, type Tensor } from "napier";

export const makes = {
  "SGD with momentum": (ps: Tensor[]) => new optim.SGD(ps, { lr: 0.05, momentum: 0.9, dampening: 0.2 }),
  Adam: (ps: Tensor[]) => new optim.Adam(ps, { lr: 0.05 }),
  AdamW: (ps: Tensor[]) => new optim.AdamW(ps, { lr: 0.05 }),
  "Adam with amsgrad": (ps: Tensor[]) => new optim.Adam(ps, { lr: 0.05, amsgrad: true }),
  RMSprop: (ps: Tensor[]) => new optim.RMSprop(ps, { lr: 0.05, momentum: 0.5, centered: true, eps: 1e-3 }),
  Adagrad: (ps: Tensor[]) => new optim.Adagrad(ps, { lr: 0.05, initialAccumulatorValue: 0.1 }),
  Adadelta: (ps: Tensor[]) => new optim.Adadelta(ps),
  Adamax: (ps: Tensor[]) => new optim.Adamax(ps),
  NAdam: (ps: Tensor[]) => new optim.NAdam(ps),
  RAdam: (ps: Tensor[]) => new optim.RAdam(ps),
  LAMB: (ps: Tensor[]) => new optim.LAMB(ps),
  Lion: (ps: Tensor[]) => new optim.Lion(ps),
  ASGD: (ps: Tensor[]) => new optim.ASGD(ps),
  Muon: (ps: Tensor[]) => new optim.Muon(ps, { lr: 0.05 }),
};
