// Pictures from outside made into images as those of the test set: numbers in, numbers out.

const DARK = 0.2; // of the full range: what counts as ink

/** Means of squares of `factor` pixels: gray Uint8 or Float32 (rows, columns) to a smaller Float32Array. */
export function boxAverage(values, columns, factor) {
  const width = columns / factor;
  const height = values.length / columns / factor;
  const result = new Float32Array(width * height);
  for (let i = 0; i < values.length; i++) {
    const row = Math.floor(Math.floor(i / columns) / factor);
    const column = Math.floor((i % columns) / factor);
    result[row * width + column] += values[i] / (factor * factor);
  }
  return result;
}

/** Ink on any even ground, bright or dark, as numbers from 0 to 255; null if there is none. */
export function inkOf(gray, width) {
  const height = gray.length / width;
  const border = [];
  for (let x = 0; x < width; x++) border.push(gray[x], gray[(height - 1) * width + x]);
  for (let y = 0; y < height; y++) border.push(gray[y * width], gray[y * width + width - 1]);
  const ground = border.sort((a, b) => a - b)[border.length >> 1];
  const ink = Float32Array.from(gray, (value) => Math.abs(value - ground));
  const most = ink.reduce((a, b) => Math.max(a, b), 0);
  return most < DARK * 255 ? null : ink.map((value) => (255 * value) / most);
}

/** The rectangle that holds all ink: {left, top, width, height}; null if there is none. */
export function inkBox(ink, width) {
  let [left, right, top, bottom] = [Infinity, -1, Infinity, -1];
  ink.forEach((value, i) => {
    if (value < DARK * 255) return;
    left = Math.min(left, i % width);
    right = Math.max(right, i % width);
    top = Math.min(top, Math.floor(i / width));
    bottom = Math.max(bottom, Math.floor(i / width));
  });
  return right < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/** By how many whole pixels to move ink so that its centre of mass is in the middle, without pushing any out. */
export function towardsCentre(ink, width) {
  const height = ink.length / width;
  const box = inkBox(ink, width);
  if (!box) return [0, 0];
  let [sum, x, y] = [0, 0, 0];
  ink.forEach((value, i) => {
    sum += value;
    x += value * (i % width);
    y += value * Math.floor(i / width);
  });
  const shift = (mean, size, start, length) => Math.min(size - start - length, Math.max(-start, Math.round((size - 1) / 2 - mean)));
  return [shift(x / sum, width, box.left, box.width), shift(y / sum, height, box.top, box.height)];
}

/** Numbers moved by whole pixels; what comes in is 0. */
export function shifted(values, width, dx, dy) {
  const height = values.length / width;
  return values.map((_, i) => {
    const x = (i % width) - dx;
    const y = Math.floor(i / width) - dy;
    return x >= 0 && x < width && y >= 0 && y < height ? values[y * width + x] : 0;
  });
}

/** Noise of a standard deviation on pixels, the same every time. */
export function noisy(pixels, deviation) {
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  return Uint8ClampedArray.from(pixels, (value) => {
    const normal = Math.sqrt(-2 * Math.log(random() || 1e-9)) * Math.cos(2 * Math.PI * random());
    return value + deviation * normal;
  });
}
