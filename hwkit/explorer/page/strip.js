// The whole network in one line: the image, every stage with some of its maps, the probabilities.

import { paint, scaleOf } from "./colours.js";
import { h, pixelCanvas, roving } from "./dom.js";

export const shapeText = (shape) => shape.join(" × ");

export function stripView(app) {
  const line = h("div", { class: "strip", role: "group", "aria-label": "the network, layer by layer" });
  let drawnFor = null;
  app.store.view(["network", "stage", "values", "tab"], ({ network, stage, values, tab }) => {
    const { about, network: graph } = app.shown;
    if (drawnFor !== network) {
      drawnFor = network;
      line.replaceChildren(...cards(app, about, graph));
      roving(line);
    }
    [...line.querySelectorAll("button.stage")].forEach((card, place) => {
      card.setAttribute("aria-pressed", String(tab === "layers" && place === stage));
      const shown = values?.[about.stages[place].node];
      if (shown) mosaic(card.querySelector("canvas"), graph.nodes[about.stages[place].node].shape, shown);
    });
  });
  return line;
}

function cards(app, about, graph) {
  const problem = about.problem && h("p", { class: "problem" }, about.problem);
  const found = about.stages.map((stage, place) => {
    const { shape } = graph.nodes[stage.node];
    const before = graph.nodes.slice(about.stages[place - 1]?.node ?? 0, stage.weighted).filter(({ op }) => /Pool$/.test(op));
    const text = before.map(({ op }) => (op === "maxPool" ? "max" : "mean")).join(" ");
    return [
      h("span", { class: "arrow", title: before.length ? `${text} pooling` : "", "aria-hidden": "true" }, before.length ? h("small", {}, text) : null, "→"),
      h(
        "button",
        {
          class: "stage",
          "data-layer": stage.label,
          "aria-label": `${stage.label} ${shapeText(shape)}, ${stage.kind}`,
          onclick: () => app.look(place, null),
        },
        pixelCanvas(1, 1, { "aria-hidden": "true" }),
        h("span", { class: "label" }, h("b", {}, stage.label), " ", h("small", {}, shapeText(shape))),
      ),
    ];
  });
  const start = h("span", { class: "stage start" }, h("span", { class: "label" }, h("b", {}, "image"), h("small", {}, shapeText(app.images.shape))));
  return [start, ...found.flat(), problem].filter(Boolean);
}

/** Some channels of a stage, side by side; of a vector, all numbers in lines. */
function mosaic(canvas, [channels, height, width], values) {
  const scale = scaleOf(values);
  if (height === undefined || height * width === 1) {
    const across = Math.min(channels, Math.max(5, 2 * Math.ceil(Math.sqrt(channels))));
    const down = Math.ceil(channels / across);
    canvas.width = across;
    canvas.height = down;
    const padded = new Float32Array(across * down);
    padded.set(values);
    canvas.getContext("2d").putImageData(new ImageData(paint(padded, scale), across, down), 0, 0);
    return;
  }
  const across = Math.min(channels, 6);
  const down = Math.min(3, Math.ceil(channels / across));
  canvas.width = across * (width + 1) - 1;
  canvas.height = down * (height + 1) - 1;
  const context = canvas.getContext("2d");
  for (let c = 0; c < Math.min(channels, across * down); c++) {
    const pixels = paint(values, scale, c * height * width, height * width);
    context.putImageData(new ImageData(pixels, width, height), (c % across) * (width + 1), Math.floor(c / across) * (height + 1));
  }
}
