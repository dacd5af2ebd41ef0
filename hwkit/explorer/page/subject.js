// The image that is looked at, and what the network makes of it: always in sight.

import { h, percent, pixelCanvas, roving } from "./dom.js";

const MOST_BARS = 12;
const NARROW = "(max-width: 720px)"; // where four bars have to do

export function subjectView(app) {
  const { store, images, names } = app;
  const picture = pixelCanvas(images.width, images.height, { class: "picture large", role: "img" });
  const marks = h("div", { class: "marks" });
  const frame = h("div", { class: "frame", style: `aspect-ratio:${images.width}/${images.height}` }, picture, marks);
  const title = h("div", { class: "title" });
  const verdict = h("p", { class: "verdict", role: "status" });
  const bars = h("div", { class: "bars" });
  const order = h("button", { class: "link", onclick: () => app.set({ sorted: !app.state.sorted }) });
  const number = h("input", {
    type: "number",
    min: 0,
    max: app.about.images.of - 1,
    "aria-label": "number of the test image",
    onchange: () => look(number.valueAsNumber),
  });
  function look(wanted) {
    const place = images.numbers.indexOf(wanted);
    if (place >= 0) app.choose(place);
    else app.say(`Test image ${number.value} is not among the ${images.count} on this page.`);
  }
  const step = (text, label, direction, condition) =>
    h("button", { "aria-label": label, title: label, onclick: () => app.step(direction, condition) }, text);
  const wrong = (place) => app.shown.predictions.predicted[place] !== images.labels[place];
  const legend = h("small", {});
  const walk = h(
    "div",
    { class: "walk", role: "group", "aria-label": "step through the images" },
    step("◀", "previous image", -1),
    step("▶", "next image", 1),
    step("◀ ✗", "previous misclassified image", -1, wrong),
    step("✗ ▶", "next misclassified image", 1, wrong),
  );

  store.view(["image", "pixels", "source", "network"], ({ image, pixels, source }) => {
    images.draw(picture, pixels);
    app.say("");
    if (image === null) {
      title.replaceChildren(h("b", {}, source), backButton(app));
      picture.setAttribute("aria-label", source);
    } else {
      number.value = images.numbers[image];
      title.replaceChildren(h("label", {}, h("b", {}, "Test image "), number));
      picture.setAttribute("aria-label", `test image ${images.numbers[image]}`);
    }
  });
  matchMedia(NARROW).addEventListener("change", () => app.set({ theme: {} })); // anything that has views draw again
  store.view(["image", "values", "network", "sorted", "target", "otherValues", "theme"], (state) => {
    const probabilities = app.probabilities();
    const known = probabilities !== null;
    bars.setAttribute("aria-busy", String(!known));
    if (!known) return;
    const label = state.image === null ? null : images.labels[state.image];
    const best = app.bestOf(probabilities);
    const other = app.networks.length > 1 ? app.probabilities(1 - state.network) : null;
    if (other) legend.replaceChildren(h("i", { class: "tick" }), app.shortTitles[1 - state.network]);
    order.hidden = probabilities.length > MOST_BARS;
    verdict.replaceChildren(...verdictOf(names, label, best));
    order.textContent = state.sorted ? "sorted" : "by class";
    order.setAttribute("aria-label", `bars ${order.textContent}; change their order`);
    bars.replaceChildren(...barsOf(app, probabilities, other, label, best));
    roving(bars);
  });
  store.view(["box"], ({ box }) => {
    marks.replaceChildren();
    if (!box) return;
    const [top, bottom, left, right] = box;
    const part = (value, whole) => `${(100 * value) / whole}%`;
    const style =
      `left:${part(left, images.width)};top:${part(top, images.height)};` +
      `width:${part(right - left + 1, images.width)};height:${part(bottom - top + 1, images.height)}`;
    marks.append(h("i", { class: "field", style }));
  });
  return h(
    "section",
    { class: "subject", "aria-label": "the image that is looked at" },
    title,
    h("div", { class: "look" }, frame, h("div", { class: "about" }, verdict, walk)),
    h("div", { class: "row between" }, h("h2", {}, "Probabilities"), legend, order),
    bars,
  );
}

function backButton(app) {
  return h("button", { class: "link", onclick: () => app.step(1) }, "back to the test images");
}

function verdictOf(names, label, best) {
  if (label === null) return ["predicted ", h("b", {}, names[best])];
  const right = best === label;
  const badge = h("span", { class: `badge ${right ? "right" : "wrong"}` }, right ? "✓ correct" : "✗ misclassified");
  return [badge, h("span", {}, "true ", h("b", {}, names[label])), h("span", {}, "predicted ", h("b", {}, names[best]))];
}

function barsOf(app, probabilities, other, label, best) {
  const { sorted, target } = app.state;
  const order = [...probabilities.keys()];
  const most = matchMedia(NARROW).matches ? 4 : MOST_BARS;
  const many = order.length > most;
  if (sorted || many) order.sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  const shown = order.slice(0, most);
  if (label !== null && !shown.includes(label)) shown[shown.length - 1] = label;
  const rows = shown.map((c) => {
    const kind = c === label ? "true" : c === best ? "best" : "";
    return h(
      "button",
      {
        class: `bar ${kind}`,
        "aria-pressed": String(c === target),
        "aria-label": `${app.names[c]} ${percent(probabilities[c])}${c === label ? ", the true class" : ""}: how its logit comes about`,
        onclick: () => app.set({ target: c, ...(app.state.tab === "why" ? {} : logitOf(app, c)) }),
      },
      h("span", { class: "name" }, app.names[c]),
      " ", // between words that are read as one otherwise
      h(
        "span",
        { class: "track" },
        h("i", { style: `width:${100 * probabilities[c]}%` }),
        other && h("i", { class: "other", style: `width:${100 * other[c]}%` }),
      ),
      h("span", { class: "value" }, percent(probabilities[c])),
    );
  });
  if (many && most === MOST_BARS) rows.push(h("p", { class: "quiet" }, `and ${order.length - shown.length} less probable classes`));
  return rows;
}

/** What shows the terms of a class's logit: the last layer, at its unit. */
function logitOf(app, c) {
  const { stages } = app.shown.about;
  const last = stages.length - 1;
  return last >= 0 && app.state.values ? { tab: "layers", stage: last, channel: c, unit: null } : {};
}
