// A picture that is clicked fills the window; a click or Escape closes it.
const enlarged = document.getElementById("enlarged");
enlarged.addEventListener("click", () => enlarged.close());
for (const picture of document.querySelectorAll("main figure img, main figure svg.chart, main p > img:only-child")) {
  picture.tabIndex = 0;
  picture.classList.add("enlarges");
  const show = () => {
    enlarged.replaceChildren(picture.cloneNode(true));
    enlarged.showModal();
  };
  picture.addEventListener("click", show);
  picture.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      show();
    }
  });
}
// The contents show where the reader is, and are folded where they would fill a small screen.
const contents = document.getElementById("contents");
if (contents) {
  if (matchMedia("(max-width: 70rem)").matches) contents.querySelector("details").open = false;
  const links = new Map([...contents.querySelectorAll("a")].map(link => [link.hash.slice(1), link]));
  const sections = [...document.querySelectorAll("main section[id]")].filter(section => links.has(section.id));
  const mark = () => {
    const passed = sections.filter(section => section.getBoundingClientRect().top < innerHeight / 3);
    for (const link of links.values()) link.removeAttribute("aria-current");
    const link = passed.length ? links.get(passed[passed.length - 1].id) : null;
    if (!link) return;
    link.setAttribute("aria-current", "true");
    const box = contents.getBoundingClientRect(), place = link.getBoundingClientRect();
    if (place.top < box.top || place.bottom > box.bottom) contents.scrollTop += place.top - box.top - box.height / 3;
  };
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  }, { passive: true });
  mark();
}
