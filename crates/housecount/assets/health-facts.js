/**
 * What the health page says, and how it is read off the counters of `/metrics`. Pure: samples in, words out. The
 * metrics' names and meanings are those of metrics.rs.
 */

import * as format from "./format.js";

/** @typedef {import("./metrics.js").Metrics} Metrics */

/**
 * @typedef {object} Reading
 * @property {Metrics} metrics the latest
 * @property {Metrics} before at most a minute earlier
 * @property {number} seconds between them
 * @property {number} now Unix ms on the log's clock
 */

/**
 * @typedef {{value: string, note?: string, tone?: "ok" | "warn" | "bad"}} Told
 * @typedef {{title: string, hint?: string, read: (reading: Reading) => Told}} Fact
 * @typedef {{title: string, facts: Fact[], isShown?: (metrics: Metrics) => boolean}} Group
 */

/** A count this old means that the log isn't heard: nodes hear it every 50 ms, and call it silent after 2 s. */
const SILENT_MS = 2_000;
/** By default a window is written 7 min after it began; later than this something is in its way. */
const COMMIT_LATE_MS = 20 * 60_000;
/** Snapshots are taken every 5 min by default. */
const SNAPSHOT_LATE_MS = 15 * 60_000;

/** @type {Told} */
const UNTOLD = { value: format.NONE, note: "This version doesn't tell." };

/**
 * A counter that should stand still.
 * @param {string} title
 * @param {string} name
 * @param {string} hint
 * @param {string} why what it means when it moves
 * @returns {Fact}
 */
const faults = (title, name, hint, why) => ({
  title,
  hint,
  read: ({ metrics, before, seconds }) => {
    const total = metrics.sum(name);
    if (total === undefined) return UNTOLD;
    const recent = total - (before.sum(name) ?? 0);
    if (recent > 0)
      return {
        value: format.count(total),
        note: `${format.count(recent)} in the last ${format.span(seconds * 1000)}: ${why}`,
        tone: "warn",
      };
    return { value: format.count(total), note: total ? "None of late" : "", tone: "ok" };
  },
});

/**
 * A counter's speed.
 * @param {string} title
 * @param {string} name
 * @param {string} hint
 * @param {Record<string, string>} [labels]
 * @returns {Fact}
 */
const rate = (title, name, hint, labels) => ({
  title,
  hint,
  read: ({ metrics, before, seconds }) => {
    const total = metrics.sum(name, labels);
    if (total === undefined) return { value: "0 /s" };
    if (!seconds) return { value: format.NONE, note: "Measured with the next answer" };
    const perSecond = (total - (before.sum(name, labels) ?? 0)) / seconds;
    return { value: `${format.average(perSecond)} /s`, note: `${format.count(total)} since start` };
  },
});

/**
 * A time that should not be long ago.
 * @param {Reading} reading
 * @param {string} name
 * @param {number} lateMs
 * @param {string} never
 * @returns {Told}
 */
function ago({ metrics, now }, name, lateMs, never) {
  const at = metrics.sum(name);
  if (at === undefined) return UNTOLD;
  if (at === 0) return { value: "None yet", note: never };
  const ms = Math.max(0, now - at * 1000);
  const note = format.when(at * 1000, now);
  return ms > lateMs
    ? { value: `${format.span(ms)} ago`, note: `${note}: later than usual`, tone: "warn" }
    : { value: `${format.span(ms)} ago`, note, tone: "ok" };
}

