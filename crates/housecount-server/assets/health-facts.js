/**
 * Facts of the health page, computed from the metrics of `/metrics`. Pure: samples in, text out. metrics.rs defines the metrics.
 */

import * as format from "./format.js";

/** @typedef {import("./metrics.js").Metrics} Metrics */

/**
 * @typedef {object} Reading
 * @property {Metrics} metrics latest sample
 * @property {Metrics} before sample of at most one minute earlier
 * @property {number} seconds between the samples
 * @property {number} now Unix ms on the log's clock
 */

/**
 * @typedef {{value: string, note?: string, tone?: "ok" | "warn" | "bad"}} FactValue
 * @typedef {{title: string, hint?: string, read: (reading: Reading) => FactValue}} Fact
 * @typedef {{title: string, facts: Fact[], isShown?: (metrics: Metrics) => boolean}} Group
 */

/** Age of a count from which the log counts as unreachable. A node reads it every 50 ms, and reports it stale after 2 s. */
const LOG_STALE_MS = 2_000;
/** Age from which a commit is late. By default a window is written 7 min after it began. */
const COMMIT_LATE_MS = 20 * 60_000;
/** Age from which a snapshot is late. By default one is taken every 5 min. */
const SNAPSHOT_LATE_MS = 15 * 60_000;

/** @type {FactValue} */
const UNAVAILABLE = { value: format.NONE, note: "Not reported by this version" };

/**
 * Creates a fact for a counter of errors, which should not grow.
 * @param {string} title
 * @param {string} name
 * @param {string} hint
 * @param {string} why cause of an increase
 * @returns {Fact}
 */
const errorCounter = (title, name, hint, why) => ({
  title,
  hint,
  read: ({ metrics, before, seconds }) => {
    const total = metrics.sum(name);
    if (total === undefined) return UNAVAILABLE;
    const recent = total - (before.sum(name) ?? 0);
    if (recent > 0)
      return {
        value: format.count(total),
        note: `${format.count(recent)} in the last ${format.span(seconds * 1000)}: ${why}`,
        tone: "warn",
      };
    return { value: format.count(total), note: total ? "None in the last minute" : "", tone: "ok" };
  },
});

/**
 * Creates a fact for a counter's rate.
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
    if (!seconds) return { value: format.NONE, note: "Measured with the next sample" };
    const perSecond = (total - (before.sum(name, labels) ?? 0)) / seconds;
    return { value: `${format.average(perSecond)} /s`, note: `${format.count(total)} since start` };
  },
});

/**
 * Describes the age of the last event of a kind.
 * @param {Reading} reading
 * @param {string} name
 * @param {number} lateMs
 * @param {string} never note if there was none
 * @returns {FactValue}
 */
function ageOf({ metrics, now }, name, lateMs, never) {
  const at = metrics.sum(name);
  if (at === undefined) return UNAVAILABLE;
  if (at === 0) return { value: "None yet", note: never };
  const ms = Math.max(0, now - at * 1000);
  const note = format.when(at * 1000, now);
  return ms > lateMs
    ? { value: `${format.span(ms)} ago`, note: `${note}: later than usual`, tone: "warn" }
    : { value: `${format.span(ms)} ago`, note, tone: "ok" };
}

