/**
 * `napier eval`: a saved network on the test pictures of its data set.
 */
import { inspect, load } from "../io/index.js";
import { openSets, SET_NAMES, setNameOf } from "./datasets.js";
import { testModel } from "./testing.js";
import { modelOf } from "./training.js";
import { describeOptions, Failure, readOptions, UsageError } from "./usage.js";

const OPTIONS = {
  model: { value: "FILE", help: "model.safetensors of a training run" },
  dataset: { value: "NAME", help: `${SET_NAMES.join(", ")}; default: what the model was trained on` },
  data: { value: "DIR", help: "where the files of the data set are" },
  download: { help: "fetch what is missing there, or in the user's cache without --data" },
  json: { help: "print one JSON object as the last line of stdout" },
} as const;

export const help = `napier eval: test a trained network

${describeOptions(OPTIONS)}`;

export async function run(args: string[]): Promise<number> {
  const given = readOptions("eval", OPTIONS, args);
  if (given.model === undefined)
    throw new UsageError(`napier eval: expected --model FILE, the model.safetensors of a training run.`);
  const metadata = await inspect(given.model).then(
    (file) => file.metadata,
    (error: Error) => {
      throw new Failure(`napier eval: cannot read ${given.model}: ${error.message}`);
    },
  );
  if (metadata.model === undefined) {
    throw new Failure(
      `napier eval: ${given.model} does not say which model it holds; expected the model.safetensors that "napier train" writes.`,
    );
  }
  const dataset = setNameOf("eval", given.dataset ?? metadata.dataset);
  const sets = await openSets("eval", dataset, { directory: given.data, download: given.download ?? false });
  const model = modelOf(metadata);
  model.loadStateDict(await load(given.model));
  const { scores, loss, report } = await testModel(model, sets);
  if (given.json) {
    console.log(
      JSON.stringify({
        testAccuracy: scores.accuracy,
        testLoss: loss,
        samples: scores.support,
        dataset,
        model: metadata.model,
      }),
    );
  } else {
    console.log(report);
    console.log(
      `\n${metadata.model} on ${dataset}: test accuracy ${(scores.accuracy * 100).toFixed(2)} %, loss ${loss.toFixed(4)}`,
    );
  }
  return 0;
}
