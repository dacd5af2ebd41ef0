// What is shown, in one place. Views say which parts of it they draw; changes are drawn once per frame, however many.

export class Store {
  constructor(state) {
    this.state = state;
    this.views = [];
    this.changed = new Set();
    this.listeners = [];
  }

  /** draw(state, changed) is called when one of the keys has changed while shown() holds, or held not before. */
  view(keys, draw, shown = () => true) {
    this.views.push({ keys: new Set(keys), draw, shown, stale: true });
  }

  /** Called with the state after every drawn change. */
  listen(listener) {
    this.listeners.push(listener);
  }

  set(changes) {
    const different = Object.keys(changes).filter((key) => this.state[key] !== changes[key]);
    if (!different.length) return;
    this.state = { ...this.state, ...changes };
    different.forEach((key) => this.changed.add(key));
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.waiting = false;
    const { changed } = this;
    this.changed = new Set();
    for (const view of this.views) {
      view.stale ||= [...view.keys].some((key) => changed.has(key));
      if (view.stale && view.shown(this.state)) {
        view.stale = false;
        view.draw(this.state, changed);
      }
    }
    this.listeners.forEach((listener) => listener(this.state));
  }
}
