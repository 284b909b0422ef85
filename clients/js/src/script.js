/** Entry of the build for `<script>`: the whole library, as the global `housecount`. */

import "./element.js";
import { subscribe, watch, watchPlayer, watchStage } from "./index.js";

/** @type {any} */ (globalThis).housecount = { subscribe, watch, watchPlayer, watchStage };
