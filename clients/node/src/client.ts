/** The client: a method for each call. */

import { HousecountError } from "./errors.js";
import type * as models from "./models.js";
import { Watch, type WatchOptions } from "./watch.js";
import {
  Backoff,
  LiveEvents,
  RETRIED,
  answerOf,
  batchAnswerOf,
  batches,
  beatOf,
  errorOf,
  query,
  type Heartbeat,
  type LiveEvent,
  type Time,
} from "./wire.js";

/** Stages that a node takes in a stream of counts. */
const STAGES_MAX = 100;
/** A stream of counts has a comment every 15 s. One that is silent for so long is dead. */
const SILENCE_MS_MAX = 45_000;
/** No connection was made, so that nothing can have been carried out. */
const UNCONNECTED = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "UND_ERR_CONNECT_TIMEOUT"];

export interface ClientOptions {
  /** An operator's key, where the server asks for one. */
  key?: string | undefined;
  /** A call that fails for now (no answer, 408, 429, 502, 503, 504) is tried again for so long: 30,000 ms if not given. */
  retryForMs?: number | undefined;
  /** Time that one try may take: 10,000 ms if not given. */
  timeoutMs?: number | undefined;
}

/** Options of every call. */
export interface CallOptions {
  /** Gives the call up. */
  signal?: AbortSignal | undefined;
}

export interface PlayerCallOptions extends CallOptions {
  /** A viewer's token, where the server asks for one. */
  token?: string | undefined;
}

export interface ListOptions extends CallOptions {
  /** Rows of a page: 1 to 1,000. */
  limit?: number | undefined;
}

export interface RangeOptions extends CallOptions {
  from?: Time | undefined;
  to?: Time | undefined;
}

export interface HistoryOptions extends RangeOptions {
  /** Length of a step, such as `30s`, `5m` or `1h`. */
  step?: string | undefined;
}

export interface ByOptions extends CallOptions {
  /** Key of a label: the answer's `by` has the figures of each value. */
  by?: string | undefined;
}

export interface LabelRangeOptions extends RangeOptions, ByOptions {}

export interface LabelHistoryOptions extends HistoryOptions, ByOptions {}

export interface WatchListOptions extends RangeOptions, ListOptions {
  /** Also when exactly. */
  intervals?: boolean | undefined;
}

export interface StageConfiguration {
  name?: string | null | undefined;
  customer?: string | null | undefined;
  tags?: Record<string, string | null> | null | undefined;
  /** Count that players see; null or none: as the setting `public_count` says. */
  publicCount?: "exact" | "rounded" | "hidden" | null | undefined;
}

/** A list that is read page by page. Iterate over it for its items, or over `pages()` for what else a page says. */
export class Pages<Page, Item> implements AsyncIterable<Item> {
  readonly #fetch: (cursor: string | undefined) => Promise<Page>;
  readonly #items: (page: Page) => Item[];
  readonly #cursor: (page: Page) => string | undefined;

  /** @internal */
  constructor(
    fetch: (cursor: string | undefined) => Promise<Page>,
    items: (page: Page) => Item[],
    cursor: (page: Page) => string | null | undefined,
  ) {
    this.#fetch = fetch;
    this.#items = items;
    this.#cursor = (page) => cursor(page) ?? undefined;
  }

  /** Yields the pages. */
  async *pages(): AsyncGenerator<Page> {
    let cursor: string | undefined;
    do {
      const page = await this.#fetch(cursor);
      yield page;
      cursor = this.#cursor(page);
    } while (cursor !== undefined);
  }

  /** Yields the items of all pages. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Item> {
    for await (const page of this.pages()) yield* this.#items(page);
  }
}

interface RequestOptions {
  json?: unknown;
  lines?: string;
  token?: string | undefined;
  signal?: AbortSignal | undefined;
  isRepeatable?: boolean;
}

/** Calls a housecount server. One client serves a whole program, many calls at once. */
export class Client {
  readonly #url: string;
  readonly #key: string | undefined;
  readonly #retryForMs: number;
  readonly #timeoutMs: number;

  /** @param url where housecount answers, such as `https://count.example.org`; a path is kept */
  constructor(url: string, { key, retryForMs = 30_000, timeoutMs = 10_000 }: ClientOptions = {}) {
    if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
      throw new TypeError(`url ${JSON.stringify(url)} is not an address such as https://count.example.org`);
    }
    this.#url = url.replace(/\/+$/, "");
    this.#key = key;
    this.#retryForMs = retryForMs;
    this.#timeoutMs = timeoutMs;
  }

  // Heartbeats

