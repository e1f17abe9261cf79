/**
 * DINO, self-distillation with no labels (Caron et al., "Emerging properties in self-supervised vision transformers", 2021):
 * a student says of every view of a picture what its teacher says of another, and the teacher is the student's average.
 *
 *     all views    -> student: encoder -> head -> / student temperature -> log softmax
 *     global views -> teacher: encoder -> head -> - centre, / teacher temperature -> softmax, no gradient
 *     loss: cross-entropy of each student's view with each other view's teacher
 *     after a step: teacher = m teacher + (1 - m) student, m by a cosine to 1; centre = a running mean of what the teacher says
 *
 *     head: Linear -> GELU -> Linear -> GELU -> Linear(bottleneck) -> unit length -> weight-normalised Linear(out)
 *
 * Centring alone makes all answers even, the teacher's low temperature (sharpening) alone makes them one and the same: the
 * two keep each other from collapsing. The head's last layer may wait until the features are worth something (the paper: one
 * epoch). The head's keys are those of the paper's code (mlp.0.weight, last_layer.weight_v).
 */
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { live, noteChange } from "../live.js";
import { k } from "../native.js";
import { GELU } from "../nn/activation.js";
import { Sequential } from "../nn/container.js";
import * as init from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { BatchNorm1d } from "../nn/norm.js";
import type { Parameter } from "../nn/parameter.js";
import { weightNorm } from "../nn/parametrise.js";
import { written } from "../ops/common.js";
import { full, zeros } from "../ops/create.js";
import { normalize } from "../ops/distance.js";
import { fill_, lerp_ } from "../ops/inplace.js";
import { linear } from "../ops/matmul.js";
import { cat } from "../ops/shape.js";
import { logSoftmax, softmax } from "../ops/softmax.js";
import type { Tensor } from "../tensor.js";
import { wholeNumber } from "./options.js";
import { initTransformer } from "./vit.js";

/** Options of DINOHead. */
export interface DINOHeadOptions {
  /** Answers, "prototypes", that the student shares with its teacher. Default 65,536; hundreds do for small sets. */
  out?: number;
  /** Linear layers before the last one. Default 3. */
  layers?: number;
  /** Units of each but the last of them. Default 2,048. */
  hidden?: number;
  /** Units of the last of them. Default 256. */
  bottleneck?: number;
  /** Whether hidden layers are normalised over the batch. Default false. */
  batchNorm?: boolean;
  /** Whether the last layer's rows keep length 1: steadier, for a little accuracy. Default true. */
  normLastLayer?: boolean;
}

/** A layer that may have no gradient for a while. */
class LastLayer extends Linear {
  frozen = false;

  override forward(x: Tensor): Tensor {
    return this.frozen ? linear(x, this.weight.detach()) : super.forward(x);
  }
}

/**
 * DINO's projection head (Caron et al. 2021, appendix C).
 *
 * @example
 * const head = new models.DINOHead(16, { out: 32, hidden: 24, bottleneck: 8 });
 * const answers = head.forward(randn([4, 16])); // [4, 32]
 */
export class DINOHead extends Module {
  /** Features to the bottleneck. */
  readonly mlp: Sequential;
  /** Rows of unit length against unit vectors: cosines, where normLastLayer is set. */
  readonly lastLayer: Linear;

  /**
   * Random weights, from the default generator.
   *
   * @param features that come in
   */
  constructor(
    features: number,
    {
      out = 65_536,
      layers = 3,
      hidden = 2048,
      bottleneck = 256,
      batchNorm = false,
      normLastLayer = true,
    }: DINOHeadOptions = {},
  ) {
    super();
    for (const [name, n] of Object.entries({ features, out, layers, hidden, bottleneck }))
      wholeNumber("DINOHead", name, n);
    const widths = [features, ...Array<number>(layers - 1).fill(hidden), bottleneck];
    this.mlp = new Sequential(
      ...Array.from({ length: layers }, (_, i): Layer[] => {
        const linear = new Linear(widths[i]!, widths[i + 1]!);
        return i === layers - 1 ? [linear] : [linear, ...(batchNorm ? [new BatchNorm1d(hidden)] : []), new GELU()];
      }).flat(),
    );
    initTransformer(this.mlp);
    this.lastLayer = weightNorm(new LastLayer(bottleneck, out, { bias: false }));
    this.registerKey("lastLayer", "last_layer");
    const lengths = (this.lastLayer as unknown as { weight_g: Parameter }).weight_g;
    init.ones_(lengths);
    if (normLastLayer) lengths.requiresGrad_(false);
  }

  /** Whether the last layer has no gradient: optimizers then pass it over, weight decay included. DINO.schedule() sets it. */
  get frozen(): boolean {
    return (this.lastLayer as LastLayer).frozen;
  }
  /** Captured steps are recorded anew where it changes. */
  set frozen(frozen: boolean) {
    if (frozen === this.frozen) return;
    (this.lastLayer as LastLayer).frozen = frozen;
    noteChange();
  }

