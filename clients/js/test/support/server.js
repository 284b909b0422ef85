/** Shortens an answer, as `housecount.2` has it. */
function short({ viewers, sessions, asOf, complete, recovering, nextMs, coalesced }, hasSessions = false) {
  if (complete && !recovering && !coalesced && !hasSessions) return [viewers, Math.max(1, Math.round(nextMs / 100))];
  return { viewers, ...(hasSessions && { sessions }), ...(!complete && { asOf, complete }), ...(recovering && { recovering }), nextMs, ...(coalesced && { coalesced }) };
}

/** A fake server that records requests, answers as the test sets it, and counts viewers by the presence rule. */

const TTL_MS = 120_000;
const LEAVE_GRACE_MS = 3_000;

export class FakeServer {
  /** Requests in order of arrival. @type {{ at: number, kind: "beat" | "leave", by: string, stage: string, viewer: string, session?: string, token?: string }[]} */
  received = [];
  sockets = [];
  /** Streams of counts that were asked for. @type {import("./world.js").Source[]} */
  sources = [];
  /** Replaces the response to a stream; `null`: no response. @type {((url: string, headers: Record<string, string>) => { status: number, body: any, headers?: Record<string, string> } | null) | null} */
  answerLive = null;
  takesSockets = true;
  /** Known subprotocols; without the first one it is an older server, which ignores what it does not know. */
  protocols = ["housecount.2", "housecount.1"];
  /** WebSockets neither open nor fail. */
  socketsHang = false;
  /** Whether it answers leaves on a WebSocket. */
  answersLeaves = true;
  nextMs = 30_000;
  /** Replaces the response to a heartbeat; `null`: no response. @type {((beat: object) => { status: number, body: any, headers?: Record<string, string> } | null) | null} */
  answer = null;
  #last = new WeakMap();

  constructor(world) {
    this.world = world;
  }

  beats() {
    return this.received.filter(({ kind }) => kind === "beat");
  }

  leaves() {
    return this.received.filter(({ kind }) => kind === "leave");
  }

  post(by, url, body, headers) {
    const { pathname } = new URL(url);
    const { stage, viewer, session, labels, replaces, token, answer } = JSON.parse(body);
    const event = { by, stage, viewer, session, labels, replaces, token: token ?? headers.authorization };
    if (pathname.endsWith("/v1/leave")) {
      this.#record("leave", event);
      return { status: 204, body: "" };
    }
    const accepted = this.#acceptBeat(event);
    if (accepted?.status !== 200 || answer !== "short" || !this.#isShort) return accepted;
    return { ...accepted, body: short(accepted.body) };
  }

  get #isShort() {
    return this.protocols[0] === "housecount.2";
  }

  /** Returns the answer to a message; `null`: there is none. */
  onSocketMessage(socket, text) {
    const message = JSON.parse(text);
    const { leave, ...event } = "stage" in message ? message : { ...this.#last.get(socket), ...message };
    if (!event.stage) return { code: "invalid_stage", detail: "nothing to repeat" };
    if (leave) {
      this.#record("leave", { by: "ws", token: socket.token, ...event });
      return this.answersLeaves ? { stage: event.stage, left: true } : null;
    }
    const answer = this.#acceptBeat({ by: "ws", token: socket.token, ...event });
    if (!answer) return null;
    if (answer.status === 200) {
      this.#last.set(socket, event);
      if (socket.protocol !== "housecount.2") return { stage: event.stage, ...answer.body };
      const body = short(answer.body, event.sessions);
      socket.hasAnswered = !(event.quiet && socket.hasAnswered && Array.isArray(body));
      return socket.hasAnswered ? body : null;
    }
    const retryAfter = answer.headers?.["retry-after"];
    return { ...answer.body, ...(retryAfter && { retryAfterMs: 1_000 * Number(retryAfter) }) };
  }

  #acceptBeat(event) {
    const answer = this.answer ? this.answer(event) : this.ok();
    this.#record("beat", { ...event, status: answer?.status });
    return answer;
  }

  ok() {
    const { viewers, sessions } = this.count();
    return { status: 200, body: { viewers: Math.max(viewers, 1), sessions: Math.max(sessions, 1), asOf: this.world.now, complete: true, recovering: false, nextMs: this.nextMs } };
  }

  #record(kind, event) {
    this.received.push({ at: this.world.now, kind, ...event });
  }

  /** Count at a time, by the rule of the real server. */
  count(now = this.world.now) {
    const taken = this.received.filter(({ at, kind, status }) => at <= now && (kind === "leave" || status === undefined || status === 200));
    const key = ({ stage, viewer, session }) => JSON.stringify([stage, viewer, session]);
    const online = new Map();
    for (const { kind, at, ...event } of taken) {
      if (kind === "beat") online.set(key(event), { at, viewer: event.viewer, stage: event.stage });
    }
    for (const [session, beat] of online) {
      const left = taken.filter((event) => event.kind === "leave" && key(event) === session && event.at + LEAVE_GRACE_MS <= now);
      if (beat.at + TTL_MS <= now || left.some(({ at }) => at >= beat.at)) online.delete(session);
    }
    return { viewers: new Set([...online.values()].map(({ viewer }) => viewer)).size, sessions: online.size };
  }

  /** Times since the first heartbeat at which the count was 0, in steps of 100 ms. */
  gaps() {
    const gaps = [];
    for (let at = this.beats()[0].at; at <= this.world.now; at += 100) if (!this.count(at).viewers) gaps.push(at);
    return gaps;
  }
}
