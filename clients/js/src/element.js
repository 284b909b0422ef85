/** Custom element `<housecount-viewers server="https://count.example.org" stage="match-1">`: a stage's live count, as text. */

import { subscribe } from "./index.js";

class HousecountViewers extends HTMLElement {
  static observedAttributes = ["server", "stage", "token"];
  /** @type {(() => void) | undefined} */
  #end;

  connectedCallback() {
    this.disconnectedCallback();
    const [url, stage, token] = HousecountViewers.observedAttributes.map((name) => this.getAttribute(name) ?? "");
    if (!stage || !this.isConnected) return;
    this.#end = subscribe(
      { url, token },
      stage,
      ({ viewers, complete }) => {
        this.textContent = viewers?.toLocaleString();
        // Lets the page style a count that may be low.
        this.toggleAttribute("incomplete", !complete);
      },
      () => (this.textContent = ""),
    );
  }

  disconnectedCallback() {
    this.#end?.();
    this.#end = undefined;
  }

  attributeChangedCallback() {
    this.connectedCallback();
  }
}

customElements.define("housecount-viewers", HousecountViewers);
