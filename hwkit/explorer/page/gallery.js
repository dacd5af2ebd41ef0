// The images that fit the filter, and the confusion matrix beside them.

import { count, h, roving, segments } from "./dom.js";
import { matrixView } from "./matrix.js";
import { NO_FILTER, SORTS } from "./predictions.js";

const PAGE = 96; // images drawn at once

export function galleryView(app) {
  return h("div", { class: "split" }, h("div", {}, filterBar(app), gallery(app, "images")), matrixView(app));
}

/** Thumbnails of the images that fit, more of them on demand; drawn while the tab of that name is open. */
export function gallery(app, tab) {
  const { store, images } = app;
  const grid = h("div", { class: "gallery", role: "group", "aria-label": "images that fit" });
  let limit = PAGE;
  let drawn = null;
  const more = h("button", { class: "more", onclick: () => draw((limit += 2 * PAGE)) });
  const draw = () => {
    const { found } = app;
    const { predicted } = app.shown.predictions;
    const shown = found.slice(0, limit);
    grid.replaceChildren(...shown.map((place) => images.button(place, predicted[place], (one) => app.choose(one), place === app.state.image)));
    if (!found.length) grid.append(h("p", { class: "quiet" }, "No image fits. Take a filter away."));
    more.hidden = shown.length === found.length;
    more.textContent = `show more of ${found.length.toLocaleString("en")}`;
    roving(grid);
  };
  const here = ({ tab: open }) => open === tab;
  store.view(["filter", "sort", "among", "network"], () => {
    limit = PAGE;
    draw();
    drawn = app.found;
  }, here);
  store.view(["image"], ({ image }) => {
    if (drawn !== app.found) return;
    const number = image === null ? null : String(images.numbers[image]);
    for (const button of grid.querySelectorAll(".thumb")) {
      button.setAttribute("aria-pressed", String(button.dataset.image === number));
    }
    roving(grid);
  }, here);
  return h("div", { class: "scroll" }, grid, more);
}

/** What is shown, in words that can be taken away one by one. */
export function filterBar(app) {
  const { names, store } = app;
  const bar = h("div", { class: "filters" });
  store.view(["filter", "sort", "among", "network"], ({ filter, sort, among, amongText }) => {
    const chip = (text, changes) =>
      h("button", { class: "chip", "aria-label": `take away: ${text}`, onclick: () => (changes.among === null ? app.set(changes) : app.filterBy(changes)) }, text, h("span", { "aria-hidden": "true" }, " ×"));
    const chips = [];
    if (filter.label !== null) chips.push(chip(`true ${names[filter.label]}`, { label: null }));
    if (filter.predicted !== null) chips.push(chip(`predicted ${names[filter.predicted]}`, { predicted: null }));
    if (filter.from > 0 || filter.to < 1) {
      chips.push(chip(`confidence ${Math.round(100 * filter.from)} to ${Math.round(100 * filter.to)} %`, { from: 0, to: 1 }));
    }
    if (among) chips.push(chip(amongText, { among: null, amongText: "" }));
    const choice = (label, key, options) =>
      h(
        "select",
        { "aria-label": label, onchange: (event) => app.filterBy({ [key]: event.target.value === "" ? null : Number(event.target.value) }) },
        h("option", { value: "" }, label),
        ...options.map((name, c) => h("option", { value: c, selected: filter[key] === c }, name)),
      );
    const bound = (label, key) =>
      h("input", {
        type: "number", min: 0, max: 100, step: 1, value: Math.round(100 * filter[key]), "aria-label": label,
        onchange: (event) => app.filterBy({ [key]: Math.min(1, Math.max(0, event.target.valueAsNumber / 100 || 0)) }),
      });
    const sorting = h(
      "select",
      { "aria-label": "order of the images", onchange: (event) => app.set({ sort: event.target.value }) },
      ...Object.entries(SORTS).map(([value, text]) => h("option", { value, selected: value === sort }, text)),
    );
    const kinds = [["all", "all"], ["misclassified", "misclassified"], ["correct", "correct"]];
    const more = h(
      "details",
      { class: "menu" },
      h("summary", {}, "filter"),
      h(
        "div",
        { class: "sheet" },
        choice("true class", "label", names),
        choice("predicted class", "predicted", names),
        h("span", { class: "row" }, "confidence", bound("lowest confidence in per cent", "from"), "to", bound("highest confidence in per cent", "to"), "%"),
      ),
    );
    bar.replaceChildren(
      segments("which images", kinds, filter.kind, (kind) => app.filterBy({ kind })),
      more,
      sorting,
      h("b", { class: "count", role: "status" }, count(app.found.length, "image")),
      ...chips,
      ...(chips.length > 1 ? [h("button", { class: "link", onclick: () => app.set({ filter: NO_FILTER, among: null, amongText: "" }) }, "clear all")] : []),
    );
  });
  return bar;
}
