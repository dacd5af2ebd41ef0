// Functions of one number: value(x, parameters) and slope(x, y, parameters), where y is the value at x.

const SELU_SCALE = 1.0507009873554805;
const SELU_ALPHA = 1.6732632423543772;

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const normalDensity = (x) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

/** The error function, after Numerical Recipes' erfc of Chebyshev coefficients (fractional error below 1.2e-7). */
export function erf(x) {
  const t = 1 / (1 + 0.5 * Math.abs(x));
  const polynomial = [
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223,
    0.17087277,
  ].reduceRight((sum, coefficient) => sum * t + coefficient, 0);
  const tail = t * Math.exp(-x * x + polynomial);
  return x >= 0 ? 1 - tail : tail - 1;
}

const normalBelow = (x) => 0.5 * (1 + erf(x / Math.SQRT2));

const tanhGelu = (x) => Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
const softplus = (x) => (x > 20 ? x : Math.log1p(Math.exp(x)));

export const ACTIVATIONS = {
  relu: { value: (x) => (x > 0 ? x : 0), slope: (x) => (x > 0 ? 1 : 0) },
  leakyRelu: { value: (x, [a]) => (x > 0 ? x : a * x), slope: (x, y, [a]) => (x > 0 ? 1 : a) },
  elu: { value: (x, [a]) => (x > 0 ? x : a * Math.expm1(x)), slope: (x, y, [a]) => (x > 0 ? 1 : y + a) },
  selu: {
    value: (x) => SELU_SCALE * (x > 0 ? x : SELU_ALPHA * Math.expm1(x)),
    slope: (x, y) => (x > 0 ? SELU_SCALE : y + SELU_SCALE * SELU_ALPHA),
  },
  gelu: { value: (x) => x * normalBelow(x), slope: (x) => normalBelow(x) + x * normalDensity(x) },
  geluTanh: {
    value: (x) => 0.5 * x * (1 + tanhGelu(x)),
    slope(x) {
      const t = tanhGelu(x);
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x);
    },
  },
  silu: { value: (x) => x * sigmoid(x), slope: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))) },
  sigmoid: { value: sigmoid, slope: (x, y) => y * (1 - y) },
  tanh: { value: Math.tanh, slope: (x, y) => 1 - y * y },
  clamp: { value: (x, [low, high]) => clamp(x, low, high), slope: (x, y, [low, high]) => (x > low && x < high ? 1 : 0) },
  hardSigmoid: { value: (x) => clamp(x / 6 + 0.5, 0, 1), slope: (x) => (Math.abs(x) < 3 ? 1 / 6 : 0) },
  hardSwish: {
    value: (x) => x * clamp(x / 6 + 0.5, 0, 1),
    slope: (x) => (x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5),
  },
  softplus: { value: softplus, slope: sigmoid },
  mish: {
    value: (x) => x * Math.tanh(softplus(x)),
    slope(x) {
      const t = Math.tanh(softplus(x));
      return t + x * (1 - t * t) * sigmoid(x);
    },
  },
};
