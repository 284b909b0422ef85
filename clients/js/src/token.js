/** Viewer tokens: a fixed string, or a function that is called again before each token expires. */

import { ignoreErrors } from "./page.js";

/** @typedef {ReturnType<typeof tokenSource>} TokenSource */

/**
 * Creates the source of a viewer's tokens.
 *
 * @param {import("../index.d.ts").Server["token"]} option
 */
export function tokenSource(option) {
  const isFunction = typeof option == "function";
  let latest = /** @type {string | undefined} */ (option);
  /** Time from which the function is called again. */
  let renewAt = 0;
  /** True from a rejected token until an accepted one. */
  let isRejected = false;

  return {
    /** @returns {Promise<string | undefined>} a token that is valid for a while */
    async get() {
      if (isFunction && Date.now() >= renewAt) {
        latest = await option();
        const now = Date.now() / 1_000;
        const { exp, iat = now } = jwtClaims(latest);
        // Three quarters of the token's lifetime, which doesn't depend on this clock. A heartbeat is due long before the rest is over.
        renewAt = exp ? 1_000 * (now + 0.75 * (exp - iat)) : Infinity;
      }
      return latest;
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
    renew({ status, code }) {
      const mayRenew = isFunction && !isRejected && (status === 401 || /expired|removed/.test(/** @type {string} */ (code)));
      isRejected = true;
      renewAt = 0;
      return mayRenew;
    },
  };
}

/**
 * Decodes the claims of a JWT; `{}` if it can't be decoded.
 *
 * @param {string | undefined} token
 * @returns {Record<string, any>}
 */
export const jwtClaims = (token) =>
  ignoreErrors(() => JSON.parse(atob(/** @type {string} */ (token).split(".")[1].replace(/-/g, "+").replace(/_/g, "/")))) ?? {};
