// What a network is made of. Each operation takes and gives Float32Arrays of one image, (channels, height, width) or
// (features), as its node of the graph says, and has
//   forward(node, inputs, weight): the output, and
//   backward(node, gradient, inputs, output, weight): for each input the gradient with respect to it,
// where `inputs` are the values of the node's inputs and `weight(name)` gives a parameter.

import { ACTIVATIONS } from "./activations.js";

const size = (shape) => shape.reduce((product, length) => product * length, 1);

/** Rows of the patches that a convolution sees: Float32Array (positions, channels * kh * kw) for one group. */
function patches(node, input, [channels, height, width], first) {
  const [, rows, columns] = node.shape;
  const { kernel: [kh, kw], stride, padding, dilation } = node;
  const length = channels * kh * kw;
  const found = new Float32Array(rows * columns * length);
  for (let y = 0, at = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      for (let c = first; c < first + channels; c++) {
        for (let i = 0; i < kh; i++) {
          const row = y * stride[0] - padding[0] + i * dilation[0];
          if (row < 0 || row >= height) {
            at += kw;
            continue;
          }
          let from = (c * height + row) * width + x * stride[1] - padding[1];
          const end = (c * height + row) * width + width;
          const start = end - width;
          for (let j = 0; j < kw; j++, from += dilation[1], at++) {
            if (from >= start && from < end) found[at] = input[from];
          }
        }
      }
    }
  }
  return found;
}

/** output (m, n) = bias (m) + a (m, k) times b (n, k) transposed; blocks of 4 x 2 keep the sums in registers. */
function multiply(a, b, bias, m, n, k, output, outputAt, aAt) {
  let f = 0;
  for (; f + 4 <= m; f += 4) {
    const a0 = aAt + f * k;
    const a1 = a0 + k;
    const a2 = a1 + k;
    const a3 = a2 + k;
    let p = 0;
    for (; p + 2 <= n; p += 2) {
      const b0 = p * k;
      const b1 = b0 + k;
      let s00 = 0, s01 = 0, s10 = 0, s11 = 0, s20 = 0, s21 = 0, s30 = 0, s31 = 0;
      for (let i = 0; i < k; i++) {
        const u = b[b0 + i];
        const v = b[b1 + i];
        const w0 = a[a0 + i];
        const w1 = a[a1 + i];
        const w2 = a[a2 + i];
        const w3 = a[a3 + i];
        s00 += w0 * u;
        s01 += w0 * v;
        s10 += w1 * u;
        s11 += w1 * v;
        s20 += w2 * u;
        s21 += w2 * v;
        s30 += w3 * u;
        s31 += w3 * v;
      }
      const at = outputAt + f * n + p;
      output[at] = s00 + bias(f);
      output[at + 1] = s01 + bias(f);
      output[at + n] = s10 + bias(f + 1);
      output[at + n + 1] = s11 + bias(f + 1);
      output[at + 2 * n] = s20 + bias(f + 2);
      output[at + 2 * n + 1] = s21 + bias(f + 2);
      output[at + 3 * n] = s30 + bias(f + 3);
      output[at + 3 * n + 1] = s31 + bias(f + 3);
    }
    for (; p < n; p++) {
      for (let q = 0; q < 4; q++) {
        output[outputAt + (f + q) * n + p] = dot(a, a0 + q * k, b, p * k, k) + bias(f + q);
      }
    }
  }
  for (; f < m; f++) {
    for (let p = 0; p < n; p++) output[outputAt + f * n + p] = dot(a, aAt + f * k, b, p * k, k) + bias(f);
  }
}

function dot(a, from, b, start, length) {
  let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    s0 += a[from + i] * b[start + i];
    s1 += a[from + i + 1] * b[start + i + 1];
    s2 += a[from + i + 2] * b[start + i + 2];
    s3 += a[from + i + 3] * b[start + i + 3];
  }
  for (; i < length; i++) s0 += a[from + i] * b[start + i];
  return s0 + s1 + s2 + s3;
}

