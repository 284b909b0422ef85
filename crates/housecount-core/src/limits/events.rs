//! Bounds of events and webhooks.

/// Time between two samples of the counts beyond which events may be missing. A node samples once
/// per second, and knows after [`LOG_STALE_MS`](super::LOG_STALE_MS) that its counts are old.
pub const EVENT_GAP_MS_MAX: u64 = 5_000;
/// Samples of the counts that a node keeps for events: an hour of them. A node whose cold tier is
/// away for longer finds no events in the samples before.
pub const EVENT_SAMPLES_MAX: usize = 3_600;
/// Changed counts in these samples, some 32 bytes each.
pub const EVENT_CHANGES_MAX: usize = 500_000;
/// Events of one stored batch. With the longest ids a batch is smaller than an item may be.
pub const EVENT_BATCH_EVENTS_MAX: usize = 500;
/// Bytes of a part of the stored state.
pub const EVENT_STATE_BYTES_MAX: usize = 256 * 1024;
/// Events after which the state is stored again. A node that takes over reads no more than these.
pub const EVENT_STATE_EVENTS_MAX: u64 = 2_000;
/// Time after which the state is stored again if there were events. It is far less than
/// [`EVENTS_KEPT_MS`], since events must not expire before a state has their effect.
pub const EVENT_STATE_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// Time for which events are kept.
pub const EVENTS_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// Batches that one call of `GET /v1/events` reads, however few of their events it wants.
pub const EVENT_BATCHES_READ_MAX: usize = 50;
/// Values of `events_thresholds`.
pub const EVENT_THRESHOLDS_MAX: usize = 20;
/// Maximum of `events_drop_within`. A node keeps a stage's peaks for that time.
pub const EVENT_DROP_MS_MAX: u64 = 10 * 60 * 1000;
/// Webhooks of a node.
pub const WEBHOOKS_MAX: usize = 20;
/// Patterns of stages of one webhook.
pub const WEBHOOK_STAGES_MAX: usize = 100;
/// Events that wait in memory for one webhook. Later ones wait in the cold tier.
pub const WEBHOOK_PENDING_MAX: usize = 1_000;
/// Deliveries to one webhook at once, each of another stage.
pub const WEBHOOK_DELIVERIES_MAX: usize = 4;
/// Age of an event after which a failed delivery is its last.
pub const WEBHOOK_EVENT_MS_MAX: u64 = 24 * 60 * 60 * 1000;
/// Longest wait between two deliveries of an event, also where the receiver asks for more.
pub const WEBHOOK_WAIT_MS_MAX: u64 = 60 * 60 * 1000;
/// Time in which a receiver must answer, from the look-up of its name on.
pub const WEBHOOK_ANSWER_MS_MAX: u64 = 15_000;
/// Bytes of a receiver's answer that are read. Nothing in it is used.
pub const WEBHOOK_ANSWER_BYTES_MAX: usize = 16 * 1024;
