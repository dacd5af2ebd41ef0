// How one number of a network comes about: what is multiplied with what, and that it adds up.

/**
 * The terms of one element of a layer with weights.
 * Returns {groups, bias, total}: one group for each input channel of a convolution ({channel, sum, patch, kernel,
 * products, height, width}, zeros outside the image), or for each input of a linear layer ({channel, sum, value,
 * weight}); total is their sum and the bias. Of a sum or product of layers, the groups are its inputs.
 */
export function termsOf(network, values, at, element) {
  const node = network.nodes[at];
  const input = values[node.inputs[0]];
  const bias = node.bias ? network.weight(node.bias)[channelOf(node, element)] : 0;
  let groups;
  if (node.op === "convolution") groups = patchesOf(network, node, input, element);
  else if (node.op === "linear") {
    const weights = network.weight(node.weight);
    groups = Array.from(input, (value, channel) => {
      const weight = weights[element * input.length + channel];
      return { channel, value, weight, sum: value * weight };
    });
  } else return { groups: [], bias: 0, total: values[at][element] };
  const total = groups.reduce((sum, group) => sum + group.sum, bias);
  return { groups, bias, total };
}

const planeOf = (node) => node.shape.slice(1).reduce((a, b) => a * b, 1);

/** The channel of an element. */
export const channelOf = (node, element) => Math.floor(element / planeOf(node));

/** Channel, row and column of an element; of a vector's, only the first means something. */
export function placeOf(node, element) {
  const width = node.shape[2] ?? 1;
  const within = element % planeOf(node);
  return { channel: channelOf(node, element), row: Math.floor(within / width), column: within % width };
}

function patchesOf(network, node, input, element) {
  const [, height, width] = node.inputShape;
  const { kernel: [kh, kw], stride, padding, dilation, groups } = node;
  const weights = network.weight(node.weight);
  const { channel: filter, row, column } = placeOf(node, element);
  const perGroup = node.inputShape[0] / groups;
  const first = Math.floor(filter / (node.shape[0] / groups)) * perGroup;
  return Array.from({ length: perGroup }, (_, c) => {
    const patch = new Float32Array(kh * kw);
    const kernel = weights.subarray((filter * perGroup + c) * kh * kw, (filter * perGroup + c + 1) * kh * kw);
    for (let i = 0; i < kh; i++) {
      for (let j = 0; j < kw; j++) {
        const y = row * stride[0] - padding[0] + i * dilation[0];
        const x = column * stride[1] - padding[1] + j * dilation[1];
        if (y >= 0 && y < height && x >= 0 && x < width) patch[i * kw + j] = input[((first + c) * height + y) * width + x];
      }
    }
    const products = patch.map((value, i) => value * kernel[i]);
    const sum = products.reduce((a, b) => a + b, 0);
    return { channel: first + c, patch, kernel, products, sum, height: kh, width: kw };
  });
}

/** What follows a layer with weights up to where it is shown: [{label, kind, value}] of one element. */
export function stepsOf(network, values, { weighted, node }, element) {
  const steps = [];
  for (let at = weighted + 1; at <= node; at++) {
    const { op, kind, label } = network.nodes[at];
    const before = steps.at(-1)?.at ?? weighted;
    if (!network.nodes[at].inputs.includes(before) || op === "reshape") continue;
    steps.push({ at, label: op === "affine" ? "normalised" : (kind ?? label), value: values[at][element] });
  }
  return steps;
}

/** The window of a pooling layer that reads an element of a node: {label, values, result, kept}; null without one. */
export function poolingOf(network, values, at, element) {
  const reader = network.nodes.findIndex((node) => node.inputs.includes(at) && /Pool$/.test(node.op));
  if (reader < 0) return null;
  const node = network.nodes[reader];
  const { channel, row, column } = placeOf(network.nodes[at], element);
  const holds = ([from, to], place) => from <= place && place < to;
  const r = node.rows.findIndex((window) => holds(window, row));
  const c = node.columns.findIndex((window) => holds(window, column));
  if (r < 0 || c < 0) return null;
  const [, height, width] = network.nodes[at].shape;
  const window = [];
  for (let y = node.rows[r][0]; y < node.rows[r][1]; y++) {
    for (let x = node.columns[c][0]; x < node.columns[c][1]; x++) window.push(values[at][(channel * height + y) * width + x]);
  }
  const result = values[reader][(channel * node.rows.length + r) * node.columns.length + c];
  return { largest: node.op === "maxPool", window, result, kept: values[at][element] === result };
}

/** Where an element of a vector comes from, through flattening: {node, channel, row, column} of the maps. */
export function originOf(network, at, element) {
  let source = at;
  while (network.nodes[source].op === "reshape") source = network.nodes[source].inputs[0];
  return { node: source, ...placeOf(network.nodes[source], element) };
}