  /** [n, features] to [n, out] */
  forward(x: Tensor): Tensor {
    return this.lastLayer.forward(normalize(this.mlp.forward(x)));
  }
}

/** Options of dinoLoss. */
export interface DinoLossOptions {
  /** [1, out], taken from the teacher's answers. Default none. */
  center?: Tensor | null;
  /** Default 0.1. */
  studentTemperature?: number;
  /** Below the student's: its answers are sharper. A tensor of one element may change within captured steps. Default 0.04. */
  teacherTemperature?: number | Tensor;
}

/**
 * Cross-entropy of the student's answers with the teacher's for another view, a mean over all such pairs and the batch:
 *
 *     l(t, s) = -sum softmax((t - centre) / teacher temperature) log softmax(s / student temperature)
 *
 * @param student [n, out] for each view
 * @param teacher [n, out] for each global view, the first of the student's; no gradient goes there
 * @example
 * const [a, b] = [randn([4, 16]), randn([4, 16])];
 * const loss = models.dinoLoss([a, b], [a, b], { center: zeros([1, 16]) });
 */
export function dinoLoss(
  student: readonly Tensor[],
  teacher: readonly Tensor[],
  { center = null, studentTemperature = 0.1, teacherTemperature = 0.04 }: DinoLossOptions = {},
): Tensor {
  const op = "dinoLoss";
  expect(
    teacher.length >= 1 && student.length >= Math.max(2, teacher.length),
    op,
    "two views of the student or more, the teacher's first",
    `${student.length} of the student, ${teacher.length} of the teacher`,
  );
  const shape = show(student[0]!.shape);
  const alike = [...student, ...teacher].every((x) => x.ndim === 2 && show(x.shape) === shape);
  expect(alike, op, "answers [n,out] of one shape", [...student, ...teacher].map((x) => show(x.shape)).join(" "));
  expect(studentTemperature > 0, op, "a studentTemperature above 0", `${studentTemperature}`);
  if (typeof teacherTemperature === "number")
    expect(teacherTemperature > 0, op, "a teacherTemperature above 0", `${teacherTemperature}`);
  const targets = noGrad(() =>
    teacher.map((x) => softmax((center ? x.sub(center) : x).detach().div(teacherTemperature))),
  );
  const answers = student.map((x) => logSoftmax(x.div(studentTemperature)));
  let sum: Tensor | null = null;
  let pairs = 0;
  for (const [t, target] of targets.entries())
    for (const [s, answer] of answers.entries()) {
      if (s === t) continue;
      const one = target.mul(answer).sum();
      sum = sum ? sum.add(one) : one;
      pairs++;
    }
  return sum!.div(-pairs * student[0]!.shape[0]!);
}

/** Options of DINO. */
export interface DINOOptions {
  /** Features that an encoder answers. */
  features: number;
  /** Of both heads. */
  head?: DINOHeadOptions;
  /** Default 0.1. */
  studentTemperature?: number;
  /** At the beginning and, after `temperatureWarmup`, for the rest. Default [0.04, 0.04]. */
  teacherTemperature?: readonly [number, number];
  /** Share of the training in which the teacher's temperature rises. Default 0.3. */
  temperatureWarmup?: number;
  /** What the teacher keeps of itself at a step, at the beginning; a cosine leads to 1. Default 0.996. */
  momentum?: number;
  /** What the centre keeps of itself at a step. Default 0.9. */
  centerMomentum?: number;
  /**
   * Share of the training, at its beginning, in which the head's last layer stays as it is. The paper's is one epoch, 0.01
   * of 100; it helps where the loss does not fall at first. Default 0.
   */
  freezeLastLayer?: number;
}

/** An encoder and its head. */
class Tower extends Module {
  constructor(
    readonly encoder: Layer,
    readonly head: DINOHead,
  ) {
    super();
  }

  /** Answers for views, one batch for neighbours of one size. */
  answers(views: readonly Tensor[]): Tensor[] {
    const n = views[0]!.shape[0]!;
    const runs: Tensor[][] = [];
    for (const view of views) {
      const last = runs.at(-1);
      if (last && show(last[0]!.shape) === show(view.shape)) last.push(view);
      else runs.push([view]);
    }
    const features = runs.map((run) => this.encoder.forward(run.length === 1 ? run[0]! : cat(run, 0)));
    const all = this.forward(features.length === 1 ? features[0]! : cat(features, 0));
    return views.map((_, v) => all.slice([v * n, (v + 1) * n]));
  }

  /** Features to answers. */
  forward(features: Tensor): Tensor {
    return this.head.forward(features);
  }
}

