// A view as a picture, as code, and as an address.

import { h } from "./dom.js";
import { isDark } from "./theme.js";

export function shareMenu(app) {
  const said = h("span", { class: "quiet", role: "status" });
  const copy = async (text, what) => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = `${what} copied`;
    } catch {
      said.replaceChildren(h("input", { readOnly: true, value: text, "aria-label": what, onfocus: (event) => event.target.select() }));
    }
  };
  const item = (text, act) => h("button", { onclick: act }, text);
  return h(
    "details",
    { class: "menu share" },
    h("summary", {}, "share"),
    h(
      "div",
      { class: "sheet" },
      item("save as PNG", () => savePng(app)),
      item("save as SVG", () => saveFile(svgOf(document.getElementById("app")), "image/svg+xml", `${nameOf(app)}.svg`)),
      item("copy as code", () => copy(codeOf(app), "code")),
      location.protocol === "about:" ? "" : item("copy the address", () => copy(location.href, "address")),
      said,
    ),
  );
}

/** The call that shows this view. */
export function codeOf(app) {
  const { image, tab } = app.state;
  const parts = ["run"];
  if (app.networks.length > 1) parts.push("other");
  if (image !== null) parts.push(`image=${app.images.numbers[image]}`);
  if (tab === "layers" && app.stage) parts.push(`layer=${JSON.stringify(app.stage.label)}`);
  return `hwkit.explore(${parts.join(", ")})`;
}

const nameOf = (app) => `${app.about.title.replace(/[^\w.-]+/g, "-")}-${app.state.tab}`;

function saveFile(content, type, name) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** What is on the page, as a drawing that needs nothing else: its elements, with canvases as pictures. */
export function svgOf(root) {
  const { width, height } = document.body.getBoundingClientRect();
  const copy = root.cloneNode(true);
  const canvases = [...root.querySelectorAll("canvas")];
  copy.querySelectorAll("canvas").forEach((canvas, i) => {
    const picture = h("img", { src: canvases[i].toDataURL(), class: canvas.className, style: canvas.getAttribute("style") ?? "" });
    if (!picture.className) picture.className = "copied";
    canvas.replaceWith(picture);
  });
  copy.querySelectorAll("[hidden], .share, .tooltip").forEach((element) => element.remove());
  const theme = isDark() ? "dark" : "light";
  const style = `${document.querySelector("style").textContent}\n.copied { width: 100%; height: 100%; }`;
  const page = h("div", { class: "page", "data-theme": theme, style: `width:${width}px;height:${height}px` }, h("style", {}, style), copy);
  const content = new XMLSerializer().serializeToString(page);
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
    `<foreignObject width="100%" height="100%">${content}</foreignObject></svg>`
  );
}

async function savePng(app) {
  const svg = svgOf(document.getElementById("app"));
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = h("canvas");
  canvas.width = 2 * image.width;
  canvas.height = 2 * image.height;
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  context.drawImage(image, 0, 0);
  canvas.toBlob((blob) => saveFile(blob, "image/png", `${nameOf(app)}.png`));
}
