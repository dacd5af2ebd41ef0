// Why: what in the image a logit rests on, and which test images are alike.

import { gradientOf, paintOver, SCALES } from "./colours.js";
import { h, pixelCanvas, roving, segments, short } from "./dom.js";
import { placesOf, subjectPlace } from "./embedding.js";

const METHODS = {
  saliency: ["Saliency", "Bright where a small change of a pixel moves the logit most: its largest gradient over the channels."],
  integrated: ["Integrated gradients", "What each pixel adds to the logit on the way from an empty image: red for, blue against; together they add up."],
  gradcam: ["Grad-CAM", "Where the maps of a layer speak for the class, each map weighted by the mean gradient of the logit."],
  occlusion: ["Occlusion", "Red where covering a patch lowers the logit, blue where it raises it."],
};
const ALIKE = 10; // nearest images shown

export function whyView(app) {
  if (!app.about.networks.some(({ nodes, problem }) => nodes.length && !problem)) return null;
  const { store, images, names } = app;
  const here = ({ tab }) => tab === "why";
  const controls = h("div", { class: "controls" });
  const picture = pixelCanvas(images.width, images.height, { class: "picture" });
  const cover = h("canvas", { class: "picture cover", role: "img" });
  const bar = h("div", { class: "row" });
  const caption = h("p", { class: "quiet" });
  const progress = h("progress", { max: 1, "aria-label": "computing" });
  const alike = h("div", { class: "alike" });
  const opacity = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.85, "aria-label": "opacity of the overlay", oninput: () => {
    cover.style.opacity = opacity.value;
  } });
  cover.style.opacity = opacity.value;

  store.view(["method", "target", "stage", "network", "image", "pixels", "values"], (state) => {
    const { about, network } = app.shown;
    const target = targetOf(app);
    if (target === null) return;
    const withMaps = about.stages.filter(({ node }) => network.nodes[node].shape.length === 3);
    const layer = withMaps.find((stage) => stage === about.stages[state.stage]) ?? withMaps.at(-1);
    const methods = Object.entries(METHODS).filter(([name]) => name !== "gradcam" || layer).map(([name, [title]]) => [name, title]);
    const classes = h("select", { "aria-label": "class that is explained", onchange: (event) => app.set({ target: Number(event.target.value) }) }, ...names.map((name, c) => h("option", { value: c, selected: c === target }, name)));
    const layers = h("select", { "aria-label": "layer of Grad-CAM", onchange: (event) => app.set({ stage: Number(event.target.value) }) }, ...withMaps.map((stage) => h("option", { value: about.stages.indexOf(stage), selected: stage === layer }, stage.label)));
    controls.replaceChildren(
      segments("method", methods, state.method, (method) => app.set({ method })),
      h("div", { class: "row" }, h("label", {}, "what speaks for ", classes), ...(state.method === "gradcam" ? [h("label", {}, "maps of ", layers)] : []), h("label", { class: "row" }, "opacity ", opacity)),
    );
    caption.textContent = METHODS[state.method][1];
    images.draw(picture, state.pixels);
    explain(target, layer);
  }, here);

  async function explain(target, layer) {
    const { method, pixels, network } = app.state;
    progress.hidden = false;
    progress.removeAttribute("value");
    const blank = images.prepared(new Uint8Array(images.size));
    const task = { kind: "attribute", method, network, image: images.prepared(pixels), baseline: blank, target, node: layer?.node, shape: images.shape };
    const found = await app.engine.ask("why", task, ({ done }) => (progress.value = done));
    if (!found) return;
    progress.hidden = true;
    const signed = method === "integrated" || method === "occlusion";
    const reach = found.map.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
    const scale = signed ? { low: -reach, high: reach, colours: SCALES.blueRed } : { low: 0, high: reach, colours: SCALES.viridis };
    cover.width = found.width;
    cover.height = found.height;
    cover.getContext("2d").putImageData(new ImageData(paintOver(found.map, scale), found.width, found.height), 0, 0);
    cover.setAttribute("aria-label", `${METHODS[method][0]} for ${names[target]}`);
    cover.dataset.ready = `${method} ${target}`;
    const sum = found.difference === undefined ? "" : `; sum ${short(found.map.reduce((a, b) => a + b, 0))}, logit changes by ${short(found.difference)}`;
    bar.replaceChildren(short(scale.low), h("i", { class: "gradient", style: `background:${gradientOf(scale)}` }), short(scale.high), h("span", { class: "quiet" }, sum));
  }

  store.view(["values", "image", "network"], () => {
    alike.replaceChildren(...nearestImages(app));
    roving(alike, ".thumb");
  }, here);
  return h(
    "div",
    { class: "split why" },
    h("div", {}, controls, h("div", { class: "frame big", style: `aspect-ratio:${images.width}/${images.height}` }, picture, cover), progress, bar, caption),
    alike,
  );
}

/** The class that is explained: the chosen one, else the predicted one. */
function targetOf(app) {
  if (app.state.target !== null) return app.state.target;
  const probabilities = app.probabilities();
  return probabilities && app.bestOf(probabilities);
}

/** Test images that the last hidden layer puts near what is looked at, by the cosine of their principal components. */
export function nearestPlaces(places, place, except, count) {
  const components = place.length;
  const n = places.length / components;
  const own = Math.hypot(...place) || 1;
  const cosines = [];
  for (let i = 0; i < n; i++) {
    if (i === except) continue;
    let product = 0;
    let square = 0;
    for (let k = 0; k < components; k++) {
      product += places[k * n + i] * place[k];
      square += places[k * n + i] ** 2;
    }
    cosines.push([i, product / (own * Math.sqrt(square) || 1)]);
  }
  return cosines.sort((a, b) => b[1] - a[1]).slice(0, count);
}

function nearestImages(app) {
  const places = placesOf(app);
  if (!places) return [];
  const { image } = app.state;
  const n = app.images.count;
  const place = image === null ? subjectPlace(app) : Float32Array.from({ length: places.length / n }, (_, k) => places[k * n + image]);
  if (!place) return [];
  const found = nearestPlaces(places, place, image, ALIKE);
  const { predicted } = app.shown.predictions;
  return [
    h("h2", {}, "Nearest test images"),
    h("p", { class: "quiet" }, "most alike in the last hidden layer"),
    h("ul", { class: "near" }, ...found.map(([one, cosine]) => h("li", {}, app.images.button(one, predicted[one], (chosen) => app.choose(chosen)), h("span", {}, h("b", {}, app.names[app.images.labels[one]]), predicted[one] !== app.images.labels[one] ? h("span", { class: "bad" }, ` → ${app.names[predicted[one]]}`) : "", h("br"), h("span", { class: "quiet" }, `cosine ${cosine.toFixed(2)}`))))),
  ];
}

