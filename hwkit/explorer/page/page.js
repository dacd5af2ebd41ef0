// The page: what is where, and what a choice means.

import { Engine } from "./engine.js";
import { compareView } from "./compare.js";
import { count, h, percent } from "./dom.js";
import { embeddingView } from "./embedding.js";
import { galleryView } from "./gallery.js";
import { Images } from "./images.js";
import { layersView } from "./layers.js";
import { matching, NO_FILTER, Predictions } from "./predictions.js";
import { shareMenu } from "./share.js";
import { Store } from "./store.js";
import { stripView } from "./strip.js";
import { subjectView } from "./subject.js";
import { networksOf, probabilitiesOf } from "./tasks.js";
import { Payload } from "./tensors.js";
import { themeButton } from "./theme.js";
import { trainingView } from "./training.js";
import { whatIfView } from "./whatif.js";
import { whyView } from "./why.js";

const TABS = {
  images: ["Images", galleryView],
  map: ["Map", embeddingView],
  layers: ["Layers", layersView],
  why: ["Why", whyView],
  whatif: ["What if", whatIfView],
  compare: ["Two runs", compareView],
  training: ["Training", trainingView],
};

export async function startPage(root) {
  const text = document.getElementById("payload").textContent;
  const code = document.getElementById("code").textContent;
  const engine = new Engine(text, code); // decodes while this does
  const payload = await Payload.decode(text);
  const app = new App(payload, await Images.open(payload), engine);
  globalThis.hwkit = app; // for tests, and for the curious
  app.show(root);
}

/** Names of networks for tables and captions: letters where the titles are long or alike. */
export function shortTitles(titles) {
  const clear = titles.every((title) => title.length <= 20) && new Set(titles).size === titles.length;
  return clear || titles.length === 1 ? titles : titles.map((_, place) => "AB"[place]);
}

class App {
  constructor(payload, images, engine) {
    Object.assign(this, { payload, images, engine, about: payload.about, names: payload.about.names });
    this.networks = networksOf(payload);
    this.shortTitles = shortTitles(payload.about.networks.map(({ title }) => title));
    this.predictions = payload.about.networks.map((_, place) => new Predictions(payload, place));
    this.store = new Store(this.#firstState());
    this.store.view(["pixels", "network"], (state) => this.#compute(state));
    this.store.listen(() => this.#remember());
  }

  get state() {
    return this.store.state;
  }

  set(changes) {
    this.store.set(changes);
  }

  /** The network that is looked at, what it predicted, and what the page knows of it. */
  get shown() {
    const place = this.state.network;
    return { network: this.networks[place], predictions: this.predictions[place], about: this.about.networks[place], place };
  }

  /** Places of the images that fit the filter, or of those that were marked by hand. */
  get found() {
    const { filter, sort, among } = this.state;
    const key = [filter, sort, among, this.state.network];
    if (!this.foundFor || key.some((value, i) => value !== this.foundFor[i])) {
      this.foundFor = key;
      this.foundPlaces = matching(filter, sort, this.shown.predictions, this.images.labels, among);
    }
    return this.foundPlaces;
  }

  /** Look at a test image. */
  choose(place) {
    this.set({ image: place, pixels: this.images.pixels(place), source: null, target: null, unit: null });
  }

  /** Look at a picture that is not a test image; `source` says what it is. */
  choosePixels(pixels, source) {
    this.set({ image: null, pixels, source, unit: null, target: this.state.image === null ? this.state.target : null });
  }

  /** The next or previous image of those that fit; with a condition, the next one that meets it. */
  step(direction, condition = () => true) {
    const { found } = this;
    if (!found.length) return;
    const at = found.indexOf(this.state.image);
    for (let k = 1; k <= found.length; k++) {
      const start = at < 0 && direction < 0 ? 0 : at;
      const place = found[(((start + k * direction) % found.length) + found.length) % found.length];
      if (condition(place)) {
        this.choose(place);
        return;
      }
    }
  }

  filterBy(changes) {
    const filter = { ...this.state.filter, ...changes };
    this.set({ filter });
    const { found } = this;
    if (found.length && !found.includes(this.state.image)) this.choose(found[0]);
  }

  /** Probabilities of the classes for what is looked at; null while they are computed. */
  probabilities(place = this.state.network) {
    if (this.state.image !== null) return this.predictions[place].of(this.state.image);
    const computed = place === this.state.network ? this.state.values : this.state.otherValues;
    return computed && probabilitiesOf(computed);
  }

  /** The most probable class. */
  bestOf(probabilities) {
    const { image } = this.state;
    return image === null ? probabilities.indexOf(Math.max(...probabilities)) : this.shown.predictions.predicted[image];
  }

  /** The stage that is looked at. */
  get stage() {
    const { stages } = this.shown.about;
    return stages[Math.min(this.state.stage, stages.length - 1)];
  }

  /** A layer's channel in the panel of the layers. */
  look(stage, channel = this.state.channel, unit = null) {
    this.set({ tab: "layers", stage, channel, unit });
  }

  async #compute({ pixels, network }) {
    const image = this.images.prepared(pixels);
    if (this.networks.length > 1) this.#computeOther(image, 1 - network);
    if (!this.networks[network].nodes.length) return;
    const done = await this.engine.ask("run", { kind: "run", network, image });
    if (done) this.set({ values: done.values, valuesOf: pixels, milliseconds: done.milliseconds });
  }

  async #computeOther(image, network) {
    if (!this.networks[network].nodes.length) return;
    const done = await this.engine.ask("other", { kind: "run", network, image });
    if (done) this.set({ otherValues: done.values });
  }

  // --- Beginning, and the address ---------------------------------------------------------------------------------

  #firstState() {
    const given = { ...this.about.state, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
    const network = Number(given.network) === 1 && this.networks.length > 1 ? 1 : 0;
    const { stages } = this.about.networks[network];
    const named = stages.findIndex(({ label }) => label === given.layer);
    const asked = this.images.numbers.indexOf(Number(given.image ?? -1));
    const worst = matching({ ...NO_FILTER, kind: "misclassified" }, "confident", this.predictions[network], this.images.labels);
    const image = asked >= 0 ? asked : (worst[0] ?? 0);
    return {
      network,
      image,
      pixels: this.images.pixels(image),
      source: null,
      values: null,
      otherValues: null,
      tab: given.tab in TABS ? given.tab : named >= 0 ? "layers" : "images",
      stage: Math.max(named, 0),
      channel: given.channel === undefined ? null : Number(given.channel),
      unit: null,
      filter: NO_FILTER,
      sort: "loss",
      among: null,
      amongText: "",
      target: null,
      box: null,
      sorted: false,
      method: "saliency",
    };
  }

  /** What is looked at, as the part of an address. */
  get address() {
    const { image, tab, channel, network } = this.state;
    const parts = { tab, layer: this.stage?.label, channel, network };
    if (image !== null) parts.image = this.images.numbers[image];
    return new URLSearchParams(Object.entries(parts).filter(([, value]) => value !== undefined && value !== null)).toString();
  }

  #remember() {
    if (location.protocol === "about:") return;
    try {
      history.replaceState(null, "", `#${this.address}`);
    } catch {
      // a page that may not change its address still works
    }
  }

