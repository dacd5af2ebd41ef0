// A network as a graph of operations: what it computes from an image, and gradients of it.

import { OPERATIONS } from "./operations.js";

export class Network {
  /**
   * nodes: in the order of computation, the image first; each with `op`, `inputs` (places in the list) and `shape`.
   * weight: gives a parameter by name, Float32Array.
   */
  constructor(nodes, weight) {
    this.nodes = nodes.map((node) => ({
      ...node,
      inputShape: node.inputs.length ? nodes[node.inputs[0]].shape : [],
      inputShapes: node.inputs.map((input) => nodes[input].shape),
    }));
    this.weight = weight;
    this.computable = [];
    this.nodes.forEach((node, i) => {
      const known = node.op === "image" || node.op in OPERATIONS;
      this.computable[i] = known && node.inputs.every((input) => this.computable[input]);
    });
  }

  /** Values of all nodes for an image, Float32Array (C, H, W); null for what cannot be computed here. */
  run(image, until = this.nodes.length - 1) {
    const values = [];
    for (let i = 0; i <= until; i++) {
      const node = this.nodes[i];
      if (node.op === "image") values.push(image);
      else if (!this.computable[i]) values.push(null);
      else values.push(OPERATIONS[node.op].forward(node, node.inputs.map((input) => values[input]), this.weight));
    }
    return values;
  }

  /**
   * Gradients of a weighted sum of one node's elements with respect to all nodes before it.
   * values: of `run`; seed: Float32Array, the weight of each element. Nodes without influence have null.
   */
  gradients(values, node, seed, downTo = 0) {
    const gradients = Array(node + 1).fill(null);
    gradients[node] = seed;
    for (let i = node; i > downTo; i--) {
      const { op, inputs } = this.nodes[i];
      if (!gradients[i] || op === "image") continue;
      const given = inputs.map((input) => values[input]);
      const found = OPERATIONS[op].backward(this.nodes[i], gradients[i], given, values[i], this.weight);
      inputs.forEach((input, k) => {
        if (!gradients[input]) gradients[input] = found[k] === gradients[i] ? Float32Array.from(found[k]) : found[k];
        else found[k].forEach((value, j) => (gradients[input][j] += value));
      });
    }
    return gradients;
  }

  /** Gradients of one element of a node. */
  gradientsOf(values, node, element, downTo = 0) {
    const seed = new Float32Array(values[node].length);
    seed[element] = 1;
    return this.gradients(values, node, seed, downTo);
  }

  /**
   * The part of the image that a node's elements at rows and columns depend on: [top, bottom, left, right], ends
   * included; null if they depend on none of it.
   */
  receptiveField(node, [top, bottom, left, right]) {
    const boxes = Array(node + 1).fill(null);
    boxes[node] = [top, bottom, left, right];
    for (let i = node; i > 0; i--) {
      if (!boxes[i]) continue;
      this.nodes[i].inputs.forEach((input) => {
        const box = seenBy(this.nodes[i], boxes[i], this.nodes[input].shape);
        boxes[input] = boxes[input] ? union(boxes[input], box) : box;
      });
    }
    return boxes[0];
  }
}

const union = (a, b) => [Math.min(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.max(a[3], b[3])];

function seenBy(node, [top, bottom, left, right], [, height = 1, width = 1]) {
  const whole = [0, height - 1, 0, width - 1];
  const within = ([a, b, c, d]) => [Math.max(a, 0), Math.min(b, height - 1), Math.max(c, 0), Math.min(d, width - 1)];
  if (node.op === "convolution") {
    const { kernel, stride, padding, dilation } = node;
    const first = (place, axis) => place * stride[axis] - padding[axis];
    const last = (place, axis) => first(place, axis) + (kernel[axis] - 1) * dilation[axis];
    return within([first(top, 0), last(bottom, 0), first(left, 1), last(right, 1)]);
  }
  if (node.op === "maxPool" || node.op === "averagePool") {
    const { rows, columns } = node;
    return [rows[top][0], rows[bottom][1] - 1, columns[left][0], columns[right][1] - 1];
  }
  const elementwise = node.shape.length === 3 && node.shape[1] === height && node.shape[2] === width;
  if (elementwise && node.op !== "standardise") return [top, bottom, left, right];
  return whole;
}
