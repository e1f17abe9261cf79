// npm run example -- NAME [ARGUMENTS]: compiles examples/ and runs one.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";

const [name, ...args] = process.argv.slice(2);
const names = readdirSync("examples").flatMap((f) => (f.endsWith(".ts") ? [f.slice(0, -3)] : []));
if (!names.includes(name)) {
  console.error(`npm run example -- NAME: expected one of ${names.join(", ")}, got ${name ?? "nothing"}`);
  process.exit(2);
}
for (const project of ["tsconfig.json", "examples/tsconfig.json"]) {
  const { status } = spawnSync("npx", ["tsc", "-p", project], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
process.exit(spawnSync(process.execPath, [`build/examples/${name}.js`, ...args], { stdio: "inherit" }).status ?? 1);