/** @type {Group[]} */
export const factGroups = [
  {
    title: "Log",
    facts: [
      {
        title: "Counts",
        hint: "Whether all viewers are counted",
        read: ({ metrics }) => {
          const complete = metrics.sum("complete");
          if (complete === undefined) return UNAVAILABLE;
          const viewers = format.plural(metrics.sum("viewers") ?? 0, "viewer");
          return complete
            ? { value: "Complete", note: viewers, tone: "ok" }
            : {
                value: "Incomplete",
                note: `${viewers}; the log can’t be read or written, so the count may be too low`,
                tone: "bad",
              };
        },
      },
      {
        title: "Lag",
        hint: "Delay of the counts behind the log's clock, as estimated by this browser",
        read: ({ metrics, now }) => {
          const at = metrics.sum("as_of_timestamp_seconds");
          if (!at) return { value: format.NONE, note: "No data from the log yet", tone: "bad" };
          const ms = Math.max(0, now - at * 1000);
          if (ms < LOG_STALE_MS)
            return {
              value: ms < 100 ? "< 0.1 s" : `${(ms / 1000).toFixed(1)} s`,
              note: "Counts follow the log",
              tone: "ok",
            };
          return {
            value: format.span(ms),
            note: "No data from the log. Is its store up, and reachable from this node?",
            tone: "bad",
          };
        },
      },
      {
        title: "Append latency",
        hint: "Latency of appends in the last minute: median and 99th percentile",
        read: ({ metrics, before }) => {
          const p50 = metrics.quantile("append_seconds", 0.5, before) ?? metrics.quantile("append_seconds", 0.5, null);
          const p99 =
            metrics.quantile("append_seconds", 0.99, before) ?? metrics.quantile("append_seconds", 0.99, null);
          if (p50 === undefined || p99 === undefined) return { value: format.NONE, note: "No append yet" };
          return {
            value: `≤ ${format.latency(p50)}`,
            note: `p99 ≤ ${format.latency(p99)}`,
            tone: p99 > 1 ? "warn" : "ok",
          };
        },
      },
      {
        title: "Append queue",
        hint: "Accepted heartbeats that this node has not appended to the log yet",
        read: ({ metrics }) => {
          const waiting = metrics.sum("append_queue_events");
          if (waiting === undefined) return UNAVAILABLE;
          return {
            value: format.count(waiting),
            note: waiting > 10_000 ? "Heartbeats arrive faster than the log accepts them" : "",
            tone: waiting > 10_000 ? "warn" : "ok",
          };
        },
      },
      errorCounter(
        "Append failures",
        "append_failures_total",
        "Appends that failed and are retried",
        "the log rejects appends or is unavailable; heartbeats are kept and retried",
      ),
      errorCounter(
        "Read failures",
        "read_failures_total",
        "Reads of the log that failed and are retried",
        "the log is unreadable or unavailable",
      ),
      errorCounter(
        "Log rebuilds",
        "log_rebuilds_total",
        "Partitions whose lost data was rewritten to the log",
        "the log lost data, and has it again",
      ),
    ],
  },
  {
    title: "Ledger and lease",
    facts: [
      {
        title: "Last commit",
        hint: "End of the last window in the ledger",
        read: (reading) =>
          ageOf(
            reading,
            "committed_timestamp_seconds",
            COMMIT_LATE_MS,
            "The first window is written about 7 min after the first heartbeat",
          ),
      },
      {
        title: "Lease",
        hint: "One node at a time holds the lease and writes the ledger",
        read: ({ metrics }) => {
          const written = metrics.sum("commits_total");
          if (written === undefined) return UNAVAILABLE;
          const at = metrics.sum("committed_timestamp_seconds") ?? 0;
          if (written > 0)
            return {
              value: "Held in turn",
              note: `${format.plural(written, "window")} written or taken over by this node`,
              tone: "ok",
            };
          return {
            value: at ? "Held by another node" : "Not held yet",
            note: "No window written by this node since its start",
          };
        },
      },
      errorCounter(
        "Commit failures",
        "commit_failures_total",
        "Windows that could not be written, and are retried",
        "the cold tier rejects writes; windows stay in the log, without loss for 6 h",
      ),
      errorCounter(
        "Uncredited events",
        "events_uncredited_total",
        "Events too late to be credited",
        "events were older than lateness_max",
      ),
      {
        title: "Bytes written",
        hint: "Ledger bytes that this node wrote",
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
        hint: "Last time this node saved all active stages; another node may have done so since",
        read: (reading) =>
          ageOf(
            reading,
            "snapshot_last_timestamp_seconds",
            SNAPSHOT_LATE_MS,
            "One node takes them for all; this node has taken none",
          ),
      },
      {
        title: "Snapshot stages",
        read: ({ metrics }) => ({
          value: format.count(metrics.sum("snapshot_stages") ?? 0),
          note: `${format.plural(metrics.sum("snapshots_total") ?? 0, "snapshot")} since start`,
        }),
      },
      errorCounter(
        "Snapshot failures",
        "snapshot_failures_total",
        "Snapshots that failed and are retried",
        "the cold tier rejects writes or is unavailable; counting continues",
      ),
      {
        title: "Reads",
        hint: "DynamoDB read units, as its replies say, or as the embedded store computes them",
        read: (reading) => consumedUnits(reading, "read"),
      },
      {
        title: "Writes",
        hint: "DynamoDB write units, as its replies say, or as the embedded store computes them",
        read: (reading) => consumedUnits(reading, "write"),
      },
    ],
  },
  {
    title: "Players",
    facts: [
      rate("Heartbeats", "events_total", "Accepted heartbeats", { kind: "beat" }),
      rate("Leaves", "events_total", "Accepted leaves", { kind: "leave" }),
      {
        title: "Connections",
        hint: "Open connections, and the WebSockets among them",
        read: ({ metrics }) => ({
          value: format.count(metrics.sum("connections") ?? 0),
          note: format.plural(metrics.sum("websockets") ?? 0, "WebSocket"),
        }),
      },
      rate("Requests", "requests_total", "Completed requests"),
      {
        title: "Rejected",
        hint: "Rejected heartbeats and requests, by error code",
        read: ({ metrics }) => {
          const codes = metrics.all("rejected_total").filter(({ value }) => value > 0);
          codes.sort((a, b) => b.value - a.value);
          const top = codes.slice(0, 3).map(({ labels, value }) => `${labels.code} ${format.count(value)}`);
          return { value: format.count(metrics.sum("rejected_total") ?? 0), note: top.join(", ") };
        },
      },
      errorCounter(
        "Shed",
        "events_shed_total",
        "Heartbeats rejected because the append queue was full",
        "the append queue is full; players retry later",
      ),
      errorCounter(
        "Accept failures",
        "accept_failures_total",
        "Connections that could not be accepted",
        "usually out of file descriptors: raise the limit (ulimit -n)",
      ),
    ],
  },
  {
    title: "Archive",
    isShown: (metrics) => (metrics.sum("archived_timestamp_seconds") ?? 0) > 0,
    facts: [
      { title: "Archived up to", read: (reading) => ageOf(reading, "archived_timestamp_seconds", COMMIT_LATE_MS, "") },
      {
        title: "Items",
        read: ({ metrics }) => ({
          value: format.count(metrics.sum("archive_items_total") ?? 0),
          note: format.bytes(metrics.sum("archive_bytes_total") ?? 0),
        }),
      },
      errorCounter(
        "Archive failures",
        "archive_failures_total",
        "Archive writes that failed and are retried",
        "the cold tier rejects writes or is unavailable",
      ),
    ],
  },
];

/**
 * Describes the consumed DynamoDB units of a kind.
 *
 * @param {Reading} reading
 * @param {string} kind
 * @returns {FactValue}
 */
function consumedUnits({ metrics }, kind) {
  const total = metrics.sum("cold_consumed_units_total", { kind });
  if (total === undefined) return { value: "0", note: "None since start" };
  const purposes = metrics
    .all("cold_consumed_units_total")
    .filter(({ labels, value }) => labels.kind === kind && value > 0);
  purposes.sort((a, b) => b.value - a.value);
  const top = purposes.slice(0, 3).map(({ labels, value }) => `${labels.purpose} ${format.count(value)}`);
  return { value: format.count(total), note: top.join(", ") };
}
