/** Viewers' tokens, signed as a node's `auth.viewer_keys` wants them (HS256). */

import { createHmac } from "node:crypto";

const SECRET_BYTES_MIN = 32;

export interface TokenClaims {
  viewer: string;
  /** The stage that it is for. A token needs `stage` or `stagePrefix`, and not both. */
  stage?: string | undefined;
  /** Beginning of its stages' ids; `""` is all stages. */
  stagePrefix?: string | undefined;
  /** The only session that it is for. */
  session?: string | undefined;
  /** Life of the token. */
  ttlSeconds: number;
  /** The node's `auth.audience`, where it has one. */
  audience?: string | undefined;
  /** Not before, Unix seconds. */
  notBefore?: number | undefined;
  /** Labels of the viewer, such as `{ country: "NO" }`. They win over those in heartbeats. */
  labels?: Record<string, string> | undefined;
  /** Most streams of the viewer, in place of the node's `limits.streams_per_viewer`. */
  streams?: number | undefined;
  /** The key's name, where the node has several. */
  kid?: string | undefined;
}

/**
 * Signs a viewer's token. Call it in a backend only: a program with the secret can be any viewer.
 *
 * @param secret the text of the node's key file (`secret:TEXT`), or the bare secret; of a JWK, its decoded bytes and its `kid`
 * @throws RangeError: the secret is shorter than 32 bytes. TypeError: not exactly one of `stage` and `stagePrefix` is given
 */
export function signToken(secret: string | Uint8Array, claims: TokenClaims): string {
  const { viewer, stage, stagePrefix, session, ttlSeconds, audience, notBefore, labels, streams, kid } = claims;
  const key = typeof secret === "string" ? Buffer.from(secret.trim().replace(/^secret:/, "")) : Buffer.from(secret);
  if (key.length < SECRET_BYTES_MIN) {
    throw new RangeError(`the secret has ${key.length} bytes; a node takes ${SECRET_BYTES_MIN} or more`);
  }
  if ((stage === undefined) === (stagePrefix === undefined)) {
    throw new TypeError("give a stage or a stagePrefix, and not both");
  }
  const iat = Math.floor(Date.now() / 1_000);
  const exp = Math.floor(Date.now() / 1_000 + ttlSeconds);
  const nbf = notBefore === undefined ? undefined : Math.floor(notBefore);
  const head = { alg: "HS256", typ: "JWT", kid };
  const signed = [head, { sub: viewer, stage, stagePrefix, session, aud: audience, nbf, iat, exp, labels, streams }]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

/** Returns a token's `exp` and `iat` in Unix milliseconds, unverified; undefined for what cannot be read. */
export function tokenTimesMs(token: string): { expiresAt: number | undefined; issuedAt: number | undefined } {
  let claims: unknown;
  try {
    claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  } catch {
    claims = undefined;
  }
  const { exp, iat } = (claims ?? {}) as { exp?: unknown; iat?: unknown };
  const ms = (seconds: unknown) => (typeof seconds === "number" ? 1_000 * seconds : undefined);
  return { expiresAt: ms(exp), issuedAt: ms(iat) };
}
