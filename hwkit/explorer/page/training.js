// A film of the training: kernels, maps, confusion matrix and embedding at each moment that was kept.

import { classColour, paint, scaleOf } from "./colours.js";
import { h, percent, pixelCanvas } from "./dom.js";
import { mapCanvas, sheetOf } from "./layers.js";
import { matrix } from "./matrix.js";

const FRAME = 500; // milliseconds
const TILES = 32; // kernels and maps shown

export function trainingView(app) {
  if (!app.about.networks.some(({ film }) => film)) return null;
  const { store, names, images, payload } = app;
  const here = ({ tab }) => tab === "training";
  const slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "moment of the training", oninput: () => app.set({ moment: slider.valueAsNumber }) });
  const text = h("output", {});
  const play = h("button", { onclick: () => (timer ? stop() : start()) }, "▶ play");
  const kernels = h("div", { class: "tiles small" });
  const maps = h("div", { class: "tiles small" });
  const plane = h("canvas", { class: "small plane", role: "img", "aria-label": "embedding at this moment" });
  const confusion = h("div", { class: "confusion" });
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶ play";
  };
  const start = () => {
    const { iterations } = app.shown.about.film;
    if (app.state.moment >= iterations.length - 1) app.set({ moment: 0 });
    play.textContent = "❚❚ pause";
    timer = setInterval(() => {
      const next = app.state.moment + 1;
      if (next >= iterations.length || app.state.tab !== "training") stop();
      else app.set({ moment: next });
    }, FRAME);
  };

  store.view(["moment", "network", "theme"], () => {
    const { film } = app.shown.about;
    if (!film) return;
    const moment = app.state.moment ?? film.iterations.length - 1;
    if (app.state.moment === undefined) app.set({ moment });
    slider.max = film.iterations.length - 1;
    slider.value = moment;
    text.textContent = `after iteration ${film.iterations[moment].toLocaleString("en")}: accuracy ${percent(film.accuracies[moment])} on the images of this page`;
    drawKernels(film, moment);
    drawPlane(moment);
    const predicted = payload.array(`${app.state.network}/film/predicted`).subarray(moment * images.count, (moment + 1) * images.count);
    const counts = new Float32Array(names.length ** 2);
    predicted.forEach((c, i) => (counts[images.labels[i] * names.length + c] += 1));
    const choose = (label, to) => {
      const among = [...predicted.keys()].filter((i) => images.labels[i] === label && predicted[i] === to);
      app.set({ among, amongText: `${names[label]} → ${names[to]} after iteration ${film.iterations[moment]}`, tab: "images" });
      if (among.length) app.choose(among[0]);
    };
    confusion.replaceChildren(h("h2", {}, "Confusion matrix of the images on this page"), names.length > 24 ? "" : matrix(names, counts, { choose }));
  }, here);
  store.view(["moment", "network", "pixels"], () => drawMaps(), here);

  const weightOf = (film, moment, name) => payload.array(`${app.state.network}/film/${film.iterations[moment]}/${name}`);

  function drawKernels(film, moment) {
    if (!film.weights.length) return;
    const [name] = film.weights;
    const [filters, channels, height, width] = payload.shape(`${app.state.network}/film/${film.iterations[moment]}/${name}`);
    const scale = scaleOf(weightOf(film, film.iterations.length - 1, name));
    const values = weightOf(film, moment, name);
    kernels.replaceChildren(...Array.from({ length: Math.min(filters, TILES) }, (_, f) => {
      const canvas = pixelCanvas(width, height, { class: "picture", role: "img", "aria-label": `kernel ${f}` });
      const plane = height * width;
      let pixels;
      if (channels === 3) {
        pixels = new Uint8ClampedArray(4 * plane).fill(255);
        const reach = Math.max(-scale.low, scale.high);
        for (let i = 0; i < plane; i++) for (let c = 0; c < 3; c++) pixels[4 * i + c] = 127.5 + (127.5 * values[(f * 3 + c) * plane + i]) / reach;
      } else pixels = paint(values, scale, f * channels * plane, plane);
      canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
      return canvas;
    }));
  }

  async function drawMaps() {
    const { film, stages } = app.shown.about;
    const { network } = app.shown;
    const { moment, pixels } = app.state;
    if (!film?.weights.length || moment === undefined) return;
    const first = stages.findLast(({ weighted }) => film.weights.includes(network.nodes[weighted].weight));
    const weights = Object.fromEntries(film.weights.map((name) => [name, weightOf(film, moment, name)]));
    const done = await app.engine.ask("film", { kind: "film", network: app.state.network, image: images.prepared(pixels), weights, until: first.node });
    if (!done) return;
    const sheet = sheetOf(done.values[first.node], network.nodes[first.node].shape, app.state.network, app, first);
    mapsTitle.textContent = `Maps of ${first.label}`;
    maps.replaceChildren(...Array.from({ length: Math.min(sheet.channels, TILES) }, (_, c) => mapCanvas(sheet, c)));
  }

  function drawPlane(moment) {
    const ratio = devicePixelRatio || 1;
    const [width, height] = [plane.clientWidth || 300, plane.clientHeight || 220];
    plane.width = width * ratio;
    plane.height = height * ratio;
    const g = plane.getContext("2d");
    g.scale(ratio, ratio);
    const all = payload.array(`${app.state.network}/film/places`);
    const final = all.subarray(all.length - 2 * images.count);
    let reach = 0.01;
    for (const value of final) reach = Math.max(reach, Math.abs(value));
    const from = 2 * moment * images.count;
    for (let i = 0; i < images.count; i++) {
      g.fillStyle = classColour(app.about.colours, images.labels[i], names.length);
      const x = width / 2 + (all[from + 2 * i] / reach) * (width / 2 - 6);
      const y = height / 2 - (all[from + 2 * i + 1] / reach) * (height / 2 - 6);
      g.fillRect(x - 1.5, y - 1.5, 3, 3);
    }
  }

  const mapsTitle = h("h2", {}, "Maps");
  return [
    h("div", { class: "row film" }, play, slider, text),
    h("div", { class: "split" }, h("div", { class: "scroll" }, h("h2", {}, "Kernels of the first layer"), kernels, mapsTitle, maps, h("h2", {}, "Embedding"), plane), confusion),
  ];
}
