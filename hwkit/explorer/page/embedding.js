// The map of the test set: every image where the last hidden layer puts it.

import { classColour } from "./colours.js";
import { count, h, percent } from "./dom.js";
import { gallery } from "./gallery.js";

const NEAR = 24; // pixels around the pointer in which an image is found

/** Where the features of a picture lie on the axes: Float32Array (components). */
export function placeOnAxes(features, centre, axes) {
  const components = axes.length / centre.length;
  const length = Math.sqrt(features.reduce((sum, value) => sum + value * value, 0)) || 1;
  const place = new Float32Array(components);
  for (let k = 0; k < components; k++) {
    for (let i = 0; i < centre.length; i++) place[k] += (features[i] / length - centre[i]) * axes[k * centre.length + i];
  }
  return place;
}

/** One number for each channel of a node's values: themselves, or the means of maps. */
export function featuresOf(values, [channels]) {
  const each = values.length / channels;
  return Float32Array.from({ length: channels }, (_, c) => {
    let sum = 0;
    for (let i = c * each; i < (c + 1) * each; i++) sum += values[i];
    return sum / each;
  });
}

/** Places of all images, (components, N), and of what is looked at; null where a network has no map. */
export function placesOf(app, at = app.state.network) {
  const name = `${at}/places`;
  return app.payload.has(name) ? app.payload.array(name) : null;
}

export function subjectPlace(app) {
  const { about, network, place } = app.shown;
  const values = app.state.values?.[about.features];
  if (!values) return null;
  const features = featuresOf(values, network.nodes[about.features].shape);
  return placeOnAxes(features, app.payload.array(`${place}/centre`), app.payload.array(`${place}/axes`));
}

export const inside = (polygon, x, y) => {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  }
  return odd;
};

export function embeddingView(app) {
  if (!app.about.networks.some((_, place) => placesOf(app, place))) return null;
  const { store, images, names } = app;
  const canvas = h("canvas", { tabIndex: 0, role: "application", "aria-label": "map of the test set: arrow keys go to the nearest image that way, Enter looks at it, plus and minus zoom" });
  const legend = h("div", { class: "legend", role: "group", "aria-label": "classes shown" });
  const caption = h("p", { class: "quiet" });
  const hidden = new Set();
  const scatter = new Scatter(app, canvas, hidden);
  const tools = h(
    "div",
    { class: "tools", role: "group", "aria-label": "map tools" },
    h("button", { "aria-pressed": "false", title: "draw around images to see them (or hold Shift)", onclick: ({ currentTarget }) => {
      scatter.lassoing = !scatter.lassoing;
      currentTarget.setAttribute("aria-pressed", String(scatter.lassoing));
    } }, "lasso"),
    h("button", { "aria-label": "zoom in", onclick: () => scatter.zoom(1.5) }, "+"),
    h("button", { "aria-label": "zoom out", onclick: () => scatter.zoom(1 / 1.5) }, "−"),
    h("button", { onclick: () => scatter.reset() }, "whole map"),
  );
  legend.append(
    ...names.map((name, c) => {
      const button = h("button", { class: "chip", "aria-pressed": "true", onclick: () => {
        if (!hidden.delete(c)) hidden.add(c);
        button.setAttribute("aria-pressed", String(!hidden.has(c)));
        scatter.draw();
      } }, h("i", { class: "dot", style: `background:${classColour(app.about.colours, c, names.length)}` }), name);
      return button;
    }),
  );
  const side = h("h2", {});
  store.view(["among", "filter", "network"], () => {
    const { found } = app;
    const wrong = found.filter((place) => app.shown.predictions.predicted[place] !== images.labels[place]).length;
    side.textContent = `${count(found.length, "image")}, ${wrong} misclassified`;
  });
  store.view(["network", "image", "values", "among", "filter", "theme"], () => {
    const [x = 0, y = 0] = app.shown.about.explained ?? [];
    caption.textContent =
      `The last hidden layer's first two principal components, ${percent(x)} and ${percent(y)} of the variance of its ` +
      "directions. Misclassified images are ringed in the colour of their prediction.";
    scatter.open();
  }, ({ tab }) => tab === "map");
  new ResizeObserver(() => scatter.draw()).observe(canvas);
  return h(
    "div",
    { class: "split" },
    h("div", { class: "plane" }, tools, canvas, legend, caption),
    h("div", {}, side, gallery(app, "map")),
  );
}

