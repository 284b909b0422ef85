/**
 * The state machine of one stay: one session's heartbeats from the first one to the leave.
 *
 * docs/CLIENTS.md has it as a table, and clients/scenarios.json as scenarios. The machine does no input or output and reads no
 * clock: a driver tells it events, does what it requests, and wakes it at `dueAt`. Times are milliseconds.
 */

import type { ActiveStream, HeartbeatResponse } from "./models.js";

/** A node answers within about 5 s, if only that it cannot. */
const ANSWER_MS_MAX = 10_000;
/** A second heartbeat this soon outlives a late leave of the same session, since the node waits 3 s with leaves. */
const CONFIRM_MS = 2_000;
/** No answer makes a client beat more often. */
const WAIT_MS_MIN = 250;
/** No answer makes a client stay away for longer. */
const WAIT_MS_MAX = 3_600_000;
const BACK_OFF_MS_MIN = 1_000;
const BACK_OFF_MS_MAX = 30_000;
/** A token is replaced before a heartbeat once so much of its life is over: long before it ends, whatever this clock says. */
const TOKEN_LIFE_PART = 0.75;
/** These statuses say that the same heartbeat will never be taken. */
const FINAL = [400, 401, 403, 404, 409];

/** State of a stay: the event that it waits for. */
export type State = "idle" | "token" | "sending" | "waiting" | "leaving" | "over";

/**
 * Action for the driver: get a token, send a heartbeat, send a leave without waiting, or give up the request under way.
 */
export type Request = "token" | "heartbeat" | "leave" | "abandon";

/** A node's answer to the heartbeat. `count` is there if it has one. */
export interface Answer {
  type: "answer";
  status: number;
  count?: HeartbeatResponse | undefined;
  code: string;
  detail: string;
  /** The viewer's streams, where there are too many. */
  active?: ActiveStream[] | undefined;
  retryAfterMs?: number | undefined;
}

/** No answer to the heartbeat, or no token. */
export interface Failure {
  type: "failure";
  detail: string;
  cause?: unknown;
}

/** A new token, with its `exp` and `iat` where they can be read. */
export interface NewToken {
  type: "token";
  expiresAt?: number | undefined;
  issuedAt?: number | undefined;
}

/** `wake`: the timer may be late. `online`: the network is back. `close`: the process ends now. */
export interface Signal {
  type: "start" | "timer" | "wake" | "online" | "leave" | "close";
}

export type Event = Answer | Failure | NewToken | Signal;

/** Outcome of a heartbeat, for the caller. */
export type Outcome =
  | { type: "count"; count: HeartbeatResponse }
  | { type: "retry"; why: Answer | Failure; waitMs: number }
  | { type: "refused"; why: Answer };

/** Consequences of an event: requests, in order, and an outcome for the caller. */
export interface Effects {
  requests: Request[];
  outcome?: Outcome;
}

export interface StayOptions {
  /** The caller named the session, so that the name may be used again. */
  hasOwnSession: boolean;
  /** Tokens can be asked for. */
  hasTokens: boolean;
  /** A number from 0 to 1. */
  chance?: () => number;
}

/** One session's heartbeats from the first one to the leave. */
export class Stay {
  state: State = "idle";
  /** Due time of the stay's one timer. */
  dueAt: number | undefined;
  readonly #hasOwnSession: boolean;
  readonly #hasTokens: boolean;
  readonly #chance: () => number;
  #failures = 0;
  #hasBeaten = false;
  /** Whether the heartbeat under way, or the last one, is the first. */
  #isFirst = true;
  /** Time from which another token is needed. */
  #tokenUntil = 0;
  /** Whether the last token was refused, and no heartbeat was taken since. */
  #isTokenRefused = false;

  constructor({ hasOwnSession, hasTokens, chance = Math.random }: StayOptions) {
    this.#hasOwnSession = hasOwnSession;
    this.#hasTokens = hasTokens;
    this.#chance = chance;
  }

