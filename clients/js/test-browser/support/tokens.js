/** Tokens of the viewer `ann` on the stage `s`. */

import { createHmac } from "node:crypto";

export const SECRET = "a secret for this test suite and no other";

/**
 * Signs a token.
 *
 * @param {number} seconds until it expires
 */
export function mint(seconds, secret = SECRET) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { sub: "ann", stage: "s", exp: Math.floor(Date.now() / 1_000) + seconds };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
