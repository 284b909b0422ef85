/** The build for `<script>`: all of it, as the global `housecount`. */

export * from "./index.js";
import "./element.js";
