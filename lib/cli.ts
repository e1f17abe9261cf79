#!/usr/bin/env node
/**
 * The command line: `napier COMMAND [options]`. Commands are loaded when they are asked for, so that help, doctor and
 * build work where the native addon does not.
 */
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Failure, UsageError } from "./cli/usage.js";

interface Command {
  help: string;
  /** Answers the exit code. */
  run(args: string[]): Promise<number>;
}

const COMMANDS: Record<string, { summary: string; load: () => Promise<Command> }> = {
  train: { summary: "train a network on a data set", load: () => import("./cli/train.js") },
  eval: { summary: "test a trained network", load: () => import("./cli/eval.js") },
  quickstart: {
    summary: "train a small network on drawn digits: a minute, no data needed",
    load: () => import("./cli/quickstart.js"),
  },
  doctor: { summary: "what napier runs on here: versions, CPU, threads, GPU", load: () => import("./cli/doctor.js") },
  build: { summary: "build the native addon for this machine", load: () => import("./cli/build.js") },
};

const HELP = `napier: a deep learning engine for Node.js

Usage: napier COMMAND [options]

${Object.entries(COMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(12)}${summary}`)
  .join("\n")}

"napier COMMAND --help" lists a command's options.`;

/** Runs a command line; answers the exit code. Wrong usage is 2, failure 1, Ctrl+C 130. */
export async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  try {
    if (name === undefined || name === "help" || name === "--help" || name === "-h") {
      console.log(HELP);
      return 0;
    }
    if (name === "--version" || name === "-v") {
      const { version } = await import("./cli/package.js");
      console.log(version);
      return 0;
    }
    if (!Object.hasOwn(COMMANDS, name)) {
      throw new UsageError(
        `napier: there is no command "${name}"; there are ${Object.keys(COMMANDS).join(", ")}. See "napier --help".`,
      );
    }
    const command = await COMMANDS[name]!.load();
    if (rest.includes("--help") || rest.includes("-h")) {
      console.log(command.help);
      return 0;
    }
    return await command.run(rest);
  } catch (error) {
    if (error instanceof UsageError || error instanceof Failure) {
      console.error(error.message);
      return error instanceof UsageError ? 2 : 1;
    }
    console.error(error instanceof Error && !process.env.NAPIER_DEBUG ? `napier: ${error.message}` : error);
    return 1;
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).then((code) => {
    process.exitCode = code;
  });
}
