// Several runs over each other: their records, a table of them, what they were trained with, and their weights.

import { chart, histogram, smooth } from "./charts.js";
import { h, roving, segments } from "./dom.js";
import { Store } from "./store.js";
import { Payload } from "./tensors.js";
import { isDark, themeButton } from "./theme.js";

const QUANTITIES = { test_accuracy: "test accuracy", train_accuracy: "train accuracy", loss: "loss", penalty: "L2 penalty", learning_rate: "learning rate" };
const AXES = { iteration: "iterations", epoch: "epochs", seconds: "seconds of training" };
const DASHES = [undefined, "7 3", "2 3", "10 3 2 3"];
const COLUMNS = { name: "run", data: "data", profile: "profile", seed: "seed", train_accuracy: "train accuracy", test_accuracy: "test accuracy", seconds: "seconds", finished: "finished" };

if (typeof document !== "undefined") startDashboard(document.getElementById("app"));

async function startDashboard(root) {
  const payload = await Payload.decode(document.getElementById("payload").textContent);
  const { runs, note } = payload.about;
  const groups = [...new Set(runs.map(({ group }) => group))];
  const varied = Object.keys(runs[0].settings).filter((key) => !["seed", "dataset", "name", "profile"].includes(key) && new Set(runs.map(({ settings }) => String(settings[key]))).size > 1);
  const columns = { ...COLUMNS, ...Object.fromEntries(varied.filter((key) => !(key in COLUMNS)).map((key) => [key, key.replaceAll("_", " ")])) };
  const store = new Store({ quantity: "test_accuracy", axis: "iteration", smoothing: 10, band: groups.length < runs.length, range: null, hidden: new Set(), sort: "test_accuracy", falling: true, open: null, against: null, weights: 0, moment: null });
  const app = { payload, runs, groups, varied, columns, store };
  root.classList.add("dashboard");
  root.replaceChildren(
    h("header", {}, h("h1", {}, `${runs.length} runs`), h("span", { class: "space" }), themeButton((theme) => store.set({ theme }))),
    ...(note ? [h("p", { class: "quiet" }, note)] : []),
    h("div", { class: "cards" }, recordsCard(app), tableCard(app), ...(varied.length ? [againstCard(app)] : []), weightsCard(app)),
    h("div", { class: "tooltip", id: "tooltip", role: "tooltip", hidden: true }),
  );
  globalThis.hwkit = app;
  root.removeAttribute("aria-busy");
  store.draw();
}

/** Colour and dashes of a run, or of a group of seeds: no two alike within 48. */
export function styleOf(place) {
  const light = isDark() ? 68 : 40;
  return { colour: `hsl(${Math.round((205 + place * 137.508) % 360)} 70% ${light}%)`, dash: DASHES[Math.floor(place / 12) % DASHES.length] };
}

const styleOfRun = ({ groups, store }, run, place) => styleOf(store.state.band ? groups.indexOf(run.group) : place);

const recordOf = ({ payload }, place, column) => payload.array(`${place}/${column}`);

/** Lines of a data set's runs for the chart: each run's, or one for each group of seeds with the range of its runs. */
export function linesOf(app, data) {
  const { quantity, axis, smoothing, band, hidden } = app.store.state;
  const shown = app.runs.map((run, place) => ({ run, place })).filter(({ run, place }) => run.data === data && !hidden.has(place));
  const lineOf = ({ run, place }) => {
    const x = recordOf(app, place, axis);
    const raw = recordOf(app, place, quantity);
    const window = quantity === "learning_rate" ? 1 : Math.round((raw.length * smoothing) / 100);
    return { name: `${run.name}, seed ${run.seed}`, ...styleOfRun(app, run, place), x, y: smooth(raw, window), raw: window > 1 ? raw : null };
  };
  if (!band) {
    return shown.flatMap((one) => {
      const line = lineOf(one);
      return line.raw && shown.length < 7 ? [{ ...line, y: line.raw, faint: true }, line] : [line];
    });
  }
  return app.groups.flatMap((group) => {
    const members = shown.filter(({ run }) => run.group === group).map(lineOf);
    if (!members.length) return [];
    const [first] = members;
    const length = Math.min(...members.map(({ y }) => y.length));
    const at = Array.from({ length }, (_, i) => members.map(({ y }) => y[i]));
    const { name } = app.runs.find((run) => run.group === group);
    if (members.length === 1) return [{ ...first, name }];
    return [{ ...first, name: `${name}, ${members.length} seeds`, x: first.x.slice(0, length), y: at.map((values) => values.reduce((a, b) => a + b) / values.length), low: at.map((values) => Math.min(...values)), high: at.map((values) => Math.max(...values)) }];
  });
}

