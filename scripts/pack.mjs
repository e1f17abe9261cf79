// Around npm pack: binding.gyp travels as native/binding.gyp, because npm would build on install where it finds one at the
// root. prepack: `node scripts/pack.mjs`, postpack: `node scripts/pack.mjs --clean`.
import { copyFileSync, existsSync, rmSync } from "node:fs";

if (process.argv.includes("--clean")) {
  rmSync("native/binding.gyp", { force: true });
} else {
  if (!existsSync("prebuilds"))
    console.error('napier: prebuilds/ is missing, the package will have no binary. Run "npm run binaries" first.');
  copyFileSync("binding.gyp", "native/binding.gyp");
}
