/**
 * Lifetime of a page. A page registers its listeners, timers, requests and charts with its scope. When the operator leaves the page,
 * the scope ends and stops all of them.
 */

export class Scope {
  #ended = new AbortController();

  /** Signal for `fetch` and `addEventListener`, aborted when the scope ends. */
  get signal() {
    return this.#ended.signal;
  }

  get isOver() {
    return this.#ended.signal.aborted;
  }

  end() {
    this.#ended.abort();
  }

  /** Creates a scope that ends with this one, or before. */
  child() {
    const child = new Scope();
    this.defer(() => child.end(), child.signal);
    return child;
  }

  /**
   * Registers a callback for the end of the scope.
   * @param {() => void} callback
   * @param {AbortSignal} [signal] removes the callback
   */
  defer(callback, signal) {
    if (this.isOver) callback();
    else this.signal.addEventListener("abort", callback, { once: true, signal });
  }

  /**
   * Adds a listener for the lifetime of the scope.
   * @param {EventTarget} target
   * @param {string} name
   * @param {(event: any) => void} listener
   */
  on(target, name, listener) {
    target.addEventListener(name, listener, { signal: this.signal });
  }

  /**
   * Runs work now, and again `ms` after each run. A hidden page skips runs, and makes up for one when it is visible again.
   * @param {number} ms
   * @param {() => void | Promise<void>} work must not throw
   * @returns {() => void} runs the work at once, and restarts the interval
   */
  every(ms, work) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    let isDue = false;
    const run = async () => {
      clearTimeout(timer);
      isDue = false;
      await work();
      if (this.isOver) return;
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (document.hidden) isDue = true;
        else void run();
      }, ms);
    };
    this.on(document, "visibilitychange", () => {
      if (isDue && !document.hidden) void run();
    });
    this.defer(() => clearTimeout(timer));
    void run();
    return () => void run();
  }

  /**
   * Creates a function that schedules `draw` for the browser's next frame, once per frame.
   * @param {() => void} draw
   */
  frame(draw) {
    let frameId = 0;
    this.defer(() => cancelAnimationFrame(frameId));
    return () => {
      if (frameId || this.isOver) return;
      frameId = requestAnimationFrame(() => {
        frameId = 0;
        draw();
      });
    };
  }
}
