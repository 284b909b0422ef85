/**
 * How long something lasts. A page gets a scope and hangs everything that goes on by itself on it: listeners, timers,
 * requests, charts. When the page is left the scope ends, and with it all of them: nothing outlives its page.
 */

export class Scope {
  #ended = new AbortController();

  /** Aborted when the scope ends: for `fetch` and `addEventListener`. */
  get signal() {
    return this.#ended.signal;
  }

  get isOver() {
    return this.#ended.signal.aborted;
  }

  end() {
    this.#ended.abort();
  }

  /** A scope that ends with this one, or before. */
  child() {
    const child = new Scope();
    this.defer(() => child.end(), child.signal);
    return child;
  }

  /**
   * Does something when the scope ends.
   * @param {() => void} undo
   * @param {AbortSignal} [signal] no longer, when this is aborted
   */
  defer(undo, signal) {
    if (this.isOver) undo();
    else this.signal.addEventListener("abort", undo, { once: true, signal });
  }

  /**
   * Listens while the scope lasts.
   * @param {EventTarget} target
   * @param {string} name
   * @param {(event: any) => void} listener
   */
  on(target, name, listener) {
    target.addEventListener(name, listener, { signal: this.signal });
  }

  /**
   * Does something now and every `ms` after it was done, but not while nobody looks: then once when somebody does again.
   * @param {number} ms
   * @param {() => void | Promise<void>} work must not throw
   * @returns {() => void} does it at once, and goes on from there
   */
  every(ms, work) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let isDue = false;
    const turn = async () => {
      clearTimeout(timer);
      isDue = false;
      await work();
      if (this.isOver) return;
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (document.hidden) isDue = true;
        else void turn();
      }, ms);
    };
    this.on(document, "visibilitychange", () => {
      if (isDue && !document.hidden) void turn();
    });
    this.defer(() => clearTimeout(timer));
    void turn();
    return () => void turn();
  }

  /**
   * Makes `draw` something to be asked for as often as one likes: it is done once, with the browser's next frame.
   * @param {() => void} draw
   */
  frame(draw) {
    let asked = 0;
    this.defer(() => cancelAnimationFrame(asked));
    return () => {
      if (asked || this.isOver) return;
      asked = requestAnimationFrame(() => {
        asked = 0;
        draw();
      });
    };
  }
}
