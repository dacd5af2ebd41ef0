// What the worker does: run a network, and find reasons for what it says.

import { Network } from "./network.js";
import { softmaxOf } from "./operations.js";
import { Payload } from "./tensors.js";

const STEPS = 24; // of integrated gradients
const ASCENT = 60; // steps of activation maximisation

let networks = null;
const cancelled = new Set();

/** Networks of a payload, by their place in it. */
export function networksOf(payload) {
  return payload.about.networks.map(
    ({ nodes }, place) => new Network(nodes, (name) => payload.array(`${place}/weight/${name}`)),
  );
}

export async function open(text) {
  networks = networksOf(await Payload.decode(text));
}

/** Listen as a worker does. */
export function serve() {
  let opened = null;
  self.onmessage = async ({ data }) => {
    if (data.open) opened = open(data.open);
    else if (data.cancel) cancelled.add(data.cancel);
    else {
      await opened;
      answer(data, (message) => self.postMessage(message));
    }
  };
}

/** Do one task and send its result, or parts of it on the way. */
export async function answer(task, send) {
  try {
    const work = { run, attribute, excite, film }[task.kind];
    const result = await work(networks[task.network], task, async (part) => {
      if (part) send({ id: task.id, part });
      await new Promise((resolve) => setTimeout(resolve)); // other tasks, and news that this one is not wanted
      if (cancelled.delete(task.id)) throw new Cancelled();
    });
    send({ id: task.id, result });
  } catch (error) {
    send({ id: task.id, error: error instanceof Cancelled ? undefined : String(error.stack ?? error) });
  }
}

class Cancelled extends Error {}

/** Values of all nodes, and how long they took. */
function run(network, { image }) {
  const started = performance.now();
  const values = network.run(image);
  return { values, milliseconds: performance.now() - started };
}

/** Values of the first layers with the weights of another moment of the training. */
function film(network, { image, weights, until }) {
  const other = new Network(network.nodes, (name) => weights[name] ?? network.weight(name));
  return { values: other.run(image, until) };
}

/**
 * Why a network gives a logit its value: for each pixel of the image, or for Grad-CAM of a layer's maps, a number.
 * task: method, image, target (a class), node (a layer, for Grad-CAM), shape (of the image), baseline (an image).
 */
async function attribute(network, task, pause) {
  const work = { saliency, integrated, gradcam, occlusion }[task.method];
  return work(network, task, pause);
}

/** The largest absolute gradient over the channels (Simonyan et al., 2013, arXiv:1312.6034). */
function saliency(network, { image, target, shape: [channels, height, width] }) {
  const values = network.run(image);
  const [gradient] = network.gradientsOf(values, values.length - 1, target);
  const map = new Float32Array(height * width);
  for (let i = 0; i < image.length; i++) {
    map[i % map.length] = Math.max(map[i % map.length], Math.abs(gradient[i]));
  }
  return { map, height, width, channels };
}

/** Gradients averaged on the way from a baseline, times the way (Sundararajan et al., 2017, arXiv:1703.01365). */
async function integrated(network, { image, baseline, target, shape: [, height, width] }, pause) {
  const sums = new Float32Array(image.length);
  for (let step = 0; step < STEPS; step++) {
    const share = (step + 0.5) / STEPS;
    const between = image.map((value, i) => baseline[i] + share * (value - baseline[i]));
    const values = network.run(between);
    const [gradient] = network.gradientsOf(values, values.length - 1, target);
    for (let i = 0; i < sums.length; i++) sums[i] += gradient[i] / STEPS;
    await pause({ done: (step + 1) / STEPS });
  }
  const map = new Float32Array(height * width);
  for (let i = 0; i < image.length; i++) map[i % map.length] += sums[i] * (image[i] - baseline[i]);
  const last = network.nodes.length - 1;
  const difference = network.run(image)[last][target] - network.run(baseline)[last][target];
  return { map, height, width, difference };
}

