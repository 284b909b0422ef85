/**
 * Custom element `<housecount-viewers server="https://count.example.org" stage="match-1">`, whose text is the stage's live count. It
 * has the attribute `incomplete` while the count may be low, and takes a `token`. Importing this module defines it.
 */
export interface HousecountViewersElement extends HTMLElement {}

declare global {
  interface HTMLElementTagNameMap {
    "housecount-viewers": HousecountViewersElement;
  }
}
