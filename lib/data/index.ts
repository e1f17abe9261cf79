/** Data sets, loaders and transforms, as users import them: `import { data } from "napier"`. */
export { CIFAR10_CLASSES, readCifar10 } from "./cifar.js";
export { collate, type Field } from "./collate.js";
export {
  ConcatDataset,
  type Dataset,
  ExampleDataset,
  randomSplit,
  Subset,
  TensorDataset,
  type TensorDatasetOptions,
} from "./dataset.js";
export { GLYPH_SIZE, type GlyphOptions, glyphImages } from "./glyphs.js";
export { type Idx, parseIdx, readIdx } from "./idx.js";
export { DataLoader, type DataLoaderOptions, type DataLoaderState } from "./loader.js";
export {
  cifar10,
  fashionMnist,
  type GlyphSetOptions,
  glyphs,
  type ImageSetOptions,
  type ImageSets,
  mnist,
} from "./sets.js";
export {
  Compose,
  Normalize,
  type Pass,
  RandomCrop,
  RandomHorizontalFlip,
  type SampleKey,
  type Transform,
} from "./transforms.js";