/**
 * Student and teacher (Caron et al. 2021). train.SelfSupervisedTrainer trains it; what is kept is the teacher's encoder.
 * Local views that are smaller need an encoder of any size: convolutions, or VisionTransformer with dynamicImageSize.
 *
 * @example
 * const encoder = () => new nn.Sequential(new nn.Flatten(), new nn.Linear(48, 16));
 * const model = new models.DINO(encoder, { features: 16, head: { out: 32, hidden: 16, bottleneck: 8 } });
 * const loss = model.loss([randn([4, 3, 4, 4]), randn([4, 3, 4, 4])]);
 */
export class DINO extends Module {
  /** Learns by gradients. */
  readonly student: Tower;
  /** The student's running average; learns nothing by itself. */
  readonly teacher: Tower;
  /** A running mean of the teacher's answers, [1, out]. */
  declare readonly center: Tensor;
  /** The teacher's temperature, now, []. */
  declare readonly temperature: Tensor;
  /** What the teacher keeps of itself at the next update(). */
  momentum: number;
  readonly #options: Required<Omit<DINOOptions, "features" | "head">>;

  /**
   * Both begin with the same weights, drawn from the default generator.
   *
   * @param encoder makes a network of pictures to [n, features]; called twice
   */
  constructor(
    encoder: () => Layer,
    {
      features,
      head = {},
      studentTemperature = 0.1,
      teacherTemperature = [0.04, 0.04],
      temperatureWarmup = 0.3,
      momentum = 0.996,
      centerMomentum = 0.9,
      freezeLastLayer = 0,
    }: DINOOptions,
  ) {
    super();
    for (const [name, share] of Object.entries({ temperatureWarmup, momentum, centerMomentum, freezeLastLayer }))
      expect(share >= 0 && share <= 1, "DINO", `${name} from 0 to 1`, `${share}`);
    expect(
      [studentTemperature, ...teacherTemperature].every((t) => t > 0),
      "DINO",
      "temperatures above 0",
      `${studentTemperature} and ${teacherTemperature}`,
    );
    this.#options = {
      studentTemperature,
      teacherTemperature,
      temperatureWarmup,
      momentum,
      centerMomentum,
      freezeLastLayer,
    };
    this.student = new Tower(encoder(), new DINOHead(features, head));
    this.teacher = new Tower(encoder(), new DINOHead(features, head));
    this.teacher.loadStateDict(this.student.stateDict());
    this.teacher.requiresGrad_(false);
    const out = this.teacher.head.lastLayer.outFeatures;
    this.registerBuffer("center", zeros([1, out]));
    this.registerBuffer("temperature", full([], teacherTemperature[0]), { persistent: false });
    this.momentum = momentum;
  }

  /** Pictures to the student's answers, [n, out]. */
  forward(x: Tensor): Tensor {
    return this.student.answers([x])[0]!;
  }

  /** Pictures to what is kept: the teacher's features. */
  encode(x: Tensor): Tensor {
    return this.teacher.encoder.forward(x);
  }

  /**
   * The loss of views of n pictures, the first two of them global; moves the centre by what the teacher says of those.
   *
   * @param views [n, c, h, w]; the batch norms of the student run over neighbours of one size together
   */
  loss(views: readonly Tensor[]): Tensor {
    expect(views.length >= 2, "DINO", "two views or more", `${views.length}`);
    const [first] = views as [Tensor];
    const n = first.shape[0];
    expect(
      views.every((v) => v.shape[0] === n) && show(views[1]!.shape) === show(first.shape),
      "DINO",
      `views of ${n} pictures each, the first two of one shape`,
      views.map((v) => show(v.shape)).join(" "),
    );
    const { studentTemperature, centerMomentum } = this.#options;
    const teacher = noGrad(() => this.teacher.answers(views.slice(0, 2)));
    const { center, temperature: teacherTemperature } = this;
    const loss = dinoLoss(this.student.answers(views), teacher, { center, studentTemperature, teacherTemperature });
    noGrad(() => lerp_(center, cat(teacher, 0).mean(0, { keepDims: true }), 1 - centerMomentum));
    return loss;
  }

  /**
   * Sets the momentum, the teacher's temperature and whether the student's last layer is frozen, for a share of the training,
   * 0 to 1, that is done.
   */
  schedule(progress: number): void {
    const { momentum, teacherTemperature, temperatureWarmup, freezeLastLayer } = this.#options;
    this.student.head.frozen = progress < freezeLastLayer;
    this.momentum = 1 - ((1 - momentum) * (1 + Math.cos(Math.PI * progress))) / 2;
    const [from, to] = teacherTemperature;
    const warm = temperatureWarmup === 0 ? 1 : Math.min(1, progress / temperatureWarmup);
    noGrad(() => fill_(this.temperature, from + (to - from) * warm));
  }

  /** Takes the student's weights into the teacher's: after each step of the optimizer. */
  update(): void {
    const [averages, values] = [this.teacher.parameters(), this.student.parameters()];
    noGrad(() =>
      k.ema(
        averages,
        values,
        live(() => this.momentum),
      ),
    );
    for (const p of averages) written(p);
  }
}
