/** The smaller build for `<script>`: what counts a viewer, as the global `housecount`. Live counts and the element are not in it. */

import { watch, watchPlayer, watchStage } from "./index.js";

Object.assign(globalThis, { housecount: { watch, watchPlayer, watchStage } });
