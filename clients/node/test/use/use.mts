/** A program that uses the packed package, for the type checker and for Node. */

import { Client, HousecountError, signToken, type Heartbeat, type LiveEvent, type StageResponse, type ViewerWatch } from "housecount-node";

const token: string = signToken("secret:0123456789abcdef0123456789abcdef", { viewer: "ann", stage: "match-1", ttlSeconds: 60 });
const client = new Client("http://127.0.0.1:1", { retryForMs: 0 });

export async function use(): Promise<[StageResponse, ViewerWatch[], LiveEvent | undefined]> {
  const beats: Heartbeat[] = [{ stage: "match-1", viewer: "ann" }];
  const codes: string[] = (await client.sendHeartbeats(beats)).rejected.map(({ code }) => code);
  console.log(codes);
  await using watch = client.watch({ stage: "match-1", viewer: "ann", token: async () => token, onCount: ({ viewers }) => console.log(viewers) });
  watch.online();
  const rows: ViewerWatch[] = [];
  for await (const row of client.listStageWatch("match-1", { from: new Date(), intervals: true })) rows.push(row);
  const first = await client.streamCounts(["match-1"]).next();
  return [await client.showStage("match-1"), rows, first.done ? undefined : first.value];
}

try {
  await client.showStats();
} catch (error) {
  if (!(error instanceof HousecountError)) throw error;
  console.log(`ESM works: ${error.message}`);
}
