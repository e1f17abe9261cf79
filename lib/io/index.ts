/** Files of tensors, as users import them: `import { io } from "napier"`. */
export { appendLine, type Chunks, writeFileAtomic } from "./atomic.js";
export { type FileSummary, inspect, load, loadNpy, type SaveOptions, save, saveNpy } from "./tensors.js";
