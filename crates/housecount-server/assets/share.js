/**
 * Share links: a read-only key of one stage, in the address's fragment (`/#share=hcs_...`). Browsers don't send fragments.
 */

import { key, setKey } from "./api.js";

const PREFIX = "hcs_";
/** Bytes of a link before its stage: version, end, signature. */
const HEAD_BYTES = 1 + 8 + 32;

/**
 * Stage of a link; null if the text is not a link.
 * @param {string | null} link
 */
function stageOf(link) {
  if (!link?.startsWith(PREFIX)) return null;
  try {
    const stage = atob(link.slice(PREFIX.length).replaceAll("-", "+").replaceAll("_", "/")).slice(HEAD_BYTES);
    return stage === "" ? null : stage;
  } catch {
    return null;
  }
}

/** Stage of the link that this tab was opened with; null if there is none. */
export const sharedStage = () => stageOf(key());

/** Takes a link out of the address bar, so that it is not shown, saved or copied by accident. */
export function takeShareLink() {
  const link = /^#share=(.+)$/.exec(location.hash)?.[1] ?? null;
  const stage = stageOf(link);
  if (stage === null) return;
  setKey(link);
  history.replaceState(null, "", `#/stage/${encodeURIComponent(stage)}`);
}
