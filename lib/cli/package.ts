/** This package: where it lies, and its version. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder with package.json. */
export const packageRoot = fileURLToPath(new URL("../..", import.meta.url));

export const { version } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string };

/** A checkout has the source of the build beside it; an installed package has native/binding.gyp instead. */
export const isCheckout = existsSync(join(packageRoot, "binding.gyp"));