  // --- Layout -----------------------------------------------------------------------------------------------------

  show(root) {
    this.message = h("p", { class: "message", role: "status", hidden: true });
    const tabs = this.#tabs();
    root.replaceChildren(
      this.#header(),
      stripView(this),
      h("div", { class: "columns" }, subjectView(this), h("section", { class: "answer" }, this.message, ...tabs)),
      h("div", { class: "tooltip", id: "tooltip", role: "tooltip", hidden: true }),
    );
    root.removeAttribute("aria-busy");
    document.addEventListener("keydown", (event) => this.#key(event));
    this.store.draw();
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  #key(event) {
    const busy = event.target.closest?.("input, select, textarea, [role=tablist], [data-roving], canvas[tabindex]");
    if (busy || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") this.step(event.key === "ArrowRight" ? 1 : -1);
  }

  #header() {
    const switches = h("div", { class: "runs" });
    this.store.view(["network"], (state) => {
      const buttons = this.about.networks.map(({ title, accuracy }, place) =>
        h(
          this.networks.length > 1 ? "button" : "span",
          {
            class: "run",
            "aria-pressed": this.networks.length > 1 ? String(place === state.network) : undefined,
            onclick: () => this.set({ network: place, values: this.state.otherValues, otherValues: this.state.values }),
          },
          this.shortTitles[place] !== title && h("span", { class: "letter" }, this.shortTitles[place]),
          h("b", {}, title),
          h("span", {}, ` accuracy ${percent(accuracy)}`),
        ),
      );
      switches.replaceChildren(...buttons);
    });
    const { images } = this.about;
    const wrong = this.predictions.map(({ predicted }) => predicted.filter((c, i) => c !== this.images.labels[i]).length);
    const carried =
      images.count < images.of
        ? `${count(images.count, "image")} of ${images.of.toLocaleString("en")}, ${wrong[0]} misclassified`
        : count(images.count, "test image");
    return h(
      "header",
      {},
      h("h1", { class: "hidden" }, this.about.title),
      switches,
      h("span", { class: "quiet carried" }, carried),
      h("span", { class: "space" }),
      shareMenu(this),
      themeButton((theme) => this.set({ theme })),
    );
  }

  #tabs() {
    const list = h("div", { class: "tabs", role: "tablist", "aria-label": "what to look at" });
    const panels = [];
    for (const [name, [title, view]] of Object.entries(TABS)) {
      const panel = h("div", { class: `panel ${name}`, role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, tabIndex: 0 });
      const content = view(this, panel);
      if (!content) continue; // this page has nothing for it
      panel.append(...[content].flat());
      panels.push(panel);
      const choose = () => this.set({ tab: name });
      list.append(h("button", { role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: choose }, title));
    }
    list.addEventListener("keydown", (event) => {
      const all = [...list.children];
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const to = all[(all.indexOf(event.target) + step + all.length) % all.length];
      to.focus();
      to.click();
    });
    this.store.view(["tab"], ({ tab }) => {
      for (const button of list.children) {
        const chosen = button.id === `tab-${tab}`;
        button.setAttribute("aria-selected", String(chosen));
        button.tabIndex = chosen ? 0 : -1;
      }
      for (const panel of panels) panel.hidden = panel.id !== `panel-${tab}`;
    });
    return [list, ...panels];
  }
}
