/** The same from CommonJS. */

import { Client, HousecountError, signToken } from "housecount-node";

const parts: string[] = signToken("0123456789abcdef0123456789abcdef", { viewer: "ann", stagePrefix: "", ttlSeconds: 60 }).split(".");
new Client("http://127.0.0.1:1", { retryForMs: 0 }).showStage("a").then(
  ({ viewers }) => console.log(viewers),
  (error: unknown) => {
    if (!(error instanceof HousecountError) || parts.length !== 3) throw error;
    console.log(`CommonJS works: ${error.message}`);
  },
);
