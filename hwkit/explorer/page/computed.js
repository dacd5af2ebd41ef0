// One channel at large: where it looks, how each of its numbers is computed, and what excites it.

import { paint, scaleOf, SCALES } from "./colours.js";
import { h, pixelCanvas, roving, short } from "./dom.js";
import { colourBar, mapCanvas, sheetOf } from "./layers.js";
import { originOf, placeOf, poolingOf, stepsOf, termsOf } from "./terms.js";

const MOST_GROUPS = 3; // input channels of a convolution shown in full
const MOST_TERMS = 6; // of a linear layer, for and against each

export function computedView(app) {
  const { store } = app;
  const map = h("div", { class: "channel" });
  const sum = h("div", { class: "sum" });
  const excited = h("div", { class: "excited" });
  const here = ({ tab }) => tab === "layers";

  store.view(["values", "stage", "channel", "network", "theme", "otherValues"], () => {
    const { stage, shown, state } = app;
    const values = stage && state.values?.[stage.node];
    if (!values) return;
    const node = shown.network.nodes[stage.node];
    const channel = Math.min(state.channel ?? 0, node.shape[0] - 1);
    const sheet = sheetOf(values, node.shape, shown.place, app, stage);
    const last = stage.weighted === shown.about.stages.at(-1).weighted;
    const title = last ? `${stage.label}: ${app.names[channel]}` : `${stage.label}, channel ${channel}`;
    map.replaceChildren(h("h2", {}, title), ...(sheet.maps ? [bigMap(app, sheet, channel, stage)] : []));
    if (!sheet.maps || state.unit === null) app.set({ unit: strongestUnit(sheet, channel) });
  }, here);
  store.view(["unit", "values", "stage", "channel", "network", "theme"], (state) => {
    const { stage, shown } = app;
    if (!stage || !state.values?.[stage.node] || state.unit === null || state.unit >= state.values[stage.node].length) return;
    showField(app, stage, state.unit);
    sum.replaceChildren(...computation(app, shown.network, state.values, stage, state.unit));
  }, here);
  store.view(["stage", "channel", "network"], () => {
    const { stage, state, shown } = app;
    if (stage) excited.replaceChildren(...whatExcites(app, stage, Math.min(state.channel ?? 0, shown.network.nodes[stage.node].shape[0] - 1)));
    roving(excited, ".thumb");
  }, here);
  store.view(["tab"], ({ tab }) => {
    if (tab !== "layers") app.set({ box: null });
  });
  return [map, sum, excited];
}

function strongestUnit(sheet, channel) {
  let best = channel * sheet.plane;
  for (let i = best; i < (channel + 1) * sheet.plane; i++) if (sheet.values[i] > sheet.values[best]) best = i;
  return best;
}

function showField(app, stage, unit) {
  const node = app.shown.network.nodes[stage.node];
  if (node.shape.length < 3) {
    app.set({ box: null });
    return;
  }
  const { row, column } = placeOf(node, unit);
  const box = app.shown.network.receptiveField(stage.node, [row, row, column, column]);
  const { box: before } = app.state;
  if (String(before) !== String(box)) app.set({ box });
}

/** The map, to be pointed at: mouse and finger, or arrow keys. */
function bigMap(app, sheet, channel, stage) {
  const canvas = mapCanvas(sheet, channel, { tabIndex: 0, role: "application", "aria-label": `map of channel ${channel}: point at a pixel, or move with the arrow keys, to see how it is computed` });
  const cross = h("i", { class: "cross" });
  const look = (row, column) => {
    const unit = channel * sheet.plane + row * sheet.width + column;
    app.set({ unit });
    place(unit);
  };
  const place = (unit) => {
    const { row, column } = placeOf({ shape: [sheet.channels, sheet.height, sheet.width] }, unit);
    cross.style.cssText = `left:${(100 * column) / sheet.width}%;top:${(100 * row) / sheet.height}%;width:${100 / sheet.width}%;height:${100 / sheet.height}%`;
  };
  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    const within = (value, size) => Math.min(size - 1, Math.max(0, Math.floor(value * size)));
    look(within((event.clientY - box.y) / box.height, sheet.height), within((event.clientX - box.x) / box.width, sheet.width));
  };
  canvas.onpointermove = under;
  canvas.onpointerdown = under;
  canvas.onkeydown = (event) => {
    const way = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!way) return;
    event.preventDefault();
    const now = app.state.unit % sheet.plane;
    const row = Math.floor(now / sheet.width) + way[0];
    const column = (now % sheet.width) + way[1];
    if (row >= 0 && row < sheet.height && column >= 0 && column < sheet.width) look(row, column);
  };
  place(app.state.unit !== null && Math.floor(app.state.unit / sheet.plane) === channel ? app.state.unit : strongestUnit(sheet, channel));
  const parts = [h("figure", {}, h("div", { class: "frame" }, canvas, cross), h("figcaption", {}, colourBar(sheet.scale)))];
  const other = otherMap(app, sheet, channel, stage);
  if (other) parts.push(other);
  return h("div", { class: "row maps" }, ...parts);
}

