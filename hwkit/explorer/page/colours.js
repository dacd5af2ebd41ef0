// Colours of numbers and of classes.

const VIRIDIS = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121],
  [109, 205, 89], [180, 222, 44], [253, 231, 37],
];
const BLUE_RED = [
  [33, 102, 172], [103, 169, 207], [209, 229, 240], [247, 247, 247], [253, 219, 199], [239, 138, 98], [178, 24, 43],
];

function table(stops) {
  const colours = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    for (let k = 0; k < 3; k++) {
      colours[3 * i + k] = stops[below][k] + (place - below) * (stops[below + 1][k] - stops[below][k]);
    }
  }
  return colours;
}

export const SCALES = { viridis: table(VIRIDIS), blueRed: table(BLUE_RED) };

/** The scale of some numbers: from 0 up, or on both sides of 0 where some are clearly below it. */
export function scaleOf(values) {
  let low = 0;
  let high = 0;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low < -0.02 * high || (low < 0 && high === 0)) {
    const reach = Math.max(-low, high);
    return { low: -reach, high: reach, colours: SCALES.blueRed };
  }
  return { low: 0, high: high || 1, colours: SCALES.viridis };
}

/** RGBA pixels of numbers on a scale, the clearer the nearer to 0. */
export function paintOver(values, scale) {
  const pixels = paint(values, scale);
  const reach = Math.max(Math.abs(scale.low), Math.abs(scale.high)) || 1;
  values.forEach((value, i) => (pixels[4 * i + 3] = Math.min(255, (400 * Math.abs(value)) / reach)));
  return pixels;
}

/** RGBA pixels of numbers on a scale. */
export function paint(values, { low, high, colours }, from = 0, length = values.length) {
  const pixels = new Uint8ClampedArray(4 * length);
  const factor = 255 / (high - low || 1);
  for (let i = 0; i < length; i++) {
    const at = 3 * Math.max(0, Math.min(255, Math.round((values[from + i] - low) * factor)));
    pixels[4 * i] = colours[at];
    pixels[4 * i + 1] = colours[at + 1];
    pixels[4 * i + 2] = colours[at + 2];
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}

/** A CSS gradient of a scale, for a colour bar. */
export function gradientOf({ colours }) {
  const stops = [0, 51, 102, 153, 204, 255].map((i) => `rgb(${colours.slice(3 * i, 3 * i + 3).join(",")})`);
  return `linear-gradient(to right, ${stops.join(",")})`;
}

/** The colour of a class: the given ones first, then hues that are far apart. */
export function classColour(given, label, classes) {
  if (classes <= given.length) return given[label];
  return `hsl(${Math.round((label * 137.508) % 360)} 65% ${[45, 60, 35][label % 3]}%)`;
}
