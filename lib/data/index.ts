/** Data sets, loaders and transforms, as users import them: `import { data } from "napier"`. */
export { type CaptionDatasetOptions, captionDataset } from "./captions.js";
export {
  CIFAR10_CLASSES,
  CIFAR100_CLASSES,
  CIFAR100_SUPERCLASSES,
  type Cifar100Split,
  readCifar10,
  readCifar100,
} from "./cifar.js";
export { collate, collatePadded, type Field, type PadOptions } from "./collate.js";
export {
  ConcatDataset,
  type Dataset,
  ExampleDataset,
  randomSplit,
  Subset,
  TensorDataset,
  type TensorDatasetOptions,
  type WorkerSource,
} from "./dataset.js";
export type { DownloadOptions, DownloadProgress } from "./download.js";
export type { Pass, SampleKey } from "./draws.js";
export {
  CenterCrop,
  type Filter,
  RandomAffine,
  type RandomAffineOptions,
  RandomPerspective,
  type RandomPerspectiveOptions,
  RandomResizedCrop,
  type RandomResizedCropOptions,
  RandomRotation,
  Resize,
  type WarpOptions,
} from "./geometry.js";
export { GLYPH_SIZE, type GlyphOptions, glyphImages } from "./glyphs.js";
export { type Idx, parseIdx, readIdx } from "./idx.js";
export { ImageFolder, type ImageFolderOptions, imageFolder, type SkippedFile } from "./imageFolder.js";
export { JsonLinesDataset, type JsonLinesOptions, jsonLines } from "./jsonLines.js";
export { DataLoader, type DataLoaderOptions, type DataLoaderState } from "./loader.js";
export {
  type BatchTransform,
  CutMix,
  Cutout,
  type MixOptions,
  MixUp,
  RandomErasing,
  type RandomErasingOptions,
} from "./mix.js";
export type { PlainField } from "./plain.js";
export { AutoAugment, RandAugment, type RandAugmentOptions, TrivialAugmentWide } from "./policies.js";
export {
  ColorJitter,
  type ColorJitterOptions,
  GaussianBlur,
  type Jitter,
  RandomAdjustSharpness,
  RandomAutocontrast,
  RandomEqualize,
  RandomGrayscale,
  RandomInvert,
  RandomPosterize,
  RandomSolarize,
} from "./recolour.js";
export {
  type Batches,
  BatchSampler,
  DistributedSampler,
  type DistributedSamplerOptions,
  RandomSampler,
  type Sampler,
  SequentialSampler,
  StratifiedSampler,
  WeightedRandomSampler,
} from "./samplers.js";
export {
  isHeldOut,
  SCENE_COLOURS,
  SCENE_KINDS,
  type Scene,
  type SceneObject,
  type SceneOptions,
  type SceneSets,
  type SceneSplit,
  sceneCaption,
  scenes,
} from "./scenes.js";
export {
  type Cifar100Options,
  cifar10,
  cifar100,
  fashionMnist,
  type GlyphSetOptions,
  glyphs,
  type ImageSetOptions,
  type ImageSets,
  mnist,
  type NamedSetOptions,
} from "./sets.js";
export { IterableDataset, type IterableDatasetOptions } from "./stream.js";
export { type ColumnType, type CsvOptions, csvDataset, TableDataset } from "./table.js";
export {
  type BytePairOptions,
  type BytePairState,
  BytePairTokenizer,
  CAPTION_TOKENS,
  CharTokenizer,
  GPT2_PATTERN,
  type Tokenizer,
  WordTokenizer,
} from "./tokenizer.js";
export { TokenWindows } from "./tokens.js";
export {
  Compose,
  Normalize,
  RandomCrop,
  RandomHorizontalFlip,
  RandomVerticalFlip,
  ToFloat,
  type Transform,
} from "./transforms.js";
export {
  type DinoViewsOptions,
  dinoViews,
  RandomApply,
  type SimclrAugmentOptions,
  simclrAugment,
  Views,
} from "./views.js";
export type { WorkerDataset, WorkerModule } from "./worker.js";
