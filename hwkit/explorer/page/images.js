// The test images: their pixels, and canvases that show them.

import { h, pixelCanvas } from "./dom.js";

export class Images {
  constructor(payload, sheet) {
    const { shape, images, names, mean, std, ink } = payload.about;
    [this.channels, this.height, this.width] = shape;
    Object.assign(this, { shape, names, mean, std, ink, count: images.count, columns: images.columns });
    this.numbers = payload.array("numbers");
    this.labels = payload.array("labels");
    const canvas = pixelCanvas(sheet.width, sheet.height);
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.context.drawImage(sheet, 0, 0);
    this.size = this.channels * this.height * this.width;
  }

  static async open(payload) {
    const file = new Blob([payload.array("sprite")], { type: "image/webp" });
    const sheet = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    return new Images(payload, sheet);
  }

  /** Pixels of the image at a place of the page's list, Uint8Array (C, H, W). */
  pixels(place) {
    const { channels, height, width, columns, context } = this;
    const column = (place % columns) * width;
    const row = Math.floor(place / columns);
    const pixels = new Uint8Array(this.size);
    const plane = height * width;
    if (channels === 3) {
      const { data } = context.getImageData(column, row * height, width, height);
      for (let i = 0; i < plane; i++) for (let c = 0; c < 3; c++) pixels[c * plane + i] = data[4 * i + c];
    } else {
      const { data } = context.getImageData(column, row * channels * height, width, channels * height);
      for (let i = 0; i < pixels.length; i++) pixels[i] = data[4 * i];
    }
    return pixels;
  }

  /** What a network takes, Float32Array (C, H, W). */
  prepared(pixels) {
    const plane = this.height * this.width;
    const input = new Float32Array(pixels.length);
    for (let i = 0; i < input.length; i++) {
      const c = (i / plane) | 0;
      input[i] = (pixels[i] / 255 - this.mean[c]) / this.std[c];
    }
    return input;
  }

  /** Pixels of what a network takes, rounded into their range. */
  unprepared(input) {
    const plane = this.height * this.width;
    return Uint8ClampedArray.from(input, (value, i) => 255 * (value * this.std[(i / plane) | 0] + this.mean[(i / plane) | 0]));
  }

  /** RGBA of pixels; ink is dark on white as on paper. */
  rgba(pixels) {
    const plane = this.height * this.width;
    const result = new ImageData(this.width, this.height);
    for (let i = 0; i < plane; i++) {
      for (let k = 0; k < 3; k++) {
        const value = pixels[this.channels >= 3 ? k * plane + i : i];
        result.data[4 * i + k] = this.ink ? 255 - value : value;
      }
      result.data[4 * i + 3] = 255;
    }
    return result;
  }

  /** Pixels of an RGBA picture of the images' size. */
  fromRgba({ data }) {
    const plane = this.height * this.width;
    const pixels = new Uint8Array(this.size);
    for (let i = 0; i < plane; i++) {
      const [r, g, b] = data.slice(4 * i, 4 * i + 3);
      const gray = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
      for (let c = 0; c < this.channels; c++) {
        const value = this.channels === 3 ? [r, g, b][c] : gray;
        pixels[c * plane + i] = this.ink ? 255 - value : value;
      }
    }
    return pixels;
  }

  draw(canvas, pixels) {
    canvas.width = this.width;
    canvas.height = this.height;
    canvas.getContext("2d").putImageData(this.rgba(pixels), 0, 0);
  }

  canvas(place, properties = {}) {
    const canvas = pixelCanvas(this.width, this.height, { class: "picture", ...properties });
    this.draw(canvas, this.pixels(place));
    return canvas;
  }

  /** A button that shows a test image, with its verdict in the words that a screen reader says. */
  button(place, predicted, choose, chosen = false) {
    const label = this.labels[place];
    const wrong = predicted !== label;
    const text =
      `test image ${this.numbers[place]}, ${this.names[label]}` +
      (wrong ? `, misclassified as ${this.names[predicted]}` : "");
    return h(
      "button",
      {
        class: `thumb${wrong ? " wrong" : ""}`,
        "aria-pressed": String(chosen),
        "aria-label": text,
        title: text,
        "data-image": this.numbers[place],
        onclick: () => choose(place),
      },
      this.canvas(place, { "aria-hidden": "true" }),
    );
  }
}
