/** Architecture search, as users import it: `import { nas } from "napier"`. */
export { type AloneOptions, accuracy, type Classifier, trainAlone } from "./alone.js";
export type { Batches } from "./batches.js";
export { type DartsLosses, type DartsOptions, type DartsResult, darts } from "./darts.js";
export { CellNetwork, type CellNetworkOptions, SuperNetwork } from "./network.js";
export {
  type Evaluate,
  type Evaluated,
  type EvolutionOptions,
  evolve,
  type NasOptions,
  randomSearch,
  type SearchResult,
} from "./search.js";
export { EDGES, type Genotype, NODES, OPERATIONS, type Operation } from "./space.js";