class Scatter {
  constructor(app, canvas, hidden) {
    Object.assign(this, { app, canvas, hidden, scale: 1, x: 0, y: 0, lasso: null, over: -1, lassoing: false });
    const { tooltip } = { get tooltip() { return document.getElementById("tooltip"); } };
    this.tooltip = tooltip;
    this.pointers = new Map();
    canvas.onpointerdown = (event) => this.#down(event);
    canvas.onpointermove = (event) => this.#move(event);
    canvas.onpointerup = (event) => this.#up(event);
    canvas.onpointercancel = (event) => this.#up(event);
    canvas.onpointerleave = () => this.#hover(-1);
    canvas.onblur = () => this.#hover(-1);
    canvas.onwheel = (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), ...this.#at(event));
    };
    canvas.onkeydown = (event) => this.#key(event);
  }

  /** Read the places of the network that is shown. */
  open() {
    const places = placesOf(this.app);
    if (places !== this.places) {
      this.places = places;
      const n = this.app.images.count;
      this.xs = places?.subarray(0, n) ?? [];
      this.ys = places?.subarray(n, 2 * n) ?? [];
      const range = (values) => values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
      [this.left, this.right] = range(this.xs);
      [this.bottom, this.top] = range(this.ys);
      this.reset();
    } else this.draw();
  }

  reset() {
    Object.assign(this, { scale: 1, x: 0, y: 0 });
    this.draw();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(200, Math.max(1, this.scale * factor));
    const by = scale / this.scale;
    this.x = x - (x - this.x) * by;
    this.y = y - (y - this.y) * by;
    this.scale = scale;
    if (scale === 1) this.x = this.y = 0;
    this.draw();
  }

  screen(x, y) {
    const margin = 14;
    const across = (this.width - 2 * margin) * ((x - this.left) / (this.right - this.left || 1)) + margin;
    const up = (this.height - 2 * margin) * (1 - (y - this.bottom) / (this.top - this.bottom || 1)) + margin;
    return [across * this.scale + this.x, up * this.scale + this.y];
  }

  draw() {
    const { app, canvas, hidden } = this;
    if (!this.places || !canvas.clientWidth) return;
    const ratio = devicePixelRatio || 1;
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    if (canvas.width !== Math.round(this.width * ratio)) canvas.width = Math.round(this.width * ratio);
    if (canvas.height !== Math.round(this.height * ratio)) canvas.height = Math.round(this.height * ratio);
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, this.width, this.height);
    const { labels, count: n } = app.images;
    const { predicted } = app.shown.predictions;
    const classes = app.names.length;
    const colour = (c) => classColour(app.about.colours, c, classes);
    const filtered = app.found.length < n ? new Set(app.found) : null;
    const radius = Math.min(5, (n > 3000 ? 1.5 : 2.4) * Math.sqrt(this.scale));
    const wrong = [];
    for (let c = 0; c < classes; c++) {
      if (hidden.has(c)) continue;
      for (const faint of filtered ? [true, false] : [false]) {
        g.globalAlpha = faint ? 0.12 : 0.8;
        g.fillStyle = colour(c);
        g.beginPath();
        for (let i = 0; i < n; i++) {
          if (labels[i] !== c || (filtered && filtered.has(i) === faint)) continue;
          const [x, y] = this.screen(this.xs[i], this.ys[i]);
          if (x < -9 || y < -9 || x > this.width + 9 || y > this.height + 9) continue;
          if (predicted[i] !== c) wrong.push([i, x, y, faint]);
          else {
            g.moveTo(x + radius, y);
            g.arc(x, y, radius, 0, 7);
          }
        }
        g.fill();
      }
    }
    g.lineWidth = 2;
    for (const [i, x, y, faint] of wrong) {
      g.globalAlpha = faint ? 0.12 : 1;
      g.beginPath();
      g.arc(x, y, radius + 1.2, 0, 7);
      g.fillStyle = colour(labels[i]);
      g.fill();
      g.strokeStyle = colour(predicted[i]);
      g.stroke();
    }
    g.globalAlpha = 1;
    if (this.scale > 6) this.#pictures(g);
    this.#marks(g);
  }

  /** Far enough in, the images themselves. */
  #pictures(g) {
    const { images } = this.app;
    const side = 26;
    let drawn = 0;
    for (let i = 0; i < images.count && drawn < 400; i++) {
      const [x, y] = this.screen(this.xs[i], this.ys[i]);
      if (this.hidden.has(images.labels[i]) || x < 0 || y < 0 || x > this.width || y > this.height) continue;
      drawn++;
      this.pictures ??= new Map();
      if (!this.pictures.has(i)) this.pictures.set(i, images.canvas(i));
      g.imageSmoothingEnabled = false;
      g.drawImage(this.pictures.get(i), x - side / 2, y - side / 2, side, (side * images.height) / images.width);
    }
  }

  #marks(g) {
    const style = getComputedStyle(this.canvas);
    const ring = (x, y, size) => {
      g.beginPath();
      g.arc(x, y, size, 0, 7);
      g.lineWidth = 5;
      g.strokeStyle = style.getPropertyValue("--card");
      g.stroke();
      g.lineWidth = 2.5;
      g.strokeStyle = style.getPropertyValue("--accent");
      g.stroke();
    };
    const { image } = this.app.state;
    const place = image !== null ? [this.xs[image], this.ys[image]] : subjectPlace(this.app);
    if (place) ring(...this.screen(...place), 11);
    if (this.over >= 0) ring(...this.screen(this.xs[this.over], this.ys[this.over]), 7);
    if (!this.lasso) return;
    g.beginPath();
    this.lasso.forEach(([x, y], i) => (i ? g.lineTo(x, y) : g.moveTo(x, y)));
    g.closePath();
    g.lineWidth = 1.5;
    g.strokeStyle = style.getPropertyValue("--accent");
    g.stroke();
    g.globalAlpha = 0.1;
    g.fillStyle = style.getPropertyValue("--accent");
    g.fill();
    g.globalAlpha = 1;
  }

  nearest(x, y, within = NEAR) {
    let best = -1;
    let least = within ** 2;
    for (let i = 0; i < this.app.images.count; i++) {
      if (this.hidden.has(this.app.images.labels[i])) continue;
      const [px, py] = this.screen(this.xs[i], this.ys[i]);
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least) {
        least = far;
        best = i;
      }
    }
    return best;
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.x, event.clientY - box.y];
  }

  #down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.#at(event));
    this.moved = this.pointers.size > 1;
    this.lasso = (event.shiftKey || this.lassoing) && this.pointers.size === 1 ? [this.#at(event)] : null;
  }

  #move(event) {
    const [x, y] = this.#at(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.#hover(this.nearest(x, y), event.clientX, event.clientY);
      return;
    }
    if (Math.abs(x - before[0]) + Math.abs(y - before[1]) < 3 && !this.moved && !this.lasso) return;
    this.moved = true;
    this.#hover(-1);
    if (this.lasso) this.lasso.push([x, y]);
    else if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const far = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
      this.zoom(far([x, y]) / far(before), (x + other[0]) / 2, (y + other[1]) / 2);
    } else {
      this.x += x - before[0];
      this.y += y - before[1];
    }
    this.pointers.set(event.pointerId, [x, y]);
    this.draw();
  }

  #up(event) {
    const [x, y] = this.#at(event);
    this.pointers.delete(event.pointerId);
    if (this.lasso?.length > 2) this.#take(this.lasso);
    else if (!this.moved && event.type === "pointerup") {
      const found = this.nearest(x, y);
      if (found >= 0) this.app.choose(found);
    }
    this.lasso = null;
    this.draw();
  }

  #take(polygon) {
    const among = [];
    for (let i = 0; i < this.app.images.count; i++) {
      if (!this.hidden.has(this.app.images.labels[i]) && inside(polygon, ...this.screen(this.xs[i], this.ys[i]))) among.push(i);
    }
    if (among.length) this.app.set({ among, amongText: `lasso of ${among.length}` });
  }

  #hover(place, x, y) {
    const { images, shown } = this.app;
    const tooltip = document.getElementById("tooltip");
    if (place !== this.over) {
      this.over = place;
      this.draw();
    }
    tooltip.hidden = place < 0;
    if (place < 0) return;
    const { predicted, confidence } = shown.predictions;
    const wrong = predicted[place] !== images.labels[place];
    tooltip.replaceChildren(
      images.canvas(place),
      h("span", {}, h("b", {}, `Test image ${images.numbers[place]}`), h("br"), `true ${this.app.names[images.labels[place]]}`, h("br"),
        h("span", { class: wrong ? "bad" : "" }, `predicted ${this.app.names[predicted[place]]}, ${percent(confidence[place])}`)),
    );
    const box = tooltip.getBoundingClientRect();
    tooltip.style.left = `${Math.min(x + 14, innerWidth - box.width - 6)}px`;
    tooltip.style.top = `${Math.min(y + 14, innerHeight - box.height - 6)}px`;
  }

  #key(event) {
    if (event.key === "+" || event.key === "-") {
      this.zoom(event.key === "+" ? 1.3 : 1 / 1.3);
      return;
    }
    if (event.key === "Enter" && this.over >= 0) {
      this.app.choose(this.over);
      return;
    }
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const from = this.over >= 0 ? this.over : (this.app.state.image ?? 0);
    const [x, y] = this.screen(this.xs[from], this.ys[from]);
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < this.app.images.count; i++) {
      if (i === from || this.hidden.has(this.app.images.labels[i])) continue;
      const [px, py] = this.screen(this.xs[i], this.ys[i]);
      const along = (px - x) * way[0] + (py - y) * way[1];
      const aside = Math.abs((px - x) * way[1]) + Math.abs((py - y) * way[0]);
      if (along > 6 && aside <= along && along + aside < least) {
        least = along + aside;
        best = i;
      }
    }
    if (best < 0) return;
    const box = this.canvas.getBoundingClientRect();
    const [px, py] = this.screen(this.xs[best], this.ys[best]);
    this.#hover(best, box.x + px, box.y + py);
  }
}
