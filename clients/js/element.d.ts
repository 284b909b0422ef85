/**
 * `<housecount-viewers server="https://count.example.org" stage="match-1">` has the stage's live count as its text, with the
 * attribute `incomplete` while the count may be low. Also `token`. Importing this module defines it.
 */
export interface HousecountViewersElement extends HTMLElement {}

declare global {
  interface HTMLElementTagNameMap {
    "housecount-viewers": HousecountViewersElement;
  }
}
