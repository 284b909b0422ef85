"use client";
/** React hooks. See react.d.ts. */

import { useEffect, useReducer, useRef, useState } from "react";

import { subscribe, watch } from "./index.js";

/** @typedef {import("../index.d.ts").Count} Count */
/** @typedef {import("../index.d.ts").Server["token"]} Token */

/**
 * Keeps one token function for a component's lifetime. A new `token` is used for the next request, or at once if the server rejected
 * the last one.
 *
 * @param {Token} token
 */
function useToken(token) {
  const latest = useRef(token);
  const isRejected = useRef(false);
  const [tries, tryAgain] = useReducer((/** @type {number} */ count) => count + 1, 0);
  const [get] = useState(() => async () => /** @type {Promise<string>} */ (typeof latest.current == "function" ? latest.current() : latest.current));
  useEffect(() => {
    latest.current = token;
  });
  useEffect(() => {
    if (isRejected.current) tryAgain();
    isRejected.current = false;
  }, [typeof token == "string" && token]);
  return { get: token && get, tries, onRejected: () => (isRejected.current = true) };
}

/** @type {typeof import("../react.d.ts").useAudience} */
export function useAudience({ url, stage, viewer, session, labels, token, transport, sessions, quiet, media, stallMs, onStatus }) {
  const [audience, setAudience] = useState(/** @type {import("../react.d.ts").Audience} */ ({ count: null, error: null }));
  const { get, tries, onRejected } = useToken(token);
  const onStatusRef = useRef(onStatus);
  useEffect(() => {
    onStatusRef.current = onStatus;
  });
  useEffect(() => {
    if (!stage || !viewer) return;
    setAudience((before) => (before.error ? { count: null, error: null } : before));
    const { leave } = watch({
      url,
      stage,
      viewer,
      session,
      labels,
      token: get,
      transport,
      sessions,
      quiet,
      stallMs,
      media: media && "current" in media ? media.current : media,
      onStatus: (...status) => onStatusRef.current?.(...status),
      onCount: (count) => setAudience({ count, error: null }),
      onError(error) {
        onRejected();
        setAudience({ count: null, error });
      },
    });
    return leave;
  }, [url, stage, viewer, session, get, transport, sessions, quiet, media, stallMs, tries]);
  // The last count may be of the stage before.
  const isCurrent = stage && viewer && (!audience.count || audience.count.stage === stage);
  return isCurrent ? audience : { count: null, error: null };
}

/**
 * @param {import("../react.d.ts").CountServer} server
 * @param {string | null | readonly string[]} [stages]
 * @returns {any}
 */
export function useViewers({ url, token, every, sessions }, stages) {
  const [counts, setCounts] = useState(/** @type {Record<string, Count>} */ ({}));
  const { get, tries, onRejected } = useToken(token);
  // Stage ids have no spaces.
  const wanted = [stages ?? []].flat().join(" ");
  useEffect(() => {
    if (!wanted) return;
    const names = wanted.split(" ");
    setCounts((before) => Object.fromEntries(Object.entries(before).filter(([stage]) => names.includes(stage))));
    const server = { url, token: get, every, sessions };
    return subscribe(server, names, (count) => setCounts((before) => ({ ...before, [count.stage]: count })), onRejected);
  }, [url, get, every, sessions, wanted, tries]);
  return Array.isArray(stages) ? counts : (counts[wanted] ?? null);
}
