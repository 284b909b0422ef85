/** Entry of the smaller build for `<script>`: `watch` alone, as the global `housecount`, without live counts and the element. */

import { watch, watchPlayer, watchStage } from "./index.js";

/** @type {any} */ (globalThis).housecount = { watch, watchPlayer, watchStage };
