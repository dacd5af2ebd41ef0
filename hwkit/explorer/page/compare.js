// Two runs: where they differ.

import { count, h, roving, short } from "./dom.js";
import { gallery } from "./gallery.js";
import { matrix } from "./matrix.js";

export function compareView(app) {
  if (app.networks.length < 2) return null;
  const { store, about, images, names } = app;
  const [a, b] = app.shortTitles;
  const [rightA, rightB] = [0, 1].map((place) => app.payload.array(`${place}/right`));
  const { both, only, neither, p } = about.pairs;
  const choose = (inA, inB, text) => {
    const among = [...images.labels.keys()].filter((i) => Boolean(rightA[i]) === inA && Boolean(rightB[i]) === inB);
    app.set({ among, amongText: text, filter: { ...app.state.filter, kind: "all" } });
    if (among.length) app.choose(among[0]);
  };
  const cell = (number, inA, inB, text, kind) =>
    h("td", {}, h("button", { class: `pair ${kind}`, "aria-label": `${text}: ${count(number, "image")}`, onclick: () => choose(inA, inB, text) }, number.toLocaleString("en")));
  const table = h(
    "table",
    { class: "fourfold" },
    h("thead", {}, h("tr", {}, h("td", {}), h("th", { scope: "col" }, `${b} correct`), h("th", { scope: "col" }, `${b} wrong`))),
    h("tbody", {},
      h("tr", {}, h("th", { scope: "row" }, `${a} correct`), cell(both, true, true, "both correct", ""), cell(only[0], true, false, `only ${a} correct`, "differ")),
      h("tr", {}, h("th", { scope: "row" }, `${a} wrong`), cell(only[1], false, true, `only ${b} correct`, "differ"), cell(neither, false, false, "both wrong", ""))),
  );
  const difference = h("div", { class: "confusion" });
  const disagree = h("button", { class: "link", onclick: () => {
    const [first, second] = app.predictions;
    const among = [...images.labels.keys()].filter((i) => first.predicted[i] !== second.predicted[i]);
    app.set({ among, amongText: "where they disagree", filter: { ...app.state.filter, kind: "all" } });
    if (among.length) app.choose(among[0]);
  } }, "all images on which they disagree");
  store.view(["network", "filter"], () => {
    const counts = app.predictions[1].confusion.map((value, i) => value - app.predictions[0].confusion[i]);
    const cells = names.length > 24 ? [] : [matrix(names, counts, { signed: true, choose: (label, predicted) => app.set({ tab: "images", among: null, filter: { ...app.state.filter, kind: "all", label, predicted } }) })];
    difference.replaceChildren(h("h2", {}, "Difference of the confusion matrices"), h("p", { class: "quiet" }, `${b} minus ${a}; blue where ${b} is better`), ...cells);
    roving(difference);
  }, ({ tab }) => tab === "compare");
  const text = `Of ${images.count < about.images.of ? "all " : ""}${about.images.of.toLocaleString("en")} test images. McNemar's exact test: p = ${p < 0.001 ? "< 0.001" : short(p)}.`;
  return h("div", { class: "split" }, h("div", {}, h("h2", {}, "Correct in one, both or neither"), table, h("p", { class: "quiet" }, text.replace("= <", "<")), disagree, gallery(app, "compare")), difference);
}
