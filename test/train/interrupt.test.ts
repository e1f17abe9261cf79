import { spawn } from "node:child_process";
import { expect, test } from "vitest";

const library = new URL("../../dist/index.js", import.meta.url).href;

/** A run that stands still in a callback; sends SIGINT at the given ms after it began to train. Answers how it ended. */
function interrupted(at: number[]): Promise<{ code: number | null; signal: NodeJS.Signals | null; out: string }> {
  const program = `
    import { nn, optim, randn, tensor, train } from ${JSON.stringify(library)};
    const model = new nn.Linear(2, 2);
    const batches = { async *[Symbol.asyncIterator]() { yield [randn([2, 2]), tensor(new Int32Array([0, 1]))]; } };
    const trainer = new train.Trainer(model, { optimizer: new optim.SGD(model.parameters(), { lr: 0.1 }), loss: nn.crossEntropy });
    const wait = async () => { console.log("training"); await new Promise((resolve) => setTimeout(resolve, 1500)); };
    const { reason } = await trainer.fit(batches, { epochs: 1000, logEvery: 1, callbacks: [wait] });
    console.log(reason, process.listenerCount("SIGINT"));
  `;
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", program]);
    let out = "";
    child.stdout.on("data", (text) => {
      if (out === "") for (const ms of at) setTimeout(() => child.kill("SIGINT"), ms);
      out += text;
    });
    child.on("close", (code, signal) => resolve({ code, signal, out }));
  });
}

test("the first Ctrl+C ends the run after its step, and the listeners are gone", async () => {
  const { code, out } = await interrupted([10]);
  expect(out.trim().split("\n").at(-1)).toBe("interrupted 0");
  expect(code).toBe(0);
});

test("npm's echo of it changes nothing", async () => {
  expect((await interrupted([10, 60])).out).toContain("interrupted 0");
});

test("a second one ends the process at once", async () => {
  const { code, out } = await interrupted([10, 500]);
  expect(code).toBe(130);
  expect(out).not.toContain("interrupted");
});