/** The width of each of several charts, for letters of one size: one alone takes the whole page. */
const widthOf = (charts) => (charts.length > 1 ? 560 : 1120);

function recordsCard(app) {
  const { store, runs } = app;
  const charts = h("div", { class: "charts" });
  const controls = h("div", { class: "row" });
  const datasets = [...new Set(runs.map(({ data }) => data))];
  const smoothing = h("input", { type: "range", min: 0, max: 50, value: 10, "aria-label": "smoothing in per cent of the readings", oninput: () => store.set({ smoothing: smoothing.valueAsNumber }) });
  const slider = h("label", { class: "row" }, "smoothing ", smoothing);
  const whole = h("button", { class: "link", onclick: () => store.set({ range: null }) }, "whole axis");
  store.view(["quantity", "axis", "band"], ({ quantity, axis, band }) => {
    const select = h("select", { "aria-label": "horizontal axis", onchange: (event) => store.set({ axis: event.target.value, range: null }) }, ...Object.entries(AXES).map(([value, text]) => h("option", { value, selected: value === axis }, text)));
    const seeds = app.groups.length < runs.length ? [segments("seeds", [[true, "seeds as a band"], [false, "each run"]], band, (value) => store.set({ band: value }))] : [];
    controls.replaceChildren(segments("quantity", Object.entries(QUANTITIES), quantity, (value) => store.set({ quantity: value })), h("label", { class: "row" }, "over ", select), ...seeds, slider, whole);
  });
  store.view(["quantity", "axis", "smoothing", "band", "range", "hidden", "theme"], ({ quantity, axis, range }) => {
    whole.hidden = !range;
    const logarithmic = quantity === "loss" || quantity === "penalty";
    const drawn = datasets.map((data) => [data, linesOf(app, data)]).filter(([, lines]) => lines.length);
    charts.replaceChildren(
      ...drawn.map(([data, lines]) => chart(lines, { title: `${data}: ${QUANTITIES[quantity]}`, xLabel: AXES[axis], yLabel: QUANTITIES[quantity], logarithmic, range, onZoom: (found) => store.set({ range: found }), width: widthOf(drawn) })),
    );
    if (!drawn.length) charts.append(h("p", { class: "quiet" }, "All runs are hidden. Show one in the table."));
  });
  return h("section", { class: "card" }, controls, charts, h("p", { class: "quiet" }, "Point at a chart for values; draw across it to zoom."));
}

function tableCard(app) {
  const { store, runs, columns } = app;
  const box = h("div", { class: "table" });
  store.view(["sort", "falling", "hidden", "open", "band", "theme"], ({ sort, falling, hidden, open }) => {
    const value = (run) => run[sort] ?? run.settings[sort];
    const order = [...runs.keys()].sort((a, b) => (falling ? -1 : 1) * (value(runs[a]) < value(runs[b]) ? -1 : value(runs[a]) > value(runs[b]) ? 1 : 0));
    const head = Object.entries(columns).map(([key, text]) =>
      h("th", { scope: "col", "aria-sort": key === sort ? (falling ? "descending" : "ascending") : undefined }, h("button", { class: "plain", onclick: () => store.set({ sort: key, falling: key === sort ? !falling : typeof runs[0][key] === "number" }) }, text, key === sort ? (falling ? " ▼" : " ▲") : "")));
    const rows = order.flatMap((place) => {
      const run = runs[place];
      const shown = !hidden.has(place);
      const toggle = () => {
        const next = new Set(hidden);
        if (!next.delete(place)) next.add(place);
        store.set({ hidden: next });
      };
      const { colour, dash } = styleOfRun(app, run, place);
      const swatch = h("button", { class: `swatch${shown ? "" : " off"}`, "aria-pressed": String(shown), "aria-label": `${run.name}, seed ${run.seed}: ${shown ? "shown" : "hidden"} in the charts`, title: shown ? "hide" : "show", onclick: toggle }, h("i", { style: `border-top:3px ${dash ? "dashed" : "solid"} ${colour}` }));
      const cells = Object.keys(columns).map((key) => h("td", {}, key === "name" ? h("button", { class: "link", "aria-expanded": String(open === place), onclick: () => store.set({ open: open === place ? null : place, weights: place, moment: null }) }, run.name) : cellText(run[key] ?? run.settings[key], key)));
      const detail = open === place ? [h("tr", {}, h("td", { colSpan: Object.keys(columns).length + 1, class: "opened" }, runDetails(run)))] : [];
      return [h("tr", { "data-run": place }, h("td", {}, swatch), ...cells), ...detail];
    });
    box.replaceChildren(h("table", { class: "runs-table" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "hidden" }, "shown")), ...head)), h("tbody", {}, ...rows)));
    roving(box, "tbody button");
  });
  return h("section", { class: "card" }, box);
}

