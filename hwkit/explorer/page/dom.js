// Small helpers for elements, and the text of numbers.

/** An element: properties, attributes (with a dash or aria), event handlers (onX), then children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style" || name === "class" || name.includes("-") || name === "role") {
      element.setAttribute(name, value);
    } else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A canvas of so many pixels, to be scaled by CSS without smoothing. */
export function pixelCanvas(width, height, properties = {}) {
  const canvas = h("canvas", properties);
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/** A probability in per cent, never "0.0 %" for what is possible nor "100.0 %" for what is not certain. */
export function percent(probability) {
  const value = 100 * probability;
  if (value > 0 && value < 0.1) return "<0.1 %";
  if (value > 99.9 && value < 100) return ">99.9 %";
  return `${value.toFixed(1)} %`;
}

/** A number with three or so significant digits and a proper minus. */
export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1000 || size < 0.001 ? value.toExponential(1) : value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
  return text.replace("-", "−");
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/**
 * One stop for the Tab key in a group of buttons; arrow keys go from one to the next, up and down to the nearest above
 * or below. Call again when the buttons have changed.
 */
export function roving(group, selector = "button") {
  const buttons = () => [...group.querySelectorAll(selector)];
  const settle = () => {
    const all = buttons();
    const chosen = all.find((button) => button.getAttribute("aria-pressed") === "true") ?? all[0];
    all.forEach((button) => (button.tabIndex = button === chosen ? 0 : -1));
  };
  settle();
  if (group.dataset.roving) return;
  group.dataset.roving = "true";
  group.addEventListener("keydown", (event) => {
    const from = event.target.closest(selector);
    if (!from || !/^Arrow|^Home$|^End$/.test(event.key)) return;
    const all = buttons();
    const at = all.indexOf(from);
    const box = from.getBoundingClientRect();
    const vertical = (sign) =>
      all
        .map((button) => [button, button.getBoundingClientRect()])
        .filter(([, other]) => sign * (other.top - box.top) > 2)
        .sort(([, a], [, b]) => distance(a, box) - distance(b, box))[0]?.[0];
    const to = {
      ArrowRight: () => all[at + 1],
      ArrowLeft: () => all[at - 1],
      ArrowDown: () => vertical(1),
      ArrowUp: () => vertical(-1),
      Home: () => all[0],
      End: () => all.at(-1),
    }[event.key]();
    event.preventDefault();
    if (!to) return;
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  });
}

const distance = (a, b) => Math.abs(a.top - b.top) * 4 + Math.abs(a.left + a.width / 2 - b.left - b.width / 2);

/** A line of buttons of which one is chosen: [[value, text], ...]. */
export function segments(label, options, chosen, choose) {
  const group = h("div", { class: "segments", role: "group", "aria-label": label });
  group.append(
    ...options.map(([value, text]) =>
      h("button", { "aria-pressed": String(value === chosen), onclick: () => choose(value) }, text),
    ),
  );
  roving(group);
  return group;
}