const convolution = {
  forward(node, [input], weight) {
    const [filters, rows, columns] = node.shape;
    const w = weight(node.weight);
    const b = node.bias && weight(node.bias);
    const output = new Float32Array(size(node.shape));
    const perGroup = filters / node.groups;
    const channels = node.inputShape[0] / node.groups;
    const length = channels * node.kernel[0] * node.kernel[1];
    const places = rows * columns;
    for (let g = 0; g < node.groups; g++) {
      const seen = patches(node, input, [channels, ...node.inputShape.slice(1)], g * channels);
      const bias = b ? (f) => b[g * perGroup + f] : () => 0;
      multiply(w, seen, bias, perGroup, places, length, output, g * perGroup * places, g * perGroup * length);
    }
    return output;
  },
  backward(node, gradient, [input], _, weight) {
    const [filters, rows, columns] = node.shape;
    const [, height, width] = node.inputShape;
    const { kernel: [kh, kw], stride, padding, dilation } = node;
    const w = weight(node.weight);
    const result = new Float32Array(input.length);
    const perGroup = filters / node.groups;
    const channels = node.inputShape[0] / node.groups;
    const length = channels * kh * kw;
    const sums = new Float32Array(length);
    for (let g = 0; g < node.groups; g++) {
      for (let y = 0; y < rows; y++) {
        for (let x = 0; x < columns; x++) {
          sums.fill(0);
          let any = false;
          for (let f = g * perGroup; f < (g + 1) * perGroup; f++) {
            const factor = gradient[(f * rows + y) * columns + x];
            if (factor === 0) continue;
            any = true;
            for (let i = 0, at = f * length; i < length; i++, at++) sums[i] += factor * w[at];
          }
          if (!any) continue;
          for (let c = 0, at = 0; c < channels; c++) {
            for (let i = 0; i < kh; i++) {
              const row = y * stride[0] - padding[0] + i * dilation[0];
              for (let j = 0; j < kw; j++, at++) {
                const column = x * stride[1] - padding[1] + j * dilation[1];
                if (row >= 0 && row < height && column >= 0 && column < width) {
                  result[((g * channels + c) * height + row) * width + column] += sums[at];
                }
              }
            }
          }
        }
      }
    }
    return [result];
  },
};

const linear = {
  forward(node, [input], weight) {
    const w = weight(node.weight);
    const b = node.bias && weight(node.bias);
    const output = new Float32Array(node.shape[0]);
    for (let i = 0; i < output.length; i++) {
      output[i] = dot(w, i * input.length, input, 0, input.length) + (b ? b[i] : 0);
    }
    return output;
  },
  backward(node, gradient, [input], _, weight) {
    const w = weight(node.weight);
    const result = new Float32Array(input.length);
    for (let i = 0; i < gradient.length; i++) {
      const factor = gradient[i];
      if (factor === 0) continue;
      for (let j = 0, at = i * input.length; j < result.length; j++, at++) result[j] += factor * w[at];
    }
    return [result];
  },
};

// Batch normalisation of a trained network, or any affine step: a factor and an offset for each channel.
const affine = {
  forward(node, [input], weight) {
    const factors = weight(node.factor);
    const offsets = weight(node.offset);
    const each = input.length / factors.length;
    return input.map((value, i) => value * factors[(i / each) | 0] + offsets[(i / each) | 0]);
  },
  backward(node, gradient, [input], _, weight) {
    const factors = weight(node.factor);
    const each = input.length / factors.length;
    return [gradient.map((value, i) => value * factors[(i / each) | 0])];
  },
};

// Mean 0 and variance 1 within each of several groups: what group and layer normalisation begin with.
const standardise = {
  forward(node, [input]) {
    const output = new Float32Array(input.length);
    const each = input.length / node.groups;
    for (let from = 0; from < input.length; from += each) {
      const [mean, deviation] = moments(input, from, each, node.epsilon);
      for (let i = from; i < from + each; i++) output[i] = (input[i] - mean) / deviation;
    }
    return output;
  },
  backward(node, gradient, [input], output) {
    const result = new Float32Array(input.length);
    const each = input.length / node.groups;
    for (let from = 0; from < input.length; from += each) {
      const [, deviation] = moments(input, from, each, node.epsilon);
      let sum = 0;
      let along = 0;
      for (let i = from; i < from + each; i++) {
        sum += gradient[i];
        along += gradient[i] * output[i];
      }
      for (let i = from; i < from + each; i++) {
        result[i] = (gradient[i] - (sum + output[i] * along) / each) / deviation;
      }
    }
    return [result];
  },
};

