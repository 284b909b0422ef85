// Compiled, never run: valid use, and uses that must be errors.

import { type Count, type HousecountError, subscribe, watch } from "housecount";
import { useAudience, useViewers } from "housecount/react";

const url = "https://count.example.org";

const watching = watch({
  url,
  stage: "match-1",
  viewer: "ann",
  session: undefined,
  labels: { country: "TW", device: undefined },
  token: "eyJ",
  transport: "auto",
  sessions: true,
  quiet: false,
  onCount: ({ stage, viewers, sessions, asOf, complete, recovering }: Count) =>
    console.log(stage.length, viewers + (sessions ?? 0), asOf?.toFixed(), complete && recovering),
  onError: ({ name, message, code, status, active }: HousecountError) =>
    console.log(name, message, code, status?.toFixed(), active?.map(({ stage, session, since }) => [stage, session, since.toFixed()])),
});
watching.leave();
watching.stop();

const end: () => void = subscribe({ url }, "match-1", (count) => console.log(count.viewers));
end();
subscribe({ url, token: "eyJ", every: "1s", sessions: true }, ["match-1", "match-2"], () => {});

// @ts-expect-error: the viewer is missing
watch({ url, stage: "match-1" });
// @ts-expect-error: unknown transport
watch({ url, stage: "match-1", viewer: "ann", transport: "carrier pigeon" });
// @ts-expect-error: a label's value is text
watch({ url, stage: "match-1", viewer: "ann", labels: { device: 7 } });
// @ts-expect-error: a misspelled option is not a missing one
watch({ url, stage: "match-1", viewer: "ann", onCounts() {} });
// @ts-expect-error: a duration has a unit
subscribe({ url, every: 5 }, "match-1", () => {});
// @ts-expect-error: the callback is missing
subscribe({ url }, "match-1");

export function Player({ viewer }: { viewer: string | null }) {
  const { count, error } = useAudience({ url, stage: "match-1", viewer, labels: { device: "tv" } });
  const others: Count | null = useViewers({ url, every: "10s" }, "match-2");
  return error?.message ?? (count?.viewers ?? 0) + (others?.viewers ?? 0);
}
