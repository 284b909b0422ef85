/** React hooks. See react.d.ts. */

import { useEffect, useState } from "react";

import { subscribe, watch } from "./index.js";

/** @typedef {import("../react.d.ts").Audience} Audience */

/** @type {Audience} */
const NOBODY = { count: null, error: null };

/** @type {typeof import("../react.d.ts").useAudience} */
export function useAudience({ url, stage, viewer, session, token, transport }) {
  const [audience, setAudience] = useState(NOBODY);
  useEffect(() => {
    if (!stage || !viewer) return;
    const onCount = (/** @type {Audience["count"]} */ count) => setAudience({ count, error: null });
    const onError = (/** @type {Audience["error"]} */ error) => setAudience({ count: null, error });
    const { leave } = watch({ url, stage, viewer, session, token, transport, onCount, onError });
    return () => {
      leave();
      setAudience(NOBODY);
    };
  }, [url, stage, viewer, session, token, transport]);
  return audience;
}

/** @type {typeof import("../react.d.ts").useViewers} */
export function useViewers({ url, token }, stage) {
  const [count, setCount] = useState(/** @type {Audience["count"]} */ (null));
  useEffect(() => {
    if (!stage) return;
    const end = subscribe({ url, token }, stage, setCount, () => setCount(null));
    return () => {
      end();
      setCount(null);
    };
  }, [url, token, stage]);
  return count;
}
