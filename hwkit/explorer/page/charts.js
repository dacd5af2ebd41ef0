// Line charts and histograms as SVG, with values where the pointer is.

import { h, short } from "./dom.js";

const MARGIN = { left: 52, right: 12, top: 10, bottom: 34 };

/** An SVG element: attributes, then children. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(name, value);
  element.append(...children.flat());
  return element;
}

/** Round numbers that span a range: about `most` of them, none outside. */
export function ticksOf(low, high, most = 6) {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

/** Powers of ten within a range, with 2 and 5 between them where there are few. */
export function powersOf(low, high) {
  const decades = Math.log10(high / low);
  const found = [];
  for (let k = Math.floor(Math.log10(low)); k <= Math.ceil(Math.log10(high)); k++) {
    for (const factor of decades < 2.5 ? [1, 2, 5] : [1]) found.push(Number((factor * 10 ** k).toPrecision(3)));
  }
  return found.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
}

/** Means over a window of readings, centred. */
export function smooth(values, window) {
  if (window < 2) return values;
  const sums = [0];
  for (const value of values) sums.push(sums.at(-1) + value);
  const half = Math.floor(window / 2);
  return Array.from(values, (_, i) => {
    const from = Math.max(0, i - half);
    const to = Math.min(values.length, i + window - half);
    return (sums[to] - sums[from]) / (to - from);
  });
}

/** The value of a line at x, between its points; null beyond its ends. */
export function valueAt({ x, y }, at) {
  if (!x.length || at < x[0] || at > x.at(-1)) return null;
  let low = 0;
  let high = x.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle] <= at) low = middle;
    else high = middle;
  }
  const share = x[high] === x[low] ? 0 : (at - x[low]) / (x[high] - x[low]);
  return y[low] + share * (y[high] - y[low]);
}

/**
 * A chart of lines [{name, colour, dash, x, y, faint, low, high}]; low and high are a band around a line. range: of x,
 * null for all of it; onZoom is called with a new one. `dots` draws points without lines; xTicks are [place, text] pairs.
 */
