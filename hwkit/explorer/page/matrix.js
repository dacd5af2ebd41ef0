// Confusion matrices: a click on a cell leads to its images.

import { h, roving } from "./dom.js";

const MOST_CLASSES = 24; // classes, to be shown as a table
const WORST = 40; // pairs of classes listed in its place

export function matrixView(app) {
  const box = h("div", { class: "confusion" });
  app.store.view(["network", "filter", "theme"], ({ filter }) => {
    const { confusion, classes } = app.shown.predictions;
    const choose = (label, predicted) => app.filterBy({ kind: "all", label, predicted });
    const chosen = (label, predicted) => label === filter.label && predicted === filter.predicted;
    const content = classes > MOST_CLASSES ? worstPairs(app.names, confusion, choose) : matrix(app.names, confusion, { choose, chosen });
    box.replaceChildren(h("h2", {}, "Confusion matrix"), h("p", { class: "quiet" }, "of all test images; a row for each true class"), content);
    roving(box);
  }, ({ tab }) => tab === "images");
  return box;
}

/**
 * A table of counts, row by row. With `signed`, differences: blue below zero, red above it; else correct ones are
 * blue and the others red, by their part of the largest.
 */
export function matrix(names, counts, { choose, chosen = () => false, signed = false }) {
  const classes = names.length;
  const off = counts.filter((_, i) => i % classes !== Math.floor(i / classes)).reduce((a, b) => Math.max(a, Math.abs(b)), 1);
  const on = names.map((_, c) => Math.abs(counts[c * classes + c])).reduce((a, b) => Math.max(a, b), 1);
  const long = names.some((name) => name.length > 2);
  const cell = (label, predicted) => {
    const value = counts[label * classes + predicted];
    const diagonal = label === predicted;
    const share = Math.sqrt(Math.abs(value) / (signed ? Math.max(on, off) : diagonal ? on : off));
    const better = signed ? (value > 0) === diagonal : diagonal;
    const colour = better ? "var(--good)" : "var(--bad)";
    const text = signed && value > 0 ? `+${value}` : String(value).replace("-", "−");
    return h(
      "td",
      {},
      h(
        "button",
        {
          class: "cell",
          "data-cell": `${label} ${predicted}`,
          "aria-pressed": String(chosen(label, predicted)),
          "aria-label": `true ${names[label]}, predicted ${names[predicted]}: ${text}`,
          style: value ? `background:color-mix(in srgb, ${colour} ${Math.round(8 + 42 * share)}%, var(--card))` : undefined,
          onclick: () => choose(label, predicted),
        },
        value ? text : h("span", { class: "none" }, "·"),
      ),
    );
  };
  return h(
    "table",
    { class: `matrix${long ? " long" : ""}`, style: `--classes:${classes}` },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "corner" }, "true ↓ predicted →")), ...names.map((name) => h("th", { scope: "col" }, h("span", {}, name))))),
    h("tbody", {}, ...names.map((name, label) => h("tr", {}, h("th", { scope: "row" }, name), ...names.map((_, predicted) => cell(label, predicted))))),
  );
}

/** The pairs of classes that are confused most, where a table would be too large. */
function worstPairs(names, counts, choose) {
  const classes = names.length;
  const pairs = [...counts.keys()].filter((i) => counts[i] && i % classes !== Math.floor(i / classes));
  pairs.sort((a, b) => counts[b] - counts[a] || a - b);
  return h(
    "ol",
    { class: "pairs scroll" },
    ...pairs.slice(0, WORST).map((i) => {
      const [label, predicted] = [Math.floor(i / classes), i % classes];
      return h("li", {}, h("button", { "data-cell": `${label} ${predicted}`, onclick: () => choose(label, predicted) }, `${names[label]} → ${names[predicted]}`, h("b", {}, String(counts[i]))));
    }),
  );
}
