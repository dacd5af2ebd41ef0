// What a network made of the test images when it was tested: its stored logits, and what follows from them.

import { softmaxOf } from "./operations.js";

export class Predictions {
  constructor(payload, place) {
    const logits = payload.array(`${place}/logits`);
    const [count, classes] = payload.shape(`${place}/logits`);
    const labels = payload.array("labels");
    this.classes = classes;
    this.about = payload.about.networks[place];
    this.confusion = payload.array(`${place}/confusion`);
    this.probabilities = new Float32Array(logits.length);
    this.predicted = payload.array(`${place}/predicted`); // of logits in full precision, whatever ties there are here
    this.confidence = new Float32Array(count);
    this.loss = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const row = softmaxOf(logits.subarray(i * classes, (i + 1) * classes));
      this.probabilities.set(row, i * classes);
      this.confidence[i] = row[this.predicted[i]];
      this.loss[i] = -Math.log(Math.max(row[labels[i]], 1e-12));
    }
  }

  of(place) {
    return this.probabilities.subarray(place * this.classes, (place + 1) * this.classes);
  }
}

export const SORTS = {
  confident: "most confident first",
  unsure: "least confident first",
  loss: "largest loss first",
  number: "by number",
};

/** Places of the images that fit a filter, in the order that is asked for. */
export function matching(filter, sort, predictions, labels, among = null) {
  const { predicted, confidence, loss } = predictions;
  const found = [];
  const fits = (i) =>
    (filter.kind === "all" || (predicted[i] === labels[i]) === (filter.kind === "correct")) &&
    (filter.label === null || labels[i] === filter.label) &&
    (filter.predicted === null || predicted[i] === filter.predicted) &&
    confidence[i] >= filter.from &&
    confidence[i] <= filter.to;
  const candidates = among ?? labels.keys();
  for (const i of candidates) if (fits(i)) found.push(i);
  const by = {
    confident: (a, b) => confidence[b] - confidence[a],
    unsure: (a, b) => confidence[a] - confidence[b],
    loss: (a, b) => loss[b] - loss[a],
    number: () => 0,
  }[sort];
  return found.sort((a, b) => by(a, b) || a - b);
}

export const NO_FILTER = Object.freeze({ kind: "all", label: null, predicted: null, from: 0, to: 1 });