/** Maps weighted by the mean gradient of the logit (Selvaraju et al., 2017, arXiv:1610.02391). */
function gradcam(network, { image, target, node }) {
  const values = network.run(image);
  const gradient = network.gradientsOf(values, values.length - 1, target, node)[node];
  const [channels, height, width] = network.nodes[node].shape;
  const plane = height * width;
  const map = new Float32Array(plane);
  if (!gradient) return { map, height, width };
  for (let c = 0; c < channels; c++) {
    let weight = 0;
    for (let i = 0; i < plane; i++) weight += gradient[c * plane + i] / plane;
    for (let i = 0; i < plane; i++) map[i] += weight * values[node][c * plane + i];
  }
  return { map: map.map((value) => Math.max(value, 0)), height, width };
}

/** By how much the logit falls when a patch is covered with the image's mean (Zeiler and Fergus, 2014). */
async function occlusion(network, { image, target, shape: [channels, height, width] }, pause) {
  const patch = Math.max(2, Math.round(Math.min(height, width) / 4));
  const step = Math.max(1, Math.round(patch / 2));
  const plane = height * width;
  const means = Array.from({ length: channels }, (_, c) => {
    const values = image.subarray(c * plane, (c + 1) * plane);
    return values.reduce((sum, value) => sum + value, 0) / plane;
  });
  const last = network.nodes.length - 1;
  const before = network.run(image)[last][target];
  const falls = new Float32Array(plane);
  const covers = new Float32Array(plane);
  const starts = (length) => {
    const found = [];
    for (let at = 0; at < length - patch; at += step) found.push(at);
    return [...found, Math.max(length - patch, 0)];
  };
  const tops = starts(height);
  for (const [done, top] of tops.entries()) {
    for (const left of starts(width)) {
      const covered = Float32Array.from(image);
      const places = [];
      for (let y = top; y < Math.min(top + patch, height); y++) {
        for (let x = left; x < Math.min(left + patch, width); x++) places.push(y * width + x);
      }
      for (const place of places) for (let c = 0; c < channels; c++) covered[c * plane + place] = means[c];
      const fall = before - network.run(covered)[last][target];
      for (const place of places) {
        falls[place] += fall;
        covers[place] += 1;
      }
    }
    await pause({ done: (done + 1) / tops.length });
  }
  return { map: falls.map((fall, i) => fall / covers[i]), height, width, patch };
}

/** An image that excites a channel, by gradient ascent from noise (Erhan et al., 2009), within the range of pixels. */
async function excite(network, { node, channel, low, high, shape: [channels, height, width] }, pause) {
  const plane = height * width;
  const between = (i, share) => low[(i / plane) | 0] + share * (high[(i / plane) | 0] - low[(i / plane) | 0]);
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647; // the same picture every time
  let image = Float32Array.from({ length: channels * plane }, (_, i) => between(i, 0.45 + 0.1 * random()));
  const { shape } = network.nodes[node];
  const each = shape.slice(1).reduce((a, b) => a * b, 1);
  for (let step = 0; step < ASCENT; step++) {
    const values = network.run(image, node);
    const weights = new Float32Array(values[node].length).fill(1 / each, channel * each, (channel + 1) * each);
    const [gradient] = network.gradients(values, node, weights);
    const size = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0) / gradient.length) || 1;
    const stride = 0.06 * (high[0] - low[0]);
    image = image.map((value, i) =>
      Math.min(between(i, 1), Math.max(between(i, 0), value + (stride * gradient[i]) / size)),
    );
    if (step % 4 === 3) image = smoothed(image, channels, height, width);
    if (step % 10 === 9) await pause({ image, done: (step + 1) / ASCENT });
  }
  return { image };
}

/** A light blur, which keeps gradient ascent from drawing noise that no image has. */
function smoothed(image, channels, height, width) {
  const result = new Float32Array(image.length);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let sum = 0;
        let weight = 0;
        for (let dy = -1; dy <= 1; dy++) {
          for (let dx = -1; dx <= 1; dx++) {
            if (y + dy < 0 || y + dy >= height || x + dx < 0 || x + dx >= width) continue;
            const factor = dx || dy ? 0.08 : 1;
            sum += factor * image[(c * height + y + dy) * width + x + dx];
            weight += factor;
          }
        }
        result[(c * height + y) * width + x] = sum / weight;
      }
    }
  }
  return result;
}

/** Probabilities of a network's output. */
export const probabilitiesOf = (values) => (values.at(-1) ? softmaxOf(values.at(-1)) : null);
