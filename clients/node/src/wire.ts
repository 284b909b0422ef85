/** Bodies, queries, errors, back-off and the stream of counts. No input or output. */

import { HousecountError } from "./errors.js";
import type { ActiveStream, BatchResponse, HeartbeatResponse, LabelCounts, RejectedHeartbeat, StatsResponse } from "./models.js";
import type { Answer } from "./stay.js";

/** Heartbeats that a node takes in a call. */
const HEARTBEATS_MAX = 10_000;
/** Bytes of a call's body; a node takes 1 MiB. */
const BODY_BYTES_MAX = 1_000_000;
/** These statuses say that the same call may be taken later. */
export const RETRIED = [408, 429, 502, 503, 504];
const BACK_OFF_MS_MIN = 1_000;
const BACK_OFF_MS_MAX = 30_000;

/** This session of a viewer watches this stage now. */
export interface Heartbeat {
  stage: string;
  viewer: string;
  session?: string | undefined;
  /** Labels by the keys of the node's setting `labels`, such as `{ country: "NO" }`. A session keeps those of its first heartbeat. */
  labels?: Record<string, string> | undefined;
  /** Session on the same stage whose place this one takes, where a viewer's streams are limited. */
  replaces?: string | undefined;
}

/** Returns a heartbeat's body, without other fields of its object. */
export const beatOf = ({ stage, viewer, session, labels, replaces }: Heartbeat): Heartbeat => ({ stage, viewer, session, labels, replaces });

/** Unix milliseconds, RFC 3339 or a date (UTC) as text, or a Date. */
export type Time = number | string | Date;

/** A stage's count, from the stream of counts. */
export interface LiveCount {
  type: "count";
  stage: string;
  /** Missing where the stage hides its count from players. */
  viewers?: number | undefined;
  /** Missing where `viewers` is. */
  sessions?: number | undefined;
  /** Time of the count: Unix ms on the log's clock. */
  asOf: number;
  /** Whether every viewer is counted for sure. If not, the count may be low. */
  complete: boolean;
  /** Whether it is bridged from what was known before a loss. */
  recovering: boolean;
}

/** All stages together, from the stream of counts. */
export type LiveTotals = { type: "totals" } & StatsResponse;

/** Viewers by label, from the stream of counts with `by`. */
export interface LiveLabels {
  type: "labels";
  /** The stage; missing for all stages together. */
  stage?: string | undefined;
  by: LabelCounts;
  /** Time of the count: Unix ms on the log's clock. */
  asOf: number;
  /** Whether every viewer is counted for sure. If not, the count may be low. */
  complete: boolean;
  /** Whether earlier counts stand in. */
  recovering: boolean;
}

/** The node does not know what was missed: drop all counts of this stream, they are sent again. */
export interface LiveReset {
  type: "reset";
}

export type LiveEvent = LiveCount | LiveTotals | LiveLabels | LiveReset;

/** The waits between the tries of one call: 1 s, doubled up to 30 s, less up to a half by chance, and never before Retry-After. */
export class Backoff {
  #failures = 0;
  readonly #until: number;

  constructor(retryForMs: number) {
    this.#until = performance.now() + retryForMs;
  }

  /** Returns the time until the next try; undefined if that would be too late. */
  waitMs(retryAfterMs = 0): number | undefined {
    const backOff = Math.min(BACK_OFF_MS_MIN * 2 ** this.#failures, BACK_OFF_MS_MAX) * (0.5 + 0.5 * Math.random());
    const wait = Math.max(backOff, retryAfterMs * (1 + 0.25 * Math.random()));
    this.#failures += 1;
    return performance.now() + wait <= this.#until ? wait : undefined;
  }
}

type QueryValue = Time | boolean | string[] | undefined;

/** Returns a query with its question mark; what is undefined is left out. */
export function query(parameters: Record<string, QueryValue>): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined) pairs.append(name, each instanceof Date ? String(each.getTime()) : String(each));
    }
  }
  return pairs.size > 0 ? `?${pairs}` : "";
}

/** Returns the time that a Retry-After header asks for. Nodes send seconds, never a date. */
function retryAfterMsOf(headers: Headers): number | undefined {
  const text = headers.get("retry-after");
  const ms = text ? 1_000 * Number(text) : NaN;
  return ms >= 0 ? ms : undefined;
}

