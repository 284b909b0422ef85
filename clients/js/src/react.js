"use client";
/** React hooks. See react.d.ts. */

import { useEffect, useReducer, useRef, useState } from "react";

import { subscribe, watch } from "./index.js";

/** @typedef {import("../index.d.ts").Count} Count */
/** @typedef {import("../index.d.ts").Server["token"]} Token */

/**
 * A token for as long as the component is there: another one in its place is used when the next one is needed, or at once where the
 * one before was refused.
 *
 * @param {Token} token
 */
function useToken(token) {
  const latest = useRef(token);
  const isRefused = useRef(false);
  const [tries, tryAgain] = useReducer((/** @type {number} */ count) => count + 1, 0);
  const [get] = useState(() => async () => /** @type {Promise<string>} */ (typeof latest.current == "function" ? latest.current() : latest.current));
  useEffect(() => {
    latest.current = token;
  });
  useEffect(() => {
    if (isRefused.current) tryAgain();
    isRefused.current = false;
  }, [typeof token == "string" && token]);
  return { get: token && get, tries, refuse: () => (isRefused.current = true) };
}

/** @type {typeof import("../react.d.ts").useAudience} */
export function useAudience({ url, stage, viewer, session, token, transport, media, stallMs, onStatus }) {
  const [audience, setAudience] = useState(/** @type {import("../react.d.ts").Audience} */ ({ count: null, error: null }));
  const { get, tries, refuse } = useToken(token);
  const tell = useRef(onStatus);
  useEffect(() => {
    tell.current = onStatus;
  });
  useEffect(() => {
    if (!stage || !viewer) return;
    setAudience((before) => (before.error ? { count: null, error: null } : before));
    const { leave } = watch({
      url,
      stage,
      viewer,
      session,
      token: get,
      transport,
      stallMs,
      media: media && "current" in media ? media.current : media,
      onStatus: (...status) => tell.current?.(...status),
      onCount: (count) => setAudience({ count, error: null }),
      onError(error) {
        refuse();
        setAudience({ count: null, error });
      },
    });
    return leave;
  }, [url, stage, viewer, session, get, transport, media, stallMs, tries]);
  // What was heard of another stage is not this one's.
  const isMine = stage && viewer && (!audience.count || audience.count.stage === stage);
  return isMine ? audience : { count: null, error: null };
}

/**
 * @param {import("../index.d.ts").Server} server
 * @param {string | null | readonly string[]} [stages]
 * @returns {any}
 */
export function useViewers({ url, token }, stages) {
  const [counts, setCounts] = useState(/** @type {Record<string, Count>} */ ({}));
  const { get, tries, refuse } = useToken(token);
  // No stage has a space in its name.
  const wanted = [stages ?? []].flat().join(" ");
  useEffect(() => {
    if (!wanted) return;
    const names = wanted.split(" ");
    setCounts((before) => Object.fromEntries(Object.entries(before).filter(([stage]) => names.includes(stage))));
    return subscribe({ url, token: get }, names, (count) => setCounts((before) => ({ ...before, [count.stage]: count })), refuse);
  }, [url, get, wanted, tries]);
  return Array.isArray(stages) ? counts : (counts[wanted] ?? null);
}
