/** The parent's side of a contender: a process that answers {case, budget} lines with {ms} lines (contenders/serve.ts). */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Case } from "./cases.js";
import type { Answer } from "./contenders/serve.js";

export interface Contender {
  name: string;
  run(c: Case, budget: number): Promise<Answer>;
  close(): void;
}

export function contender(name: string, command: string, args: string[], env: NodeJS.ProcessEnv = {}): Contender {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, ...env } });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name,
    async run(c, ms) {
      child.stdin.write(`${JSON.stringify({ c, budget: ms })}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`${name} ended at ${c.name}`);
      const answer = JSON.parse(value) as Answer;
      if (answer.error) console.error(`  ${name}, ${c.name}: ${answer.error}`);
      return answer;
    },
    close: () => child.stdin.end(),
  };
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
/** The folder of the rivals' scripts. */
export const rivals = here("../../../bench/rivals/");
/** Debian's interpreter, whose packages are the rivals. */
export const python = "/usr/bin/python3";

/** A script of bench/contenders in a process of its own. */
export const node = (name: string, script: string, args: string[] = [], env: NodeJS.ProcessEnv = {}): Contender =>
  contender(name, process.execPath, [here(`./contenders/${script}`), ...args], env);

/** napier in a process of its own. */
export const ours = (name = "napier", env: NodeJS.ProcessEnv = {}): Contender => node(name, "napier.js", [], env);