function moments(values, from, length, epsilon) {
  let sum = 0;
  let squares = 0;
  for (let i = from; i < from + length; i++) sum += values[i];
  const mean = sum / length;
  for (let i = from; i < from + length; i++) squares += (values[i] - mean) ** 2;
  return [mean, Math.sqrt(squares / length + epsilon)];
}

const activation = {
  forward(node, [input]) {
    const { value } = ACTIVATIONS[node.kind];
    return input.map((x) => value(x, node.parameters));
  },
  backward(node, gradient, [input], output) {
    const { slope } = ACTIVATIONS[node.kind];
    return [gradient.map((g, i) => g * slope(input[i], output[i], node.parameters))];
  },
};

// `rows` and `columns` are the windows, [from, to) each, within the image: whatever stride, padding and output size.
function overWindows(node, visit) {
  const [channels, height, width] = node.inputShape;
  for (let c = 0, at = 0; c < channels; c++) {
    for (let r = 0; r < node.rows.length; r++) {
      for (let s = 0; s < node.columns.length; s++, at++) visit(at, c * height * width, width, r, s);
    }
  }
}

function largestIn(node, input, base, width, r, s) {
  let best = base + node.rows[r][0] * width + node.columns[s][0];
  for (let y = node.rows[r][0]; y < node.rows[r][1]; y++) {
    for (let x = node.columns[s][0]; x < node.columns[s][1]; x++) {
      if (input[base + y * width + x] > input[best]) best = base + y * width + x;
    }
  }
  return best;
}

const maxPool = {
  forward(node, [input]) {
    const output = new Float32Array(size(node.shape));
    overWindows(node, (at, base, width, r, s) => {
      output[at] = input[largestIn(node, input, base, width, r, s)];
    });
    return output;
  },
  backward(node, gradient, [input]) {
    const result = new Float32Array(input.length);
    overWindows(node, (at, base, width, r, s) => {
      if (gradient[at] !== 0) result[largestIn(node, input, base, width, r, s)] += gradient[at];
    });
    return [result];
  },
};

// `heights` and `widths` are what the sums are divided by: with padding, more than lies within the image.
const averagePool = {
  forward(node, [input]) {
    const output = new Float32Array(size(node.shape));
    overWindows(node, (at, base, width, r, s) => {
      let sum = 0;
      for (let y = node.rows[r][0]; y < node.rows[r][1]; y++) {
        for (let x = node.columns[s][0]; x < node.columns[s][1]; x++) sum += input[base + y * width + x];
      }
      output[at] = sum / (node.heights[r] * node.widths[s]);
    });
    return output;
  },
  backward(node, gradient, [input]) {
    const result = new Float32Array(input.length);
    overWindows(node, (at, base, width, r, s) => {
      const share = gradient[at] / (node.heights[r] * node.widths[s]);
      for (let y = node.rows[r][0]; y < node.rows[r][1]; y++) {
        for (let x = node.columns[s][0]; x < node.columns[s][1]; x++) result[base + y * width + x] += share;
      }
    });
    return [result];
  },
};

/** For each element of an output shape, the index of the element of a smaller, broadcast shape that meets it. */
function broadcastIndex(from, to) {
  const shape = [...Array(to.length - from.length).fill(1), ...from];
  const index = new Int32Array(size(to));
  for (let i = 0; i < index.length; i++) {
    let rest = i;
    let stride = 1;
    let found = 0;
    for (let axis = to.length - 1; axis >= 0; axis--) {
      if (shape[axis] > 1) found += (rest % to[axis]) * stride;
      stride *= shape[axis];
      rest = Math.floor(rest / to[axis]);
    }
    index[i] = found;
  }
  return index;
}