/** @type {Group[]} */
export const groups = [
  {
    title: "Log",
    facts: [
      {
        title: "Counts",
        hint: "Whether everybody is counted for sure",
        read: ({ metrics }) => {
          const complete = metrics.sum("complete");
          if (complete === undefined) return UNTOLD;
          const viewers = format.plural(metrics.sum("viewers") ?? 0, "viewer");
          return complete
            ? { value: "Complete", note: viewers, tone: "ok" }
            : { value: "Incomplete", note: `${viewers}, which may be too few`, tone: "bad" };
        },
      },
      {
        title: "Lag",
        hint: "How far the counts are behind the log's clock, as far as this browser can tell",
        read: ({ metrics, now }) => {
          const at = metrics.sum("as_of_timestamp_seconds");
          if (!at) return { value: format.NONE, note: "The log has not been heard yet", tone: "bad" };
          const ms = Math.max(0, now - at * 1000);
          if (ms < SILENT_MS)
            return {
              value: ms < 100 ? "< 0.1 s" : `${(ms / 1000).toFixed(1)} s`,
              note: "Counts follow the log",
              tone: "ok",
            };
          return {
            value: format.span(ms),
            note: "The log isn't heard. Is its store up, and reachable from this node?",
            tone: "bad",
          };
        },
      },
      {
        title: "Append",
        hint: "Half of the appends, and 99 in 100, took no longer, of the last minute",
        read: ({ metrics, before }) => {
          const p50 = metrics.quantile("append_seconds", 0.5, before) ?? metrics.quantile("append_seconds", 0.5, null);
          const p99 =
            metrics.quantile("append_seconds", 0.99, before) ?? metrics.quantile("append_seconds", 0.99, null);
          if (p50 === undefined || p99 === undefined)
            return { value: format.NONE, note: "Nothing has been appended yet" };
          return {
            value: `≤ ${format.latency(p50)}`,
            note: `99 in 100: ≤ ${format.latency(p99)}`,
            tone: p99 > 1 ? "warn" : "ok",
          };
        },
      },
      {
        title: "Waiting",
        hint: "Heartbeats that this node has taken and the log doesn't have yet",
        read: ({ metrics }) => {
          const waiting = metrics.sum("waiting_events");
          if (waiting === undefined) return UNTOLD;
          return {
            value: format.count(waiting),
            note: waiting > 10_000 ? "The log takes less than comes in" : "",
            tone: waiting > 10_000 ? "warn" : "ok",
          };
        },
      },
      faults(
        "Append failures",
        "append_failures_total",
        "Appends that failed and were tried again",
        "the log refuses or is away; heartbeats are kept and tried again",
      ),
      faults(
        "Read failures",
        "read_failures_total",
        "Reads of the log that failed and were tried again",
        "the log can't be read",
      ),
      faults(
        "Told again",
        "log_retold_total",
        "Partitions that were told again what the log had lost",
        "the log had lost something, and has it again",
      ),
    ],
  },
  {
    title: "Ledger and lease",
    facts: [
      {
        title: "Last commit",
        hint: "End of the last window that the ledger has",
        read: (reading) =>
          ago(
            reading,
            "committed_timestamp_seconds",
            COMMIT_LATE_MS,
            "The first window is written about 7 min after the first heartbeat",
          ),
      },
      {
        title: "Lease",
        hint: "One node at a time takes the lease and writes; any may be next",
        read: ({ metrics }) => {
          const written = metrics.sum("commits_total");
          if (written === undefined) return UNTOLD;
          const at = metrics.sum("committed_timestamp_seconds") ?? 0;
          if (written > 0)
            return {
              value: "Taken in turn",
              note: `${format.plural(written, "window")} written or taken over here`,
              tone: "ok",
            };
          return {
            value: at ? "With another node" : "Not taken yet",
            note: "No window was written here since this node's start",
          };
        },
      },
      faults(
        "Commit failures",
        "commit_failures_total",
        "Windows that could not be written, and are tried again",
        "the cold tier refuses; windows wait in the log, nothing is lost for 6 h",
      ),
      faults(
        "Came too late",
        "events_uncredited_total",
        "Heartbeats that came too late to be credited",
        "heartbeats older than lateness_max were refused credit",
      ),
      {
        title: "Written",
        hint: "Bytes of the ledger that this node wrote",
        read: ({ metrics }) => ({
          value: format.bytes(metrics.sum("commit_bytes_total") ?? 0),
          note: "by this node since its start",
        }),
      },
    ],
  },
  {
    title: "Cold tier",
    facts: [
      {
        title: "Last snapshot",
        hint: "When this node last saved all active stages; another node may have done it since",
        read: (reading) =>
          ago(
            reading,
            "snapshot_last_timestamp_seconds",
            SNAPSHOT_LATE_MS,
            "One node takes them for all; this one has not",
          ),
      },
      {
        title: "Stages in it",
        read: ({ metrics }) => ({
          value: format.count(metrics.sum("snapshot_stages") ?? 0),
          note: `${format.plural(metrics.sum("snapshots_total") ?? 0, "snapshot")} since start`,
        }),
      },
      faults(
        "Snapshot failures",
        "snapshot_failures_total",
        "Snapshots that failed and are tried again",
        "the cold tier refuses or is away; counts go on",
      ),
      {
        title: "Reads",
        hint: "DynamoDB read units, as its replies say, or as the embedded store reckons them",
        read: (reading) => units(reading, "read"),
      },
      {
        title: "Writes",
        hint: "DynamoDB write units, as its replies say, or as the embedded store reckons them",
        read: (reading) => units(reading, "write"),
      },
    ],
  },
  {
    title: "Players",
    facts: [
      rate("Heartbeats", "events_total", "Heartbeats taken in", { kind: "beat" }),
      rate("Leaves", "events_total", "Leaves taken in", { kind: "leave" }),
      {
        title: "Connections",
        hint: "Open connections, and those of them that are WebSockets",
        read: ({ metrics }) => ({
          value: format.count(metrics.sum("connections") ?? 0),
          note: format.plural(metrics.sum("websockets") ?? 0, "WebSocket"),
        }),
      },
      rate("Requests", "requests_total", "Answered requests"),
      {
        title: "Refused",
        hint: "Heartbeats and requests refused, by why",
        read: ({ metrics }) => {
          const codes = metrics.all("rejected_total").filter(({ value }) => value > 0);
          codes.sort((a, b) => b.value - a.value);
          const most = codes.slice(0, 3).map(({ labels, value }) => `${labels.code} ${format.count(value)}`);
          return { value: format.count(metrics.sum("rejected_total") ?? 0), note: most.join(", ") };
        },
      },
      faults(
        "Shed",
        "shed_total",
        "Heartbeats not taken because too many wait for the log",
        "too many wait for the log; players are told to come back",
      ),
      faults(
        "Accept failures",
        "accept_failures_total",
        "Connections that could not be accepted",
        "most often for want of file descriptors: raise the limit (ulimit -n)",
      ),
    ],
  },
  {
    title: "Archive",
    isShown: (metrics) => (metrics.sum("archived_timestamp_seconds") ?? 0) > 0,
    facts: [
      { title: "Kept up to", read: (reading) => ago(reading, "archived_timestamp_seconds", COMMIT_LATE_MS, "") },
      {
        title: "Items",
        read: ({ metrics }) => ({
          value: format.count(metrics.sum("archive_items_total") ?? 0),
          note: format.bytes(metrics.sum("archive_bytes_total") ?? 0),
        }),
      },
      faults(
        "Archive failures",
        "archive_failures_total",
        "Writes of the archive that failed and are tried again",
        "the cold tier refuses or is away",
      ),
    ],
  },
];

/**
 * @param {Reading} reading
 * @param {string} kind
 * @returns {Told}
 */
function units({ metrics }, kind) {
  const total = metrics.sum("cold_consumed_units_total", { kind });
  if (total === undefined) return { value: "0", note: "None since start" };
  const purposes = metrics
    .all("cold_consumed_units_total")
    .filter(({ labels, value }) => labels.kind === kind && value > 0);
  purposes.sort((a, b) => b.value - a.value);
  const most = purposes.slice(0, 3).map(({ labels, value }) => `${labels.purpose} ${format.count(value)}`);
  return { value: format.count(total), note: most.join(", ") };
}