/** The same channel of the other run's layer of that name, on the same scale. */
function otherMap(app, sheet, channel, stage) {
  if (app.networks.length < 2 || !app.state.otherValues) return null;
  const place = 1 - app.state.network;
  const match = app.about.networks[place].stages.find(({ label }) => label === stage.label);
  const shape = match && app.networks[place].nodes[match.node].shape;
  if (!match || String(shape) !== String([sheet.channels, sheet.height, sheet.width])) return null;
  const values = app.state.otherValues[match.node];
  return h("figure", {}, h("div", { class: "frame" }, mapCanvas({ ...sheet, values }, channel)), h("figcaption", { class: "quiet" }, `${app.shortTitles[place]}, same scale`));
}

/** How one number is computed, from terms to what is shown; the numbers add up. */
function computation(app, network, values, stage, unit) {
  const node = network.nodes[stage.weighted];
  const { groups, bias, total } = termsOf(network, values, stage.weighted, unit);
  const steps = stepsOf(network, values, stage, unit);
  const { row, column } = placeOf(node, unit);
  const title = node.shape.length === 3 ? `How row ${row}, column ${column} is computed` : "How this number is computed";
  const lines = [];
  const line = (text, value, kind = "") => lines.push(h("tr", { class: kind }, h("td", {}, text), h("td", {}, short(value))));
  const parts = [h("h2", {}, title)];
  if (node.op === "convolution") parts.push(...convolved(app, network, node, groups, line));
  else if (node.op === "linear") parts.push(...weighed(app, network, node, groups, line));
  else node.inputs.forEach((input, i) => values[input].length === values[stage.weighted].length && line(`${i ? (node.kind === "add" ? "+" : node.kind) : ""} ${network.nodes[input].label}`, values[input][unit]));
  if (groups.length) line("+ bias", bias);
  line("=", total, "total");
  for (const { label, value } of steps) line(label, value, "step");
  const pooled = poolingOf(network, values, stage.node, unit);
  if (pooled) line(pooled.largest ? `largest of its ${pooled.window.length} neighbours${pooled.kept ? ": this one" : ""}` : `mean of ${pooled.window.length}`, pooled.result, "step");
  parts.push(h("table", { class: "lines" }, h("tbody", {}, ...lines)));
  return parts;
}

function convolved(app, network, node, groups, line) {
  const first = [...groups].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum)).slice(0, MOST_GROUPS);
  const rest = groups.filter((group) => !first.includes(group));
  const image = node.inputs[0] === 0;
  const nameOf = ({ channel }) => (!image ? `channel ${channel}` : groups.length === 3 ? ["red", "green", "blue"][channel] : groups.length === 1 ? "image" : `channel ${channel}`);
  const triples = first.map((group) => {
    const kernel = scaleOf(group.kernel);
    const products = scaleOf(group.products);
    const signed = ({ low, high }) => ({ low: -Math.max(-low, high), high: Math.max(-low, high), colours: SCALES.blueRed });
    return h("div", { class: "triple" }, grid(group, group.patch, scaleOf(group.patch)), "×", grid(group, group.kernel, signed(kernel)), "=", grid(group, group.products, signed(products)), h("b", {}, `Σ ${short(group.sum)}`), h("small", {}, nameOf(group)));
  });
  for (const group of first) line(`${first.indexOf(group) ? "+ " : ""}Σ ${nameOf(group)}`, group.sum);
  if (rest.length) line(`+ ${rest.length} other channels`, rest.reduce((sum, group) => sum + group.sum, 0));
  return [h("div", { class: "triples" }, h("div", { class: "triple heads quiet" }, h("span", {}, "patch"), h("span", {}, "kernel"), h("span", {}, "products")), ...triples)];
}

/** A patch, kernel or product: squares in colour, with their numbers where there is room. */
function grid({ height, width }, values, scale) {
  const canvas = pixelCanvas(width, height, { class: "picture", role: "img", "aria-label": `${height} × ${width} numbers: ${[...values].slice(0, 25).map(short).join(", ")}` });
  canvas.title = Array.from({ length: height }, (_, y) => [...values.slice(y * width, (y + 1) * width)].map(short).join("  ")).join("\n");
  canvas.getContext("2d").putImageData(new ImageData(paint(values, scale), width, height), 0, 0);
  return canvas;
}

