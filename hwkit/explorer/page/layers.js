// The maps of a layer, and beside them the channel that was clicked.

import { gradientOf, paint, scaleOf } from "./colours.js";
import { computedView } from "./computed.js";
import { count, h, pixelCanvas, roving, segments, short } from "./dom.js";
import { shapeText } from "./strip.js";

const MOST_TILES = 64; // tiles drawn at once

export function layersView(app, panel) {
  if (!app.about.networks.some(({ stages }) => stages.length)) return null;
  const { store } = app;
  const head = h("div", { class: "row between" });
  const tiles = h("div", { class: "tiles", role: "group", "aria-label": "channels" });
  const below = h("div", { class: "below" });
  const detail = h("div", { class: "detail", "aria-live": "polite" });
  let ordering = "strongest";
  let all = false;
  let shownFor = null;

  const draw = () => {
    const { stage, shown, state } = app;
    if (!stage || !state.values) return;
    const node = shown.network.nodes[stage.node];
    const values = state.values[stage.node];
    if (!values) return;
    const sheet = sheetOf(values, node.shape, shown.place, app, stage);
    if (shownFor !== stage) all = false;
    shownFor = stage;
    const order = [...sheet.strengths.keys()];
    if (ordering === "strongest") order.sort((a, b) => sheet.strengths[b] - sheet.strengths[a] || a - b);
    if (state.channel === null || state.channel >= sheet.channels) {
      const strongest = sheet.strengths.indexOf(Math.max(...sheet.strengths));
      app.set({ channel: strongest, unit: null });
    }
    const live = sheet.rectified ? order.filter((c) => sheet.strengths[c] > 0) : order;
    const silent = order.length - live.length;
    const visible = all ? order : live.slice(0, MOST_TILES);
    head.replaceChildren(
      h("h2", {}, `${stage.label} `, h("span", { class: "quiet" }, `${stage.kind}, ${shapeText(node.shape)}`)),
      h("div", { class: "row" }, colourBar(sheet.scale), segments("order of the channels", [["strongest", "strongest first"], ["number", "by number"]], ordering, (chosen) => {
        ordering = chosen;
        draw();
      })),
    );
    tiles.className = `tiles ${sheet.maps ? "" : "units"}`;
    tiles.replaceChildren(...visible.map((c) => tile(app, sheet, c, stage)));
    roving(tiles);
    const parts = [];
    if (live.length > visible.length) parts.push(`${visible.length} strongest of ${live.length}`);
    if (silent) parts.push(`${count(silent, "channel")} silent on this image${sheet.dead ? `, ${sheet.dead} of them on every image of this page` : ""}`);
    below.replaceChildren(h("span", {}, parts.join("; ")), parts.length ? h("button", { class: "link", onclick: () => {
      all = !all;
      draw();
    } }, all ? "show fewer" : "show all") : "");
  };
  store.view(["values", "stage", "network", "otherValues", "theme"], draw, ({ tab }) => tab === "layers");
  store.view(["channel"], ({ channel }) => {
    for (const button of tiles.querySelectorAll("button")) button.setAttribute("aria-pressed", String(Number(button.dataset.channel) === channel));
    roving(tiles);
  }, ({ tab }) => tab === "layers");
  detail.append(...computedView(app));
  panel.classList.add("wide");
  return h("div", { class: "split layersplit" }, h("div", { class: "scroll" }, head, tiles, below), detail);
}

/** What the tiles of a stage have in common: the scale, how strong each channel is, which were silent everywhere. */
export function sheetOf(values, shape, place, app, stage) {
  const [channels, height = 1, width = 1] = shape;
  const plane = height * width;
  const strengths = new Float32Array(channels);
  for (let c = 0; c < channels; c++) {
    let largest = -Infinity;
    for (let i = c * plane; i < (c + 1) * plane; i++) if (values[i] > largest) largest = values[i];
    strengths[c] = largest;
  }
  const rectified = values.every((value) => value >= 0);
  const name = `${place}/largest/${stage.node}`;
  const dead = rectified && app.payload.has(name) ? app.payload.array(name).filter((value) => value <= 0).length : 0;
  return { values, channels, height, width, plane, strengths, rectified, dead, maps: plane > 1, scale: scaleOf(values) };
}

function tile(app, sheet, c, stage) {
  const strength = sheet.strengths[c];
  const name = stage.weighted === app.shown.about.stages.at(-1).weighted ? app.names[c] : String(c);
  const text = `${stage.label}, channel ${name}${sheet.maps ? ", largest value" : ""} ${short(strength)}`;
  const properties = {
    "aria-pressed": String(c === app.state.channel),
    "aria-label": text,
    title: text,
    "data-channel": c,
    onclick: () => app.set({ channel: c, unit: null }),
  };
  if (!sheet.maps) {
    const reach = Math.max(Math.abs(sheet.scale.low), sheet.scale.high) || 1;
    return h("button", { class: "unit", ...properties }, h("span", { class: "name" }, name), " ", h("span", { class: "track" }, h("i", { class: strength < 0 ? "minus" : "", style: `width:${(100 * Math.abs(strength)) / reach}%` })), h("span", { class: "value" }, short(strength)));
  }
  return h("button", { class: `tile${strength > 0 ? "" : " silent"}`, ...properties }, mapCanvas(sheet, c), h("small", {}, name));
}

/** One channel's map as a canvas of its own size. */
export function mapCanvas(sheet, c, properties = { "aria-hidden": "true" }) {
  const canvas = pixelCanvas(sheet.width, sheet.height, { class: "picture", ...properties });
  const pixels = paint(sheet.values, sheet.scale, c * sheet.plane, sheet.plane);
  canvas.getContext("2d").putImageData(new ImageData(pixels, sheet.width, sheet.height), 0, 0);
  return canvas;
}

export function colourBar(scale) {
  return h("span", { class: "colourbar", role: "img", "aria-label": `colours from ${short(scale.low)} to ${short(scale.high)}` }, short(scale.low), h("i", { style: `background:${gradientOf(scale)}` }), short(scale.high));
}