/** Reads a body as JSON; undefined if it is none. */
async function jsonOf(response: Response): Promise<unknown> {
  try {
    return (await response.json()) as unknown;
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

function problemOf(body: unknown, status: number): { code: string; detail: string; active: ActiveStream[] } {
  if (isObject(body) && typeof body["code"] === "string" && typeof body["detail"] === "string") {
    const active = Array.isArray(body["active"]) ? (body["active"] as ActiveStream[]) : [];
    return { code: body["code"], detail: body["detail"], active };
  }
  return { code: "", active: [], detail: `no housecount node answered, but something with status ${status}` };
}

/** Returns the error that a response tells. */
export async function errorOf(response: Response): Promise<HousecountError> {
  const { status, headers } = response;
  const { code, detail, active } = problemOf(await jsonOf(response), status);
  return new HousecountError(detail, { code, status, active, retryAfterMs: retryAfterMsOf(headers) });
}

/**
 * Reads an answer.
 *
 * @param field one that each answer of this call has
 * @throws HousecountError: it is not a node's answer, but for example a login page
 */
export async function answerOf<T>(response: Response, field: keyof T & string): Promise<T> {
  const body = await jsonOf(response);
  if (isObject(body) && field in body) return body as T;
  const { status } = response;
  throw new HousecountError(`status ${status}, but not the answer of a housecount node`, { status });
}

/** Reads what a heartbeat was answered, which may be anything where no node answered. */
export async function heartbeatAnswerOf(response: Response): Promise<Answer> {
  const { status, headers, ok } = response;
  const body = await jsonOf(response);
  // A stage may hide its viewers.
  const hasViewers = isObject(body) && ["number", "undefined"].includes(typeof body["viewers"]);
  const isCount = ok && isObject(body) && typeof body["nextMs"] === "number" && hasViewers;
  const count = isCount ? (body as unknown as HeartbeatResponse) : undefined;
  return { type: "answer", status, ...problemOf(body, status), count, retryAfterMs: retryAfterMsOf(headers) };
}

/** Cuts heartbeats into bodies that a node takes, each with the index of its first heartbeat. Lines of JSON. */
export async function* batches(
  beats: Iterable<Heartbeat> | AsyncIterable<Heartbeat>,
): AsyncGenerator<{ first: number; body: string }> {
  let index = 0;
  let first = 0;
  let bytes = 0;
  let lines: string[] = [];
  for await (const beat of beats) {
    const line = `${JSON.stringify(beatOf(beat))}\n`;
    const size = Buffer.byteLength(line);
    if (lines.length === HEARTBEATS_MAX || (lines.length > 0 && bytes + size > BODY_BYTES_MAX)) {
      yield { first, body: lines.join("") };
      first = index;
      bytes = 0;
      lines = [];
    }
    lines.push(line);
    bytes += size;
    index += 1;
  }
  if (lines.length > 0) yield { first, body: lines.join("") };
}

/**
 * Reads the answer to a batch, also a 400 that names what is wrong with each of its heartbeats.
 *
 * @throws HousecountError: anything else
 */
export async function batchAnswerOf(response: Response): Promise<BatchResponse> {
  if (response.ok) return answerOf<BatchResponse>(response, "accepted");
  const body = response.status === 400 ? await jsonOf(response.clone()) : undefined;
  if (isObject(body) && Array.isArray(body["rejected"])) {
    return { accepted: 0, rejected: body["rejected"] as RejectedHeartbeat[] };
  }
  throw await errorOf(response);
}

/** Reads a stream of counts (`text/event-stream`), from texts cut anywhere. */
export class LiveEvents {
  lastEventId: string | undefined;
  #rest = "";
  #event = "";
  #data: string[] = [];

  /** Forgets a half-read event: the connection was lost. */
  clear(): void {
    this.#rest = "";
    this.#event = "";
    this.#data = [];
  }

  /**
   * Takes a text; returns the events that it completes.
   *
   * @throws HousecountError: the node ends the stream, for example since the token has expired
   */
  *take(text: string): Generator<LiveEvent> {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const event = this.#line(line.replace(/\r$/, ""));
      if (event) yield event;
    }
  }

  #line(line: string): LiveEvent | undefined {
    if (line) {
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "event") this.#event = value;
      if (name === "data") this.#data.push(value);
      if (name === "id") this.lastEventId = value;
      return undefined;
    }
    const event = this.#event;
    const data = this.#data.join("\n");
    this.#event = "";
    this.#data = [];
    if (event === "reset") return { type: "reset" };
    if (!data) return undefined;
    const body = JSON.parse(data) as Record<string, unknown>;
    if (event === "end") throw new HousecountError(String(body["detail"]), { code: String(body["code"]) });
    if (event === "count" || event === "totals" || event === "labels") return { type: event, ...body } as LiveEvent;
    return undefined;
  }
}