function weighed(app, network, node, groups, line) {
  const order = groups.filter(({ sum }) => sum !== 0).sort((a, b) => b.sum - a.sum);
  const most = order.filter(({ sum }) => sum > 0).slice(0, MOST_TERMS);
  const least = order.filter(({ sum }) => sum < 0).slice(-MOST_TERMS).reverse();
  const rest = groups.length - most.length - least.length;
  const list = (title, kind, terms) => {
    const reach = Math.max(...terms.map(({ sum }) => Math.abs(sum)), 1e-9);
    return h("div", { class: `terms ${kind}` }, h("h3", {}, title), ...terms.map((term) => termRow(app, network, node, term, reach)));
  };
  const sumOf = (terms) => terms.reduce((sum, term) => sum + term.sum, 0);
  line(`${most.length} largest for it`, sumOf(most));
  line(`+ ${least.length} largest against it`, sumOf(least));
  if (rest) line(`+ ${rest} others`, sumOf(groups) - sumOf(most) - sumOf(least));
  return [h("div", { class: "both" }, list("for", "plus", most), list("against", "minus", least))];
}

function termRow(app, network, node, { channel, value, weight, sum }, reach) {
  const origin = originOf(network, node.inputs[0], channel);
  const maps = network.nodes[origin.node].shape.length === 3;
  const { stages } = app.shown.about;
  const stage = stages.findLastIndex(({ node: at }) => at <= origin.node);
  const name = origin.node === 0 ? `pixel ${channel}` : `${stages[stage]?.label ?? ""} ${origin.channel}${maps ? ` at ${origin.row}, ${origin.column}` : ""}`;
  const text = `${short(value)} × ${short(weight)} = ${short(sum)}`;
  return h("button", { class: "term", title: text, "aria-label": `${name} ${short(sum)}: ${text}; look at where it comes from`, onclick: () => stage >= 0 && origin.node > 0 && app.look(stage, origin.channel) },
    h("span", { class: "name" }, name), " ", h("span", { class: "track" }, h("i", { style: `width:${(100 * Math.abs(sum)) / reach}%` })), h("span", { class: "value" }, short(sum)));
}

/** The test images that a channel responds to most, and one made to excite it. */
function whatExcites(app, stage, channel) {
  const { place, predictions } = app.shown;
  const name = `${place}/strongest/${stage.node}`;
  const parts = [];
  if (app.payload.has(name)) {
    const [, kept] = app.payload.shape(name);
    const found = app.payload.array(name).subarray(channel * kept, (channel + 1) * kept);
    const largest = app.payload.array(`${place}/largest/${stage.node}`)[channel];
    parts.push(h("h2", {}, "Strongest test images"));
    parts.push(largest > 0 || stage.kind !== "convolution" ? h("div", { class: "gallery small" }, ...[...found].map((one) => app.images.button(one, predictions.predicted[one], (chosen) => app.choose(chosen)))) : h("p", { class: "quiet" }, "Silent on every image of this page."));
  }
  const box = h("span", {});
  const make = h("button", { class: "link", onclick: () => exciteChannel(app, stage, channel, box, make) }, "make an image that excites it");
  parts.push(h("div", { class: "row" }, make, box));
  return parts;
}

async function exciteChannel(app, stage, channel, box, button) {
  const { images } = app;
  const canvas = pixelCanvas(images.width, images.height, { class: "picture made", role: "img", "aria-label": `made by gradient ascent for channel ${channel}` });
  box.replaceChildren(canvas);
  const show = ({ image, done }) => {
    images.draw(canvas, images.unprepared(image));
    button.textContent = done < 1 ? `${Math.round(100 * done)} %` : "look at it";
  };
  const low = images.mean.map((mean, c) => -mean / images.std[c]);
  const high = images.mean.map((mean, c) => (1 - mean) / images.std[c]);
  const task = { kind: "excite", network: app.state.network, node: stage.node, channel, low, high, shape: images.shape };
  const made = await app.engine.ask("excite", task, show);
  if (!made) return;
  show({ ...made, done: 1 });
  const pixels = Uint8Array.from(images.unprepared(made.image));
  button.replaceWith(h("button", { class: "link", onclick: () => app.choosePixels(pixels, `made for ${stage.label} ${channel}`) }, "look at it"));
}

