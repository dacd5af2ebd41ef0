// The networks in a worker, so that the page never waits for them; where there are no workers, in the page.

import { answer, open } from "./tasks.js";

export class Engine {
  /** text: the payload; code: the text of this script, which serves as the worker's too. */
  constructor(text, code) {
    this.waiting = new Map();
    this.next = 0;
    try {
      this.worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
      this.worker.onmessage = ({ data }) => this.#receive(data);
      this.worker.onerror = (event) => this.#withoutWorker(text, event);
      this.worker.postMessage({ open: text });
    } catch (error) {
      this.#withoutWorker(text, error);
    }
  }

  /**
   * Ask for a task; of several asked under one name while the first is under way, only the last is done. Resolves to
   * null for those that were left out. onPart is called with what is known before the end.
   */
  ask(name, task, onPart = () => {}) {
    return new Promise((resolve) => {
      const lane = this.waiting.get(name) ?? {};
      this.waiting.set(name, lane);
      lane.next?.resolve(null);
      lane.next = { task, resolve, onPart };
      if (!lane.current) this.#send(name, lane);
      else if (task.kind !== "run") this.worker?.postMessage({ cancel: lane.current.id });
    });
  }

  #send(name, lane) {
    lane.current = { ...lane.next, id: ++this.next };
    lane.next = null;
    const message = { id: lane.current.id, name, ...lane.current.task };
    if (this.worker) this.worker.postMessage(message);
    else this.opened.then(() => answer(message, (data) => this.#receive(data)));
  }

  #receive({ id, part, result, error }) {
    for (const [name, lane] of this.waiting) {
      if (lane.current?.id !== id) continue;
      if (part) {
        lane.current.onPart(part);
        return;
      }
      if (error) console.error(error);
      lane.current.resolve(result ?? null);
      lane.current = null;
      if (lane.next) this.#send(name, lane);
    }
  }

  #withoutWorker(text, reason) {
    console.warn("no worker, computing in the page:", reason.message ?? reason);
    this.worker?.terminate();
    this.worker = null;
    this.opened ??= open(text);
    for (const [name, lane] of this.waiting) {
      if (!lane.current) continue;
      lane.next ??= lane.current;
      this.#send(name, lane);
    }
  }
}
