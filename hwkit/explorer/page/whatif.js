// What if the image were another: draw, bring a picture, turn, shift, take the colour away, add noise.

import { h, pixelCanvas } from "./dom.js";
import { boxAverage, inkBox, inkOf, noisy, shifted, towardsCentre } from "./pad.js";

const SIDE = 336; // pixels of the pad, about
const UNDO = 20; // steps

export function whatIfView(app) {
  const { images, store } = app;
  const factor = Math.max(1, Math.round(SIDE / Math.max(images.width, images.height)));
  const [width, height] = [images.width * factor, images.height * factor];
  const pad = pixelCanvas(width, height, { class: "pad", tabIndex: 0, role: "img", "aria-label": "a pad to draw on" });
  const context = pad.getContext("2d", { willReadFrequently: true });
  const work = pixelCanvas(width, height).getContext("2d", { willReadFrequently: true });
  const message = h("p", { class: "message", role: "alert", hidden: true });
  const history = [];
  let fresh = false; // nothing but what was drawn: may be centred
  let own = null; // pixels that this panel has shown last

  const say = (text) => {
    message.textContent = text;
    message.hidden = !text;
  };
  const control = (label, properties) => h("input", { type: "range", "aria-label": label, oninput: () => apply(), ...properties });
  const across = control("shift to the right", { min: -50, max: 50, value: 0 });
  const down = control("shift down", { min: -50, max: 50, value: 0 });
  const turn = control("rotate", { min: -180, max: 180, step: 1, value: 0 });
  const noise = control("noise", { min: 0, max: 120, value: 0 });
  const gray = h("input", { type: "checkbox", onchange: () => apply() });
  const centre = h("input", { type: "checkbox", checked: true, onchange: () => apply() });
  const pen = h("input", { type: "range", min: 1, max: Math.ceil(Math.max(images.width, images.height) / 4), step: 0.5, value: images.width / 12, "aria-label": "width of the pen" });
  const colour = h("input", { type: "color", value: "#202020", "aria-label": "colour of the pen" });
  const eraser = h("button", { "aria-pressed": "false", onclick: () => eraser.setAttribute("aria-pressed", String(!erasing())) }, "eraser");
  const erasing = () => eraser.getAttribute("aria-pressed") === "true";
  const ground = images.ink ? "#fff" : "#808080";

  const resetControls = () => {
    for (const slider of [across, down, turn, noise]) slider.value = 0;
    gray.checked = false;
  };
  const keep = () => {
    history.push([context.getImageData(0, 0, width, height), fresh]);
    if (history.length > UNDO) history.shift();
  };
  const blank = () => {
    context.fillStyle = ground;
    context.fillRect(0, 0, width, height);
    fresh = true;
  };

  /** The pad and the sliders as an image of the test set's size. */
  function result() {
    work.setTransform(1, 0, 0, 1, 0, 0);
    work.fillStyle = ground;
    work.fillRect(0, 0, width, height);
    work.imageSmoothingEnabled = Number(turn.value) !== 0;
    work.translate(width / 2 + (across.value / 100) * width, height / 2 + (down.value / 100) * height);
    work.rotate((turn.value * Math.PI) / 180);
    const box = fresh && centre.checked && images.ink ? inkBox(inkFrom(context.getImageData(0, 0, width, height)), width) : null;
    if (box) {
      const scale = (images.ink * width) / Math.max(box.width, box.height);
      work.imageSmoothingEnabled = true;
      work.drawImage(pad, box.left, box.top, box.width, box.height, (-box.width * scale) / 2, (-box.height * scale) / 2, box.width * scale, box.height * scale);
    } else work.drawImage(pad, -width / 2, -height / 2);
    work.setTransform(1, 0, 0, 1, 0, 0);
    const { data } = work.getImageData(0, 0, width, height);
    const planes = [0, 1, 2].map((k) => {
      const plane = new Float32Array(width * height);
      for (let i = 0; i < plane.length; i++) plane[i] = data[4 * i + k];
      return boxAverage(plane, width, factor);
    });
    const rgba = new ImageData(images.width, images.height);
    for (let i = 0; i < planes[0].length; i++) {
      const luma = 0.299 * planes[0][i] + 0.587 * planes[1][i] + 0.114 * planes[2][i];
      planes.forEach((plane, k) => (rgba.data[4 * i + k] = Math.round(gray.checked ? luma : plane[i])));
      rgba.data[4 * i + 3] = 255;
    }
    let pixels = images.fromRgba(rgba);
    if (box) pixels = shifted(pixels, images.width, ...towardsCentre(pixels, images.width));
    return noise.value > 0 ? Uint8Array.from(noisy(pixels, Number(noise.value))) : pixels;
  }
  const inkFrom = ({ data }) => Float32Array.from({ length: data.length / 4 }, (_, i) => 255 - data[4 * i]);

  function apply(source = fresh ? "your drawing" : app.state.source ?? `test image ${images.numbers[app.state.image]}, changed`) {
    say("");
    own = result();
    app.choosePixels(own, source);
  }

  // --- Drawing ---------------------------------------------------------------------------------------------------
  let last = null;
  const at = (event) => {
    const box = pad.getBoundingClientRect();
    return [((event.clientX - box.x) * width) / box.width, ((event.clientY - box.y) * height) / box.height];
  };
  const stroke = (to) => {
    context.strokeStyle = erasing() ? ground : images.ink ? "#000" : colour.value;
    context.lineWidth = pen.value * factor;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(to[0], to[1] + 0.01);
    context.stroke();
    last = to;
    apply();
  };
  pad.onpointerdown = (event) => {
    pad.setPointerCapture(event.pointerId);
    keep();
    last = at(event);
    stroke(last);
  };
  pad.onpointermove = (event) => last && stroke(at(event));
  pad.onpointerup = pad.onpointercancel = () => (last = null);

  // --- Pictures from outside ---------------------------------------------------------------------------------------
  async function bring(file) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      say(`${file.name || "What was pasted"} cannot be read as a picture; choose a PNG, JPEG or WebP file.`);
      return;
    }
    keep();
    resetControls();
    blank();
    const scale = (images.ink ? Math.min : Math.max)(width / bitmap.width, height / bitmap.height);
    const [w, hgt] = [bitmap.width * scale, bitmap.height * scale];
    if (!images.ink) {
      context.drawImage(bitmap, (width - w) / 2, (height - hgt) / 2, w, hgt);
      fresh = false;
    } else if (!inked(bitmap, Math.max(1, Math.round(w)), Math.max(1, Math.round(hgt)))) {
      say("There is nothing on this picture; it has to be dark on bright or bright on dark.");
      return;
    }
    apply(file.name || "your picture");
  }

  /** Put a picture on the pad as dark ink on white, whatever its ground. */
  function inked(bitmap, w, hgt) {
    const small = pixelCanvas(w, hgt).getContext("2d");
    small.fillStyle = "#fff";
    small.fillRect(0, 0, w, hgt);
    small.drawImage(bitmap, 0, 0, w, hgt);
    const picture = small.getImageData(0, 0, w, hgt);
    const luma = Float32Array.from({ length: w * hgt }, (_, i) => 0.299 * picture.data[4 * i] + 0.587 * picture.data[4 * i + 1] + 0.114 * picture.data[4 * i + 2]);
    const ink = inkOf(luma, w);
    if (!ink) return false;
    ink.forEach((value, i) => picture.data.set([255 - value, 255 - value, 255 - value, 255], 4 * i));
    context.putImageData(picture, Math.floor((width - w) / 2), Math.floor((height - hgt) / 2));
    return true;
  }

  const chooser = h("input", { type: "file", accept: "image/*", class: "hidden", "aria-label": "a picture file", tabIndex: -1, onchange: () => {
    if (chooser.files.length) bring(chooser.files[0]);
    chooser.value = ""; // so that the same file can be chosen again
  } });
  const dropped = (event) => {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file) bring(file);
  };
  pad.ondragover = (event) => event.preventDefault();
  pad.ondrop = dropped;
  document.addEventListener("paste", (event) => {
    const item = [...(event.clipboardData?.items ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!item) return;
    app.set({ tab: "whatif" });
    bring(item.getAsFile());
  });

  const undo = h("button", { onclick: () => {
    const before = history.pop();
    if (!before) return;
    context.putImageData(before[0], 0, 0);
    fresh = before[1];
    apply();
  } }, "undo");
  const clear = h("button", { onclick: () => {
    keep();
    resetControls();
    blank();
    apply("an empty sheet");
  } }, "clear");
  const original = h("button", { onclick: () => {
    resetControls();
    if (start !== null) app.choose(start);
  } }, "back to the test image");

  // A test image that is chosen anywhere comes onto the pad.
  let start = null;
  store.view(["pixels"], ({ pixels, image }) => {
    if (pixels === own) return;
    own = pixels;
    if (image !== null) start = image;
    fresh = false;
    resetControls();
    history.length = 0;
    const small = pixelCanvas(images.width, images.height);
    images.draw(small, pixels);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, width, height);
  }, ({ tab }) => tab === "whatif");

  const row = (label, input) => h("label", { class: "slider" }, h("span", {}, label), input);
  return h(
    "div",
    { class: "split whatif" },
    h("div", {}, pad, h("div", { class: "tools", role: "group", "aria-label": "pad" }, clear, undo, eraser, h("button", { onclick: () => chooser.click() }, "bring a picture"), chooser, original), message),
    h(
      "div",
      { class: "sliders" },
      h("h2", {}, "Draw"),
      h("p", { class: "quiet" }, "On the image or on a cleared sheet. Or paste a picture, or drop one here."),
      row("pen", pen),
      images.ink ? h("label", { class: "check" }, centre, "fit drawings into the middle, as the test images are") : row("colour", colour),
      h("h2", {}, "Change"),
      row("shift →", across),
      row("shift ↓", down),
      row("rotate", turn),
      row("noise", noise),
      images.channels === 3 ? h("label", { class: "check" }, gray, "without colour") : "",
    ),
  );
}