  /** Says that a viewer watches a stage now. The answer's `nextMs` says when to say so again; `watch` does all of this. */
  async sendHeartbeat(beat: Heartbeat, { token, signal }: PlayerCallOptions = {}): Promise<models.HeartbeatResponse> {
    return answerOf(await this.#send("POST", "/v1/heartbeat", { json: beatOf(beat), token, signal }), "nextMs");
  }

  /**
   * Sends heartbeats of many viewers, in as few calls as a node takes. Needs a key with the scope `beats`.
   *
   * Heartbeats that a node refuses are in `rejected`, each with its index. After an error all may be sent again: to repeat a
   * heartbeat changes nothing but its time.
   */
  async sendHeartbeats(
    beats: Iterable<Heartbeat> | AsyncIterable<Heartbeat>,
    { signal }: CallOptions = {},
  ): Promise<models.BatchResponse> {
    const outcome: models.BatchResponse = { accepted: 0, rejected: [] };
    for await (const { first, body } of batches(beats)) {
      const answer = await batchAnswerOf(await this.#send("POST", "/v1/heartbeats", { lines: body, signal }));
      outcome.accepted += answer.accepted;
      if (answer.coalesced) outcome.coalesced = (outcome.coalesced ?? 0) + answer.coalesced;
      for (const each of answer.rejected) outcome.rejected.push({ ...each, index: first + each.index });
    }
    return outcome;
  }

  /** Says that a session has stopped; without a session all of the viewer's on that stage. */
  async sendLeave({ stage, viewer, session }: Heartbeat, { token, signal }: PlayerCallOptions = {}): Promise<void> {
    await this.#send("POST", "/v1/leave", { json: { stage, viewer, session }, token, signal });
  }

  /** Keeps a viewer counted, by a heartbeat whenever one is due, until `leave()`. */
  watch(options: WatchOptions): Watch {
    return new Watch(this.#url, options);
  }

  // Counts

  /** Returns how many watch altogether; a viewer of two stages counts once. */
  showStats({ by, signal }: ByOptions = {}): Promise<models.StatsResponse> {
    return this.#get(`/v1/stats${query({ by })}`, "viewers", { signal });
  }

  /** Lists the active and the configured stages, sorted by id. */
  listStages({ limit, signal }: ListOptions = {}): Pages<models.StagesResponse, models.Stage> {
    const fetch = (cursor?: string) =>
      this.#get<models.StagesResponse>(`/v1/stages${query({ limit, cursor })}`, "stages", { signal });
    return new Pages(fetch, ({ stages }) => stages, ({ cursor }) => cursor);
  }

  /** Returns a stage's count and configuration. */
  showStage(stage: string, { by, signal }: ByOptions = {}): Promise<models.StageResponse> {
    return this.#get(`/v1/stage${query({ stage, by })}`, "stage", { signal });
  }

  /** Lists who watches a stage now. A page is sorted by id, the whole is not. */
  listStageViewers(
    stage: string,
    { limit, signal }: ListOptions = {},
  ): Pages<models.StageViewersResponse, models.OnlineViewer> {
    const fetch = (cursor?: string) =>
      this.#get<models.StageViewersResponse>(`/v1/stage/viewers${query({ stage, limit, cursor })}`, "viewers", { signal });
    return new Pages(fetch, ({ viewers }) => viewers, ({ cursor }) => cursor);
  }

  /** Returns where a viewer is online. */
  showViewer(viewer: string, options: CallOptions = {}): Promise<models.ViewerResponse> {
    return this.#get(`/v1/viewer${query({ viewer })}`, "online", options);
  }

  /**
   * Yields live counts: at once, and when they change, at most once a second each. Connects again by itself. After `reset` drop
   * all counts of the stream. `by` adds the viewers by a label: of each stage, or with `totals` of all together.
   *
   * @param stages up to 100; none: all
   * @throws HousecountError: the server refuses, or has ended the stream since the token or key is no longer good
   */
  async *streamCounts(
    stages: string | string[],
    { totals, by, token, signal }: PlayerCallOptions & ByOptions & { totals?: boolean | undefined } = {},
  ): AsyncGenerator<LiveEvent> {
    const named = [stages].flat();
    if (named.length > STAGES_MAX) {
      throw new RangeError(`${named.length} stages; a stream tells ${STAGES_MAX} at most, or all if none is named`);
    }
    const events = new LiveEvents();
    let backoff = new Backoff(this.#retryForMs);
    for (;;) {
      signal?.throwIfAborted();
      const given = new AbortController();
      let timer = setTimeout(() => given.abort(), this.#timeoutMs);
      let error = new HousecountError("the stream was interrupted");
      try {
        const headers = this.#headers(token);
        if (events.lastEventId !== undefined) headers["last-event-id"] = events.lastEventId;
        const response = await fetch(`${this.#url}/v1/live${query({ stage: named, totals: totals || undefined, by })}`, {
          headers,
          signal: anySignal(given.signal, signal),
        });
        if (!response.ok) {
          error = await errorOf(response);
          if (!RETRIED.includes(response.status)) throw error;
        } else if (response.body) {
          const texts = new TextDecoder();
          for await (const bytes of response.body) {
            clearTimeout(timer);
            timer = setTimeout(() => given.abort(), SILENCE_MS_MAX);
            for (const event of events.take(texts.decode(bytes, { stream: true }))) {
              backoff = new Backoff(this.#retryForMs);
              yield event;
            }
          }
        }
      } catch (cause) {
        signal?.throwIfAborted();
        if (cause instanceof HousecountError) throw cause;
        error = new HousecountError(`no answer: ${String(cause)}`, { cause });
      } finally {
        clearTimeout(timer);
        given.abort();
      }
      events.clear();
      await this.#wait(backoff, error, signal);
    }
  }

  // Watch time

  /** Returns how many watched at once, all stages together. */
  showHistory({ from, to, step, by, signal }: LabelHistoryOptions = {}): Promise<models.HistoryResponse> {
    return this.#get(`/v1/history${query({ from, to, step, by })}`, "history", { signal });
  }

  /** Returns how many watched a stage at once. */
  showStageHistory(
    stage: string,
    { from, to, step, by, signal }: LabelHistoryOptions = {},
  ): Promise<models.HistoryResponse> {
    return this.#get(`/v1/stage/history${query({ stage, from, to, step, by })}`, "history", { signal });
  }

  /** Returns unique viewers, watch time, joins, leaves, views and more of all stages together. */
  showReport({ from, to, by, signal }: LabelRangeOptions = {}): Promise<models.ReportResponse> {
    return this.#get(`/v1/report${query({ from, to, by })}`, "uniqueViewers", { signal });
  }

  /** Returns the same of a stage. */
  showStageReport(stage: string, { from, to, by, signal }: LabelRangeOptions = {}): Promise<models.ReportResponse> {
    return this.#get(`/v1/stage/report${query({ stage, from, to, by })}`, "uniqueViewers", { signal });
  }

  /** Returns how much was watched by each value of a label, all stages together. */
  showWatchByLabel(by: string, { from, to, signal }: RangeOptions = {}): Promise<models.LabelWatchResponse> {
    return this.#get(`/v1/watch${query({ from, to, by })}`, "by", { signal });
  }

  /** Returns how much a stage was watched by each value of a label. */
  showStageWatchByLabel(stage: string, by: string, { from, to, signal }: RangeOptions = {}): Promise<models.LabelWatchResponse> {
    return this.#get(`/v1/stage/watch${query({ stage, from, to, by })}`, "by", { signal });
  }

  /** Lists who watched a stage and how long, sorted by viewer. */
  listStageWatch(
    stage: string,
    { from, to, intervals, limit, signal }: WatchListOptions = {},
  ): Pages<models.StageWatchResponse, models.ViewerWatch> {
    const fixed = { stage, from, to, intervals: intervals || undefined, limit };
    const fetch = (cursor?: string) =>
      this.#get<models.StageWatchResponse>(`/v1/stage/watch${query({ ...fixed, cursor })}`, "watch", { signal });
    return new Pages(fetch, ({ watch }) => watch, ({ cursor }) => cursor);
  }

  /** Lists what a viewer watched and how long, sorted by stage. */
  listViewerWatch(
    viewer: string,
    { from, to, intervals, limit, signal }: WatchListOptions = {},
  ): Pages<models.ViewerWatchResponse, models.StageWatch> {
    const fixed = { viewer, from, to, intervals: intervals || undefined, limit };
    const fetch = (cursor?: string) =>
      this.#get<models.ViewerWatchResponse>(`/v1/viewer/watch${query({ ...fixed, cursor })}`, "watch", { signal });
    return new Pages(fetch, ({ watch }) => watch, ({ cursor }) => cursor);
  }

  /** Lists how much each stage was watched; with `step` also how many watched on average, step by step. */
  listWatch({ from, to, step, limit, signal }: HistoryOptions & ListOptions = {}): Pages<
    models.WatchTotalsResponse,
    models.StageWatchTotal
  > {
    const fetch = (cursor?: string) =>
      this.#get<models.WatchTotalsResponse>(`/v1/watch${query({ from, to, step, limit, cursor })}`, "watch", { signal });
    return new Pages(fetch, ({ watch }) => watch, ({ cursor }) => cursor);
  }

  /** Lists the counts of a stage that were saved, oldest first. */
  listStageSnapshots(
    stage: string,
    { from, to, signal }: RangeOptions = {},
  ): Pages<models.StageSnapshotsResponse, models.Snapshot> {
    const fetch = (cursor?: string) =>
      this.#get<models.StageSnapshotsResponse>(`/v1/stage/snapshots${query({ stage, from: cursor ?? from, to })}`, "snapshots", {
        signal,
      });
    return new Pages(fetch, ({ snapshots }) => snapshots, ({ nextFrom }) => (nextFrom == null ? undefined : String(nextFrom)));
  }

  // Configuration and administration

  /** Configures a stage. A call whose answer was lost is not repeated, since it may have been carried out. */
  async createStage(
    stage: string,
    configuration: StageConfiguration = {},
    { signal }: CallOptions = {},
  ): Promise<models.StageChangeResponse> {
    const json = { stage, ...configuration };
    return answerOf(await this.#send("POST", "/v1/stages", { json, signal, isRepeatable: false }), "effectiveFrom");
  }

  /** Changes a stage's configuration. What is missing stays; null removes a name, a customer, a tag, all tags or `publicCount`. */
  async changeStage(
    stage: string,
    changes: StageConfiguration,
    { signal }: CallOptions = {},
  ): Promise<models.StageChangeResponse> {
    return answerOf(await this.#send("PATCH", `/v1/stage${query({ stage })}`, { json: changes, signal }), "effectiveFrom");
  }

  /** Deletes a stage's configuration, never its history. */
  async deleteStage(stage: string, { signal }: CallOptions = {}): Promise<models.StageDeletionResponse> {
    const response = await this.#send("DELETE", `/v1/stage${query({ stage })}`, { signal, isRepeatable: false });
    return answerOf(response, "effectiveFrom");
  }

  /** Returns what this node's own calls have cost. */
  showCost(options: CallOptions = {}): Promise<models.CostResponse> {
    return this.#get("/v1/cost", "total", options);
  }

  /** Saves every active stage's count now. */
  async saveSnapshots({ signal }: CallOptions = {}): Promise<models.SaveSnapshotsResponse> {
    return answerOf(await this.#send("POST", "/v1/admin/snapshot", { signal }), "outcome");
  }

  /** Lets the last snapshot's counts stand in for one ttl. */
  async restoreCounts({ signal }: CallOptions = {}): Promise<models.RestoreResponse> {
    return answerOf(await this.#send("POST", "/v1/admin/restore", { signal }), "restored");
  }

  // One call

  async #get<T>(path: string, field: keyof T & string, { signal }: CallOptions): Promise<T> {
    return answerOf<T>(await this.#send("GET", path, { signal }), field);
  }

  #headers(token: string | undefined): Record<string, string> {
    const credential = token ?? this.#key;
    return credential ? { authorization: `Bearer ${credential}` } : {};
  }

  /** Waits before the next try, or throws the error if that would be too late. */
  async #wait(backoff: Backoff, error: HousecountError, signal: AbortSignal | undefined): Promise<void> {
    const wait = backoff.waitMs(error.retryAfterMs);
    if (wait === undefined) throw error;
    await new Promise<void>((resolve, reject) => {
      const giveUp = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", giveUp);
        resolve();
      }, wait);
      signal?.addEventListener("abort", giveUp, { once: true });
    });
  }

  async #send(method: string, path: string, { json, lines, token, signal, isRepeatable = true }: RequestOptions): Promise<Response> {
    const headers = this.#headers(token);
    if (json !== undefined) headers["content-type"] = "application/json";
    if (lines !== undefined) headers["content-type"] = "application/x-ndjson";
    const body = json === undefined ? lines : JSON.stringify(json);
    const backoff = new Backoff(this.#retryForMs);
    for (;;) {
      signal?.throwIfAborted();
      let error: HousecountError;
      try {
        const response = await fetch(this.#url + path, {
          method,
          headers,
          ...(body === undefined ? {} : { body }),
          signal: anySignal(AbortSignal.timeout(this.#timeoutMs), signal),
        });
        // A batch may be refused with what is wrong with each of its heartbeats.
        if (response.ok || (lines !== undefined && response.status === 400)) return response;
        error = await errorOf(response);
        if (!(isRepeatable ? RETRIED : [429, 503]).includes(response.status)) throw error;
      } catch (cause) {
        signal?.throwIfAborted();
        if (cause instanceof HousecountError) throw cause;
        error = new HousecountError(`no answer: ${reasonOf(cause)}`, { cause });
        if (!isRepeatable && !UNCONNECTED.includes(codeOf(cause))) throw error;
      }
      await this.#wait(backoff, error, signal);
    }
  }
}

const anySignal = (mine: AbortSignal, given: AbortSignal | undefined) => (given ? AbortSignal.any([mine, given]) : mine);

/** Returns the code of what stopped a `fetch`, such as `ECONNREFUSED`. */
function codeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause ? String(cause.code) : "";
}

function reasonOf(error: unknown): string {
  const code = codeOf(error);
  return code ? `${String(error)} (${code})` : String(error);
}