const PAIRWISE = {
  add: { value: (a, b) => a + b, slopes: () => [1, 1] },
  subtract: { value: (a, b) => a - b, slopes: () => [1, -1] },
  multiply: { value: (a, b) => a * b, slopes: (a, b) => [b, a] },
  divide: { value: (a, b) => a / b, slopes: (a, b) => [1 / b, -a / (b * b)] },
};

// Two tensors, of one shape or broadcast to it.
const pairwise = {
  forward(node, [a, b]) {
    const { value } = PAIRWISE[node.kind];
    const [inA, inB] = node.inputShapes.map((shape) => broadcastIndex(shape, node.shape));
    const output = new Float32Array(inA.length);
    for (let i = 0; i < output.length; i++) output[i] = value(a[inA[i]], b[inB[i]]);
    return output;
  },
  backward(node, gradient, [a, b]) {
    const { slopes } = PAIRWISE[node.kind];
    const [inA, inB] = node.inputShapes.map((shape) => broadcastIndex(shape, node.shape));
    const results = [new Float32Array(a.length), new Float32Array(b.length)];
    for (let i = 0; i < gradient.length; i++) {
      const [byA, byB] = slopes(a[inA[i]], b[inB[i]]);
      results[0][inA[i]] += gradient[i] * byA;
      results[1][inB[i]] += gradient[i] * byB;
    }
    return results;
  },
};

const constant = {
  forward: (node, _, weight) => Float32Array.from(weight(node.weight)),
  backward: () => [],
};

// Tensors one after the other along an axis: stretches of `lengths[i]` numbers of each input, in turn.
const concatenation = {
  forward(node, inputs) {
    const output = new Float32Array(size(node.shape));
    stretches(node, (input, from, to, length) => output.set(inputs[input].subarray(from, from + length), to));
    return output;
  },
  backward(node, gradient, inputs) {
    const results = inputs.map((input) => new Float32Array(input.length));
    stretches(node, (input, from, to, length) => results[input].set(gradient.subarray(to, to + length), from));
    return results;
  },
};

function stretches(node, copy) {
  const period = node.lengths.reduce((sum, length) => sum + length, 0);
  const repeats = size(node.shape) / period;
  for (let r = 0, to = 0; r < repeats; r++) {
    node.lengths.forEach((length, input) => {
      copy(input, r * length, to, length);
      to += length;
    });
  }
}

// Some of the elements: element i of the output is element index(i) of the input.
const slice = {
  forward(node, [input]) {
    return Float32Array.from({ length: size(node.shape) }, (_, i) => input[slicedFrom(node, i)]);
  },
  backward(node, gradient, [input]) {
    const result = new Float32Array(input.length);
    gradient.forEach((value, i) => (result[slicedFrom(node, i)] += value));
    return [result];
  },
};

function slicedFrom(node, i) {
  const length = node.shape[node.axis];
  const inner = size(node.shape.slice(node.axis + 1));
  const along = Math.floor(i / inner) % length;
  const outer = Math.floor(i / inner / length);
  return (outer * node.inputShape[node.axis] + node.start + along * node.step) * inner + (i % inner);
}

export function softmaxOf(values) {
  const largest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = values.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

const softmax = {
  forward: (node, [input]) => softmaxOf(input),
  backward(node, gradient, _, output) {
    const mean = gradient.reduce((sum, value, i) => sum + value * output[i], 0);
    return [gradient.map((value, i) => output[i] * (value - mean))];
  },
};

const logSoftmax = {
  forward: (node, [input]) => softmaxOf(input).map(Math.log),
  backward(node, gradient, _, output) {
    const sum = gradient.reduce((a, b) => a + b, 0);
    return [gradient.map((value, i) => value - Math.exp(output[i]) * sum)];
  },
};

const reshape = { forward: (node, [input]) => input, backward: (node, gradient) => [gradient] };

export const OPERATIONS = {
  convolution,
  linear,
  affine,
  standardise,
  activation,
  maxPool,
  averagePool,
  pairwise,
  constant,
  concatenation,
  slice,
  softmax,
  logSoftmax,
  reshape,
};
