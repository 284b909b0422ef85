/** Viewer tokens: a fixed string, or a function that is called again before each token expires. */

/** @typedef {ReturnType<typeof tokenSource>} TokenSource */

/**
 * Creates the source of a viewer's tokens.
 *
 * @param {import("./page.js").Page} page
 * @param {import("../index.d.ts").Server["token"]} option
 */
export function tokenSource(page, option) {
  const isFunction = typeof option == "function";
  /** Time from which the function is called again. */
  let renewAt = 0;
  /** True from a rejected token until an accepted one. */
  let isRejected = false;

  const self = {
    /** Latest token, for callers that can't wait. @type {string | undefined} */
    latest: isFunction ? undefined : option,

    /** @returns {Promise<string | undefined>} a token that is valid for a while */
    async get() {
      if (isFunction && page.Date.now() >= renewAt) {
        self.latest = await option();
        const now = page.Date.now();
        const { exp, iat } = jwtClaims(page, self.latest);
        // Three quarters of the token's lifetime, which doesn't depend on this clock. A heartbeat is due long before the rest is over.
        renewAt = exp ? now + 0.75 * (1_000 * exp - (iat ? 1_000 * iat : now)) : Infinity;
      }
      return self.latest;
    },

    /** Records that the server accepted the token. */
    accept() {
      isRejected = false;
    },

    /**
     * Records that the server rejected the token.
     *
     * @param {import("./page.js").RequestError} error
     * @returns {boolean} true if another token may succeed; `get` gets it
     */
    renew({ status, code = "" }) {
      const mayRenew = isFunction && !isRejected && (status === 401 || /expired|removed/.test(code));
      isRejected = true;
      renewAt = 0;
      return mayRenew;
    },
  };
  return self;
}

/**
 * Decodes the claims of a JWT; `{}` if it can't be decoded.
 *
 * @param {import("./page.js").Page} page
 * @param {string | undefined} token
 * @returns {Record<string, any>}
 */
export function jwtClaims(page, token) {
  try {
    return JSON.parse(page.atob(/** @type {string} */ (token).split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))) ?? {};
  } catch {
    return {};
  }
}
