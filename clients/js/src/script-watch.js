/** Entry of the smaller build for `<script>`: `watch` alone, as the global `housecount`, without live counts and the element. */

import { watch, watchPlayer, watchStage } from "./index.js";

Object.assign(globalThis, { housecount: { watch, watchPlayer, watchStage } });