  /** Takes an event and returns what is to be done. An event that its state does not know changes nothing. */
  handle(now: number, event: Event): Effects {
    const effects: Effects = { requests: [] };
    if (this.state === "over") return effects;
    switch (event.type) {
      case "start":
        if (this.state === "idle") this.#next(now, effects);
        break;
      case "token":
        if (this.state === "token") {
          const { expiresAt = Infinity, issuedAt = now } = event;
          this.#tokenUntil = now + TOKEN_LIFE_PART * (expiresAt - issuedAt);
          this.#send(now, effects);
        }
        break;
      case "failure":
        if (this.state === "sending" || this.state === "token") this.#retry(now, effects, event);
        else if (this.state === "leaving") this.#end(effects);
        break;
      case "answer":
        if (this.state === "sending") this.#answered(now, effects, event);
        else if (this.state === "leaving") this.#end(effects);
        break;
      case "timer":
      case "wake":
        if (this.dueAt !== undefined && (event.type === "timer" || now >= this.dueAt)) this.#timer(now, effects);
        break;
      case "online":
        this.#online(now, effects);
        break;
      case "leave":
        this.#leave(effects);
        break;
      case "close":
        if (this.state !== "idle" && this.state !== "waiting") effects.requests.push("abandon");
        this.#end(effects);
    }
    return effects;
  }

  #next(now: number, effects: Effects): void {
    if (this.#hasTokens && now >= this.#tokenUntil) this.#askForToken(now, effects);
    else this.#send(now, effects);
  }

  #askForToken(now: number, effects: Effects): void {
    this.state = "token";
    this.dueAt = now + ANSWER_MS_MAX;
    effects.requests.push("token");
  }

  #send(now: number, effects: Effects): void {
    this.state = "sending";
    this.dueAt = now + ANSWER_MS_MAX;
    this.#isFirst = !this.#hasBeaten;
    this.#hasBeaten = true;
    effects.requests.push("heartbeat");
  }

  #answered(now: number, effects: Effects, answer: Answer): void {
    const { status, count } = answer;
    if (status >= 200 && status < 300 && count && count.nextMs > 0 && (count.viewers ?? 0) >= 0) {
      this.#failures = 0;
      this.#isTokenRefused = false;
      const isToConfirm = this.#hasOwnSession && this.#isFirst;
      this.#wait(now, isToConfirm ? Math.min(CONFIRM_MS, count.nextMs) : this.#spread(count.nextMs, 0.95, 1.05));
      effects.outcome = { type: "count", count };
    } else if (status === 401 && this.#hasTokens && !this.#isTokenRefused) {
      this.#isTokenRefused = true;
      this.#tokenUntil = 0;
      this.#wait(now, 0);
    } else if (FINAL.includes(status)) {
      this.state = "over";
      this.dueAt = undefined;
      effects.outcome = { type: "refused", why: answer };
    } else {
      this.#retry(now, effects, answer);
    }
  }

  #retry(now: number, effects: Effects, why: Answer | Failure): void {
    this.#failures += 1;
    const backOff = Math.min(BACK_OFF_MS_MIN * 2 ** (this.#failures - 1), BACK_OFF_MS_MAX);
    const asked = why.type === "answer" ? (why.retryAfterMs ?? 0) : 0;
    const waitMs = this.#wait(now, Math.max(this.#spread(backOff, 0.5, 1), this.#spread(asked, 1, 1.25)));
    effects.outcome = { type: "retry", why, waitMs };
  }

  #wait(now: number, ms: number): number {
    const wait = Math.min(Math.max(ms, WAIT_MS_MIN), WAIT_MS_MAX);
    this.state = "waiting";
    this.dueAt = now + wait;
    return wait;
  }

  #timer(now: number, effects: Effects): void {
    if (this.state === "waiting") return this.#next(now, effects);
    effects.requests.push("abandon");
    if (this.state === "leaving") this.#end(effects);
    else this.#retry(now, effects, { type: "failure", detail: "no answer within 10 s" });
  }

  #online(now: number, effects: Effects): void {
    if (this.state === "idle" || this.state === "leaving") return;
    if (this.state !== "waiting") effects.requests.push("abandon");
    this.#failures = 0;
    this.#next(now, effects);
  }

  #leave(effects: Effects): void {
    if (this.state === "sending") {
      // The heartbeat under way may arrive after this leave, and would bring the viewer back: another one follows.
      this.state = "leaving";
      effects.requests.push("leave");
    } else if (this.state !== "leaving") {
      if (this.state === "token") effects.requests.push("abandon");
      this.#end(effects);
    }
  }

  #end(effects: Effects): void {
    this.state = "over";
    this.dueAt = undefined;
    if (this.#hasBeaten) effects.requests.push("leave");
  }

  #spread(ms: number, least: number, most: number): number {
    return ms * (least + (most - least) * this.#chance());
  }
}
