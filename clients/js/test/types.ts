// Compiled, never run: valid use, and uses that must be errors.

import { type Count, type HousecountError, subscribe, watch } from "housecount";
import { useAudience, useViewers } from "housecount/react";

const url = "https://count.example.org";

const watching = watch({
  url,
  stage: "match-1",
  viewer: "ann",
  session: undefined,
  token: "eyJ",
  transport: "auto",
  onCount: ({ stage, viewers, sessions, asOf, complete, recovering }: Count) =>
    console.log(stage.length, viewers + sessions + asOf, complete && recovering),
  onError: ({ name, message, code, status }: HousecountError) => console.log(name, message, code, status?.toFixed()),
});
watching.leave();
watching.stop();

const end: () => void = subscribe({ url }, "match-1", (count) => console.log(count.viewers));
end();
subscribe({ url, token: "eyJ" }, ["match-1", "match-2"], () => {});

// @ts-expect-error: the viewer is missing
watch({ url, stage: "match-1" });
// @ts-expect-error: unknown transport
watch({ url, stage: "match-1", viewer: "ann", transport: "carrier pigeon" });
// @ts-expect-error: a misspelled option is not a missing one
watch({ url, stage: "match-1", viewer: "ann", onCounts() {} });
// @ts-expect-error: the callback is missing
subscribe({ url }, "match-1");

export function Player({ viewer }: { viewer: string | null }) {
  const { count, error } = useAudience({ url, stage: "match-1", viewer });
  const others: Count | null = useViewers({ url }, "match-2");
  return error?.message ?? (count?.viewers ?? 0) + (others?.viewers ?? 0);
}
