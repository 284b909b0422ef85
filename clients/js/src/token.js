/** Viewers' tokens: one that is given, or a function that gets one and is asked again before each ends. */

/** @typedef {ReturnType<typeof tokens>} Tokens */

/**
 * @param {import("./page.js").Page} page
 * @param {import("../index.d.ts").Server["token"]} given
 */
export function tokens(page, given) {
  /** Another one is got after it. */
  let until = 0;
  /** The last one was refused, and no other was taken since. */
  let isRefused = false;

  const self = {
    /** The last one, for what can't wait. @type {string | undefined} */
    last: typeof given == "function" ? undefined : given,

    /** @returns {Promise<string | undefined>} one that is good for a while */
    async get() {
      if (typeof given == "function" && page.Date.now() >= until) {
        self.last = await given();
        const now = page.Date.now();
        const { exp, iat } = claims(page, self.last);
        // Of its whole life, which this clock doesn't change. A heartbeat is due long before the last quarter is over.
        until = exp ? now + 0.75 * (1_000 * exp - (iat ? 1_000 * iat : now)) : Infinity;
      }
      return self.last;
    },

    /** Nothing is wrong with it. */
    accept() {
      isRefused = false;
    },

    /**
     * @param {import("./page.js").Failure} why the server has refused
     * @returns {boolean} whether another token may help, which is got then
     */
    renew({ status, code }) {
      const isNew = typeof given == "function" && !isRefused && (status === 401 || /expired|removed/.test(code ?? ""));
      isRefused = true;
      until = 0;
      return isNew;
    },
  };
  return self;
}

/**
 * What a JWT says.
 *
 * @param {import("./page.js").Page} page
 * @param {string | undefined} token
 * @returns {Record<string, any>}
 */
export function claims(page, token) {
  try {
    return JSON.parse(page.atob(/** @type {string} */ (token).split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))) ?? {};
  } catch {
    return {};
  }
}