export function chart(lines, { title, xLabel, yLabel, logarithmic = false, logarithmicX = false, range = null, onZoom, dots = false, width = 560, height = 300, xTicks }) {
  const usable = (value) => !logarithmic || value > 0;
  const xs = lines.flatMap((line) => [line.x[0], line.x.at(-1)]).filter((x) => !logarithmicX || x > 0);
  const [from, to] = range ?? [Math.min(...xs), Math.max(...xs)];
  let [low, high] = [Infinity, -Infinity];
  for (const line of lines) {
    for (let i = 0; i < line.x.length; i++) {
      if (line.x[i] < from || line.x[i] > to) continue;
      for (const value of [line.y[i], line.low?.[i], line.high?.[i]]) {
        if (value === undefined || !usable(value)) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
  }
  if (!(high >= low)) return h("p", { class: "quiet" }, `There is nothing to show of ${yLabel}.`);
  const spread = high - low || Math.abs(high) * 0.1 || 1;
  if (logarithmic) [low, high] = [low * 0.9, high * 1.1];
  else [low, high] = [low - 0.04 * spread, high + 0.04 * spread];
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const bend = (value, log) => (log ? Math.log10(value) : value);
  const place = (value, a, b, start, end, log) => start + ((bend(value, log) - bend(a, log)) / (bend(b, log) - bend(a, log) || 1)) * (end - start);
  const margin = dots ? 14 : 0;
  const px = (x) => place(x, from, to, MARGIN.left + margin, right - margin, logarithmicX);
  const py = (y) => place(y, low, high, bottom, MARGIN.top, logarithmic);
  const parts = [];
  for (const tick of logarithmic ? powersOf(low, high) : ticksOf(low, high)) {
    parts.push(s("line", { class: "grid", x1: MARGIN.left, x2: right, y1: py(tick), y2: py(tick) }));
    parts.push(s("text", { x: MARGIN.left - 6, y: py(tick) + 4, "text-anchor": "end" }, short(tick)));
  }
  const labelled = (tick) => [tick, Math.abs(tick) < 1 ? String(tick) : tick.toLocaleString("en")];
  for (const [tick, label] of xTicks ?? (logarithmicX ? powersOf(from, to) : ticksOf(from, to, 5)).map(labelled)) {
    parts.push(s("text", { x: px(tick), y: bottom + 15, "text-anchor": "middle" }, label));
  }
  parts.push(s("text", { x: right, y: height - 4, "text-anchor": "end", class: "axis" }, xLabel));
  parts.push(s("line", { class: "base", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }));
  const inside = (line) => [...line.x.keys()].filter((i) => line.x[i] >= from && line.x[i] <= to && usable(line.y[i]));
  for (const line of lines) {
    const shown = inside(line);
    if (line.low) {
      const edge = [...shown.map((i) => [px(line.x[i]), py(Math.max(line.high[i], low))]), ...shown.toReversed().map((i) => [px(line.x[i]), py(Math.max(line.low[i], low))])];
      parts.push(s("polygon", { points: edge.map((point) => point.map((value) => value.toFixed(1)).join()).join(" "), fill: line.colour, class: "band" }));
    }
    if (dots) parts.push(...shown.map((i) => s("circle", { cx: px(line.x[i]), cy: py(line.y[i]), r: 5, fill: line.colour }, s("title", {}, `${line.name}: ${short(line.y[i])} at ${line.x[i]}`))));
    else parts.push(s("polyline", { points: shown.map((i) => `${px(line.x[i]).toFixed(1)},${py(line.y[i]).toFixed(1)}`).join(" "), stroke: line.colour, "stroke-dasharray": line.dash, class: line.faint ? "faint" : "" }));
  }
  const cursor = s("line", { class: "cursor", y1: MARGIN.top, y2: bottom, visibility: "hidden" });
  const picked = s("rect", { class: "picked", y: MARGIN.top, height: bottom - MARGIN.top, visibility: "hidden" });
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": title }, ...parts, picked, cursor);
  const figure = h("figure", { class: "plot" }, h("figcaption", {}, title), svg);
  if (!dots) follow(svg, { lines, width, from, to, px, right, cursor, picked, onZoom, xLabel });
  return figure;
}

/** Values at the pointer, and a range of x drawn with it. */
function follow(svg, { lines, width, from, to, px, right, cursor, picked, onZoom, xLabel }) {
  let start = null;
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    const place = ((event.clientX - box.x) / box.width) * width;
    const share = (place - MARGIN.left) / (right - MARGIN.left);
    return from + Math.min(1, Math.max(0, share)) * (to - from);
  };
  const tooltip = () => document.getElementById("tooltip");
  svg.onpointermove = (event) => {
    const x = at(event);
    cursor.setAttribute("x1", px(x));
    cursor.setAttribute("x2", px(x));
    cursor.setAttribute("visibility", "visible");
    if (start !== null) {
      const [a, b] = [px(start), px(x)].sort((one, other) => one - other);
      picked.setAttribute("x", a);
      picked.setAttribute("width", b - a);
      picked.setAttribute("visibility", "visible");
    }
    const rows = lines.filter((line) => !line.faint).map((line) => [line, valueAt(line, x)]).filter(([, value]) => value !== null);
    rows.sort((a, b) => b[1] - a[1]);
    const more = rows.length > 14 ? [h("tr", {}, h("td", { colSpan: 3 }, `and ${rows.length - 14} more`))] : [];
    tooltip().replaceChildren(h("table", {}, h("caption", {}, `${xLabel} ${short(Number(x.toPrecision(4)))}`), ...rows.slice(0, 14).map(([line, value]) => h("tr", {}, h("td", {}, h("i", { class: "dot", style: `background:${line.colour}` })), h("td", {}, line.name), h("td", {}, value.toPrecision(4)))), ...more));
    tooltip().hidden = false;
    const size = tooltip().getBoundingClientRect();
    tooltip().style.left = `${Math.min(event.clientX + 16, innerWidth - size.width - 6)}px`;
    tooltip().style.top = `${Math.max(4, Math.min(event.clientY + 12, innerHeight - size.height - 6))}px`;
  };
  svg.onpointerleave = () => {
    tooltip().hidden = true;
    cursor.setAttribute("visibility", "hidden");
  };
  svg.onpointerdown = (event) => {
    start = at(event);
    svg.setPointerCapture(event.pointerId);
  };
  svg.onpointerup = (event) => {
    const end = at(event);
    picked.setAttribute("visibility", "hidden");
    if (Math.abs(end - start) > (to - from) / 50) onZoom?.([Math.min(start, end), Math.max(start, end)]);
    start = null;
  };
  svg.ondblclick = () => onZoom?.(null);
}

/** Outlines of a distribution on a logarithmic scale: counts of equal bins between two ends. */
export function histogram(name, counts, [low, high], colour) {
  const [width, height] = [200, 84];
  const most = Math.log10(1 + Math.max(...counts));
  const step = width / counts.length;
  const path = Array.from(counts, (value, i) => `V${(height - (height - 4) * (Math.log10(1 + value) / (most || 1))).toFixed(1)}H${((i + 1) * step).toFixed(1)}`);
  return h("figure", { class: "plot" }, h("figcaption", {}, name), s("svg", { viewBox: `0 0 ${width} ${height + 16}`, class: "chart", role: "img", "aria-label": `distribution of ${name}` },
    s("path", { d: `M0 ${height}${path.join("")}V${height}Z`, fill: colour, class: "outline" }), s("line", { class: "base", x1: 0, x2: width, y1: height, y2: height }),
    s("text", { x: 0, y: height + 13 }, short(low)), s("text", { x: width, y: height + 13, "text-anchor": "end" }, short(high))));
}