const cellText = (value, key) => (typeof value === "number" ? (key.endsWith("accuracy") ? value.toFixed(4) : String(Number(value.toPrecision(4)))) : String(value ?? ""));

function runDetails(run) {
  const settings = Object.entries(run.settings).map(([key, value]) => `${key.replaceAll("_", " ")} ${value}`).join(" · ");
  return h("div", {}, h("p", {}, settings), h("p", {}, "Look inside: ", h("code", {}, `hwkit.explore(hwkit.load(${JSON.stringify(run.folder)}))`), " or ", h("code", {}, `hwkit explore ${run.folder}`)));
}

/** Accuracy against what the runs differ in. */
function againstCard(app) {
  const { store, runs, varied } = app;
  const datasets = [...new Set(runs.map(({ data }) => data))];
  const valuesOf = (key, data) => new Set(runs.filter((run) => run.data === data).map(({ settings }) => settings[key]));
  const numbers = varied.filter((key) => runs.every(({ settings }) => typeof settings[key] === "number") && datasets.some((data) => valuesOf(key, data).size > 1));
  const charts = h("div", { class: "charts" });
  if (!numbers.length) return "";
  const select = h("select", { "aria-label": "setting", onchange: (event) => store.set({ against: event.target.value }) }, ...numbers.map((key) => h("option", { value: key }, key.replaceAll("_", " "))));
  store.view(["against", "hidden", "band", "theme"], ({ against, hidden }) => {
    const key = numbers.includes(against) ? against : numbers[0];
    const differing = datasets.filter((data) => valuesOf(key, data).size > 1);
    charts.replaceChildren(...differing.map((data) => {
      const shown = [...runs.keys()].filter((place) => runs[place].data === data && !hidden.has(place));
      const values = [...new Set(shown.map((place) => runs[place].settings[key]))].sort((a, b) => a - b);
      if (!shown.length) return "";
      const logarithmicX = values[0] > 0 && values.at(-1) / values[0] > 20;
      // Zero has no place on a logarithmic axis; evenly spaced, every value has.
      const spaced = !logarithmicX && values.length < 9;
      const x = (place) => (spaced ? values.indexOf(runs[place].settings[key]) : runs[place].settings[key]);
      const lines = shown.map((place) => ({ name: `${runs[place].name}, seed ${runs[place].seed}`, ...styleOfRun(app, runs[place], place), x: [x(place)], y: [runs[place].test_accuracy] }));
      return chart(lines, { title: `${data}: test accuracy against ${key.replaceAll("_", " ")}`, xLabel: key.replaceAll("_", " "), yLabel: "test accuracy", logarithmicX, dots: true, width: widthOf(differing), xTicks: spaced ? values.map((value, at) => [at, String(value)]) : undefined });
    }));
  });
  return h("section", { class: "card" }, h("label", { class: "row" }, "test accuracy against ", select), charts);
}

function weightsCard(app) {
  const { store, runs, payload } = app;
  const box = h("div", { class: "histograms" });
  const text = h("output", {});
  const slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "moment of the training", oninput: () => store.set({ moment: slider.valueAsNumber }) });
  const select = h("select", { "aria-label": "run whose weights are shown", onchange: (event) => store.set({ weights: Number(event.target.value), moment: null }) });
  const note = h("p", { class: "quiet" });
  store.view(["weights", "moment", "theme"], ({ weights, moment }) => {
    const run = runs[weights];
    const last = run.moments.length - 1;
    const at = moment ?? last;
    select.replaceChildren(...runs.map(({ name, seed }, place) => h("option", { value: place, selected: place === weights }, `${name}, seed ${seed}`)));
    slider.max = last;
    slider.value = at;
    text.textContent = `after iteration ${run.moments[at].toLocaleString("en")}`;
    note.textContent = last < 2 ? "Only the first and the last weights were kept; hwkit.train(experiment, snapshots=10) keeps some between them." : "";
    box.replaceChildren(...run.parameters.map(({ name, range, bins }, k) => histogram(name, payload.array(`${weights}/weights/${k}`).subarray(at * bins, (at + 1) * bins), range, styleOf(weights).colour)));
  });
  return h("section", { class: "card" }, h("div", { class: "row" }, h("label", { class: "row" }, "weights of ", select), slider, text), box, note);
}
