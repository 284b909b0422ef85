//! Every bound in the system, in one place, asserted against its neighbours.
//!
//! Hitting a bound is a counted outcome (reject, shed, stretch), never growth or a crash. A test
//! hits each bound, and most such tests have the constant's name. `tests/it/tidy.rs` checks that a
//! test mentions each bound.

mod events;
mod neighbours;

pub use self::events::*;

/// Bytes of a stage id. IVS stage ARNs have about 70; other platforms use URLs.
pub const STAGE_ID_BYTES_MAX: usize = 256;
/// Bytes of a viewer id.
pub const VIEWER_ID_BYTES_MAX: usize = 128;
/// Bytes of a session id.
pub const SESSION_ID_BYTES_MAX: usize = 128;
/// Keys of labels that a session may have, such as a country and a device.
pub const LABEL_KEYS_MAX: usize = 4;
/// Length of a label's key, bytes.
pub const LABEL_KEY_BYTES_MAX: usize = 32;
/// Length of a label's value, bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 32;
/// Pairs of key and value that a viewer has on a stage at one time. A thousand sessions of a viewer
/// are kept, each with a value of each key.
pub const VIEWER_LABELS_MAX: usize = 1_000 * LABEL_KEYS_MAX;
/// Bytes of a viewer's labels: as many pairs of the longest keys and values, each with separators.
pub const VIEWER_LABELS_BYTES_MAX: usize =
    VIEWER_LABELS_MAX * (LABEL_KEY_BYTES_MAX + LABEL_VALUE_BYTES_MAX + 2);
/// Distinct values of one key on one stage. The edge writes `other` instead of further ones.
pub const LABEL_VALUES_MAX: usize = 1_000;
/// Distinct values of one key on all stages, of sessions that are online. The edge writes `other`
/// instead of further ones.
pub const LABEL_VALUES_ALL_MAX: usize = 10_000;
/// Distinct label sets that the known sessions of a viewer on a stage have. The edge writes `other`
/// for the values of further ones, so that one viewer cannot cut the ledger into many entries.
pub const VIEWER_LABEL_SETS_MAX: usize = 8;
/// Distinct label sets of a node's sessions at one time, which the 22 bits that a session has for
/// its set can name. Further ones count as `other`.
pub const LABEL_SETS_MAX: usize = 1 << 22;

/// Bytes of the body of one heartbeat or leave. Three ids and their JSON fit many times over.
pub const BEAT_BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the body of any other request.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Ratio to which a gzip body may unpack, beyond [`BEAT_BODY_BYTES_MAX`]. Heartbeats of different
/// viewers pack up to 35 times, and 10,000 copies of one 380 times (measured 2026-11). Deflate
/// packs zeros 1,032 times, so a higher ratio is a decompression bomb.
pub const GZIP_RATIO_MAX: usize = 400;
/// Bytes read of a body that no handler uses, so that its client reads the answer.
pub const UNREAD_BODY_BYTES_MAX: usize = BODY_BYTES_MAX;
/// Time for which such a body is read. The answer waits for it.
pub const UNREAD_BODY_MS_MAX: u64 = 2_000;
/// Heartbeats in one `/v1/heartbeats` call.
pub const BATCH_BEATS_MAX: usize = 10_000;
/// Heartbeats of such a call that a worker reads, admits or batches in one turn, which takes some
/// 50 us. Then the worker's other connections have their turn.
pub const BATCH_SLICE_BEATS_MAX: usize = 128;
/// Rows of one page of a list.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Rows of one page by default.
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// Earliest moment that a query or a command may name: 2001-01-01T00:00:00Z. It is years before any
/// beat. Seconds sent in place of milliseconds are below it until the year 32970.
pub const MOMENT_MS_MIN: u64 = 978_307_200_000;
/// Bytes of an unknown query parameter's name that an error repeats. Known names have at most 9.
pub const QUERY_NAME_SHOWN_BYTES_MAX: usize = 64;
/// Bytes of the request line and the headers together.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Time in which a client must send a request's headers once it has begun. Slower clients would
/// hold a connection for nothing.
pub const HEADER_READ_MS_MAX: u64 = 10_000;
/// Time for which a connection may be idle between two requests. It is longer than players'
/// intervals, so that each beat finds its connection open. Load balancers close theirs after 60 s
/// (AWS ALB's default, 2026-10), so they never send into a connection that the node closes.
pub const REQUEST_WAIT_MS_MAX: u64 = 75_000;
/// Time in which a client must continue to read an answer. A client that reads nothing holds a
/// connection, and the data it requested, for nothing.
pub const ANSWER_READ_MS_MAX: u64 = 30_000;
/// Bytes read from a client while an endless answer is sent to it. Clients send nothing then. The
/// node reads only to detect that they close.
pub const READ_AHEAD_BYTES_MAX: usize = 1_024;
/// Time in which a client must send a body.
pub const BODY_READ_MS_MAX: u64 = 10_000;
/// Largest number of open connections of a node. `connections_max` is lower; further connections
/// wait in the listen queue.
pub const CONNECTIONS_MAX: usize = 1_000_000;
/// Open connections of a node whose memory is not known.
pub const CONNECTIONS_MAX_DEFAULT: usize = 50_000;
/// Memory of a machine for each connection that it may hold by default. A WebSocket over TLS takes
/// about 12 KiB of it, with the kernel's part (docs/PERFORMANCE.md).
pub const CONNECTION_BYTES: u64 = 24 * 1024;
/// Connections that may wait to be accepted. Linux uses the lower of this and `net.core.somaxconn`
/// (4,096 by default), and drops the SYNs of further clients.
pub const LISTEN_QUEUE_MAX: u32 = 65_535;
/// Connections accepted in one turn of the accepting task, some 15 us each. Then the other tasks of
/// its thread have theirs.
pub const ACCEPTED_AT_ONCE_MAX: usize = 32;
/// Bytes of a message on a WebSocket. The longest ids fit with every character escaped.
pub const WS_MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Bytes that wait for the client of one WebSocket. Pongs beyond it are left out, as RFC 6455
/// (5.5.3) allows; an answer always fits. tungstenite has no bound by default. A client that pings
/// and never reads would then grow the node by its line rate.
pub const WS_WRITE_BUFFER_BYTES_MAX: usize = 4 * 1024;
/// Bytes of an error's text on a WebSocket. An error that repeats the client's input may be several
/// times as long.
pub const WS_DETAIL_BYTES_MAX: usize = 512;
/// Invalid messages in a row that a WebSocket may send before it is closed.
pub const WS_BAD_MESSAGES_MAX: usize = 10;
/// Bytes of a channel that a client of the drop-in API's WebSocket subscribes to. The node sends it
/// back, in the worst case with every character escaped.
pub const WS_CHANNEL_BYTES_MAX: usize = 256;
/// Stages whose answers a WebSocket may wait for at once. Beyond it the node reads no more from the
/// socket until one answer is sent.
pub const WS_PENDING_REPLIES_MAX: usize = 16;
/// Heartbeats and leaves of a WebSocket that may wait for the log at once. Beyond it the node reads
/// no more from the socket until the log has accepted them. A player has at most one per stage.
pub const WS_PENDING_EVENTS_MAX: usize = 64;
/// Time between two messages of a stage to a subscriber. People can follow that rate, and it bounds
/// the cost of a stage with any audience.
pub const LIVE_EVERY_MS_MIN: u64 = 1_000;
/// Largest time between two messages of a stage, whatever the number of its subscribers or their
/// own wish. It is below the 15 s after which a silent stream has a comment.
pub const LIVE_EVERY_MS_MAX: u64 = 10_000;
/// Messages per second of a stage's count to all of its subscribers together, by default. Each of
/// 2,000 subscribers gets one per second, each of 10,000 one in 5 s.
pub const LIVE_EVENTS_PER_SECOND: u64 = 2_000;
/// Bytes of messages sent to a subscriber at once. The node continues when the client has read
/// these.
pub const LIVE_WRITE_BYTES: usize = 64 * 1024;
/// Time for which messages without subscribers are kept. A client that was cut off reconnects by
/// then, or gets all messages again.
pub const LIVE_FORGET_MS: u64 = 60_000;
/// Stages that one subscription may name. A client that needs more subscribes to all stages.
pub const SUBSCRIPTION_STAGES_MAX: usize = 100;
/// Stages without viewers that subscribers of one node may follow, because subscribers may name
/// any. The node checks each ten times a second and uses some 700 bytes for it. Stages with viewers
/// don't count.
pub const LIVE_EMPTY_STAGES_MAX: usize = 10_000;
/// Events (beats and leaves) that a session may log at once. Then `limits.session_beats` more are
/// allowed per second. Players that reload, or whose timers fire together after a sleep, stay
/// below.
pub const SESSION_BURST: u32 = 10;
/// Leaves that a session may log beyond its burst, so that a session that beats without end can
/// still leave. The browser library sends a leave at most twice. It sends the second one if a
/// heartbeat was under way.
pub const SESSION_LEAVES_SPARE: u32 = 2;
/// Maximum of `limits.session_beats`. A session that needs more needs no limit (0).
pub const SESSION_BEATS_MAX: u32 = 100;
/// Maximum age of a session's last logged beat at which a beat beyond its limit is answered from
/// memory. At one event per second, the lowest limit, the next beat is logged by then.
pub const COALESCE_MS_MAX: u64 = 1_000;
/// Sessions whose rate a node tracks, eight bytes each: twenty times the number of its connections.
/// Beyond it the node evicts those with the fullest buckets.
pub const RATE_LIMITED_SESSIONS_MAX: usize = 1 << 20;
/// Sessions of one viewer that a node keeps, on all stages. So no client can fill its memory under
/// one name. Online sessions are kept, and others for some minutes.
pub const VIEWER_SESSIONS_KEPT_MAX: usize = 1_000;
/// Sessions of one viewer that the fold walks through one by one. A viewer with more gets an index
/// over them, 100 bytes each. No call then holds the fold's lock for longer than for a few
/// sessions. The limit is more than people have tabs and devices on all stages.
pub const VIEWER_SEATS_WALKED_MAX: usize = 8;
/// Online seats of a stage in one run of its sorted list. A run is 4 KiB, which one insertion moves
/// in at most 100 ns.
pub const ONLINE_RUN_MAX: usize = 512;
/// Stages copied for a list under one hold of the fold's lock, in at most 50 us.
pub const STAGES_PER_HOLD_MAX: usize = 128;
/// Online viewers copied for a page under one hold of the fold's lock, in at most 50 us, measured
/// at a million viewers.
pub const VIEWERS_PER_HOLD_MAX: usize = 64;
/// Seats read under one hold of the fold's lock, for any purpose. Each read of a seat counts. Most
/// are in the cache, so it takes at most 100 us. Asserted in builds for tests.
pub const SEATS_PER_HOLD_MAX: usize = 16_384;
/// Seats that expire, or whose leave takes effect, under one hold of the fold's lock (50 us or
/// less).
pub const SEATS_AGED_PER_HOLD_MAX: usize = 128;
/// Seats whose events are rewritten to a log that lost them, under one hold of the fold's lock.
/// Each seat is read some 14 times.
pub const SEATS_REBUILT_PER_HOLD_MAX: usize = 512;
/// Places of seats that a walk for the ledger visits under one hold of the fold's lock. Most cost 5
/// ns, those of viewers who came or left 500 ns.
pub const PLACES_PER_HOLD_MAX: usize = 1_024;
/// Polls of a Redis log after which a node fetches the last record again, to check that it is
/// there. That is every 50 s at the default `poll`.
pub const POLLS_UNCHECKED_MAX: u32 = 1_000;
/// Client addresses whose requests are counted, eight bytes each. Beyond it the node evicts those
/// that sent least.
pub const ADDRESSES_MAX: usize = 1 << 17;
/// Time limit for a TLS handshake, the wait for its turn included.
pub const TLS_HANDSHAKE_MS_MAX: u64 = 10_000;
/// TLS handshakes under way at once. Further ones wait for their turn.
pub const TLS_HANDSHAKES_MAX: usize = 256;
/// Longest TLS record that a client may send, and longest message of its handshake (RFC 8446, 5.2).
pub const TLS_RECORD_BYTES_MAX: usize = 5 + 16_384 + 256;
/// Bytes of data in a full packet: 1,500 of Ethernet without the 52 of IPv4, TCP and timestamps.
pub const SEGMENT_BYTES: usize = 1_448;
/// Shortest secret of TLS session tickets, in bytes: as many as the keys have that follow from it.
pub const TLS_TICKET_KEY_BYTES_MIN: usize = 32;
/// Open requests on a connection that uses HTTP/2. Browsers open few. Each takes some kilobytes.
pub const H2_STREAMS_MAX: u32 = 64;
/// Time for which a stopping node may continue to serve. Load balancers check it every few seconds.
pub const DRAIN_MS_MAX: u64 = 60_000;
/// Threads that serve connections, which is more than the cores of any machine.
pub const WORKERS_MAX: usize = 256;

/// Bytes of a viewer's token. Claims of the longest ids and an RSA signature of 8,192 bits fit, and
/// several tokens fit a request's headers.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;
/// Time by which a token's times may be ahead: ten years. A later time was written in milliseconds,
/// or means "no end".
pub const TOKEN_AHEAD_MS_MAX: u64 = 3_652 * 24 * 60 * 60 * 1000 + 12 * 60 * 60 * 1000;
/// Players whose tokens a node remembers as verified, sixteen bytes each. Above three quarters of
/// this number, one in a hundred of their tokens is verified again, which costs some microseconds.
/// The same number applies to viewers who have shown a token, if tokens are optional.
pub const VERIFIED_TOKENS_MAX: usize = 1 << 20;
/// Time between two lines in the process's log about calls that are refused for lack of operator
/// keys. Any page can make such calls.
pub const REFUSAL_LINE_MS_MIN: u64 = 60_000;
/// Keys by which viewers' tokens are verified. Issuers have two or three.
pub const VIEWER_KEYS_MAX: usize = 64;
/// Operators' keys. Each request is compared with all of them.
pub const OPERATOR_KEYS_MAX: usize = 256;
/// Patterns of stages in an operator key. A customer's stages have a few prefixes in common.
pub const KEY_PATTERNS_MAX: usize = 32;
/// Stages with watch time in a call of a key that is limited to a customer. For each, the node
/// reads the versions of its configuration.
pub const KEY_STAGES_MAX: usize = 10_000;
/// Bytes of the secret that signs share links, at least: as many as its HMAC has.
pub const SHARE_SECRET_BYTES_MIN: usize = 32;
/// Time for which a share link works, at most. A quarter's report can be looked at for its quarter.
pub const SHARE_MS_MAX: u64 = 90 * 24 * 60 * 60 * 1000;
/// Bytes of a file of keys, or of an answer of a JWKS URL.
pub const KEYS_BYTES_MAX: usize = 256 * 1024;
/// Time between two fetches of a JWKS URL because of a token with an unknown key. A client that
/// makes such tokens can't cause more fetches.
pub const JWKS_REFRESH_MS_MIN: u64 = 30_000;
/// Time limit for an answer of a JWKS URL, for which requests wait.
pub const JWKS_WAIT_MS_MAX: u64 = 4_000;
/// Time between two checks of the files of keys.
pub const KEYS_LOOK_MS: u64 = 1_000;
/// Time for which a WebSocket or a stream of counts may outlive its token or key.
pub const OUTLIVE_MS_MAX: u64 = 2_000;

/// Events of one log record. A larger batch is several records.
pub const RECORD_EVENTS_MAX: usize = 2_048;
/// Events of a record that its appending worker encodes and folds itself. That takes at most 0.7
/// ms, if all of them are of new viewers. A larger record is encoded and folded beside the worker.
pub const FOLD_INLINE_EVENTS_MAX: usize = 256;
/// Bytes of one log record. That many events with ids of any length fit, and a record is still one
/// network write.
pub const RECORD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Records that one read of a partition returns at most. Full ones with usual ids are then 8 MB,
/// which Redis copies well within the time limit of a call.
pub const READ_RECORDS_MAX: usize = 64;
/// Partitions of a log. Only Redis Cluster benefits from more than one.
pub const PARTITIONS_MAX: u16 = 256;
/// Events that a node holds while they wait for the log: some ten minutes of 100,000 viewers at 30
/// s.
pub const WAITING_EVENTS_MAX: usize = 2_000_000;
/// Time by which an event may be ahead of its record's position. The log's clock may step back,
/// after a failover to a machine that runs behind or when it is set. Nodes then continue, ahead by
/// that step. An event further ahead comes from a broken clock, and gets the position as its time.
pub const CLOCK_AHEAD_MS_MAX: u64 = 15 * 60 * 1000;
/// Time for which a request waits for the log to accept its beat. Then the client must retry.
pub const ACK_TIMEOUT_MS: u64 = 5_000;
/// Time for which a worker sleeps at once, whatever arrives, while batches linger. Any other task
/// of the worker waits as long. Longer sleeps saved no more (docs/decisions/0008).
pub const WAKE_COALESCE_MS_MAX: u64 = 2;
/// Time without an answer from the log after which a count is incomplete.
pub const LOG_STALE_MS: u64 = 2_000;
/// Longest time between two writes by which a node without players detects that the log refuses
/// writes. With a tenth of jitter and the time limit of a call, it detects this within 5 s.
pub const TEND_EVERY_MS_MAX: u64 = 3_000;
/// Age beyond which a snapshot is not used as a bridge, because its audience has left.
pub const BRIDGE_AGE_MS_MAX: u64 = 60 * 60 * 1000;
/// Time for which a stage without sessions keeps its peak in memory.
pub const STAGE_IDLE_MS: u64 = 60 * 60 * 1000;

/// Time for which the numbers that a writer of a DynamoDB log gives to sessions are valid. Each new
/// epoch writes eight bytes per session again, and a node that starts to read must go back to its
/// start.
pub const EPOCH_MS_MAX: u64 = 60 * 60 * 1000;
/// Sessions that have a number in one epoch. Beyond it the next epoch begins.
pub const EPOCH_SESSIONS_MAX: usize = 1 << 18;
/// Epochs whose numbers a reader of a DynamoDB log keeps: one per writer, and a writer per node and
/// start. It evicts the least recently used ones, and reads them again if they are needed.
pub const EPOCHS_MAX: usize = 64;
/// Longest time between two items of a writer of a DynamoDB log. Reads are one and a half times as
/// far apart, and they are the answers from the log that keep counts complete.
pub const FLUSH_MS_MAX: u64 = 1_000;

/// Time for which the log keeps data that is not in the ledger yet, while the cold tier is
/// unavailable. Nodes still have it in memory after that, and write it when they can. It is lost
/// only if all of them stop as well.
pub const UNCOMMITTED_RETENTION_MS_MAX: u64 = 6 * 60 * 60 * 1000;
/// Longest window of the ledger, well below the time for which the log keeps uncommitted data.
pub const WINDOW_MS_MAX: u64 = 60 * 60 * 1000;
/// Rows of watch time that one pass over the ledger holds in memory.
pub const EXPORT_ROWS_MAX: usize = 1_000_000;
/// Watch spans that one call of the drop-in API holds while it adds them up: 24 bytes each, and
/// some 100 per viewer.
pub const VIEWS_HELD_MAX: usize = 500_000;
/// Days that one call of the drop-in API may go back: ten years.
pub const DROP_IN_DAYS_MAX: u64 = 3_652;
/// Viewers of one report: some 250 bytes each while it is made.
pub const REPORT_VIEWERS_MAX: usize = 1_000_000;
/// Distinct values of a label in one report: those of a stage, and as many of others.
pub const REPORT_VALUES_MAX: usize = 2_000;
/// Minutes of a broadcast for which a report has the retention: its first day.
pub const RETENTION_MINUTES_MAX: u64 = 1_440;
/// Broadcasts of one answer, each of which is a report.
pub const BROADCASTS_MAX: usize = 100;
/// Stages that `/metrics` may have a series of.
pub const METRICS_STAGES_MAX: usize = 1_000;
/// Stages that are sorted or filtered for one list.
pub const STAGES_SORTED_MAX: usize = 100_000;
/// Time for which a node keeps all stages' configurations for such lists.
pub const CONFIG_LIST_MS_MAX: u64 = 10_000;
/// Stages with a public count of their own. If there are more, the others show none.
pub const PUBLIC_COUNTS_MAX: usize = 100_000;
/// Time between two looks at the list of public counts. Each costs half a read unit of DynamoDB.
pub const PUBLIC_COUNTS_LOOK_MS: u64 = 10_000;
/// Sums, of a stage within a period, that one pass over the ledger for usage holds: 40 bytes each.
pub const USAGE_SUMS_MAX: usize = 250_000;
/// Steps of one history.
pub const HISTORY_STEPS_MAX: u64 = 10_000;
/// Steps of all stages of one page together.
pub const PAGE_STEPS_MAX: u64 = 100_000;
/// Steps of all stages that are compared with another source at once, 48 bytes each.
pub const RECONCILE_POINTS_MAX: u64 = 1_000_000;
/// Writers of a packed archive whose chunks may alternate, for its reader. There are two if a lease
/// was ever given twice, and each begins with a keyframe.
pub const ARCHIVE_WRITERS_MAX: usize = 4;
/// Bytes of an archive's chunks that are held at once while a viewer is removed from them. Each
/// chunk is then a keyframe, some sixty times as large as before. When the limit is reached the
/// chunks are written, and the next part is read from the start of its four hours.
pub const FORGET_HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Concurrent scans of the ledger. Further ones wait.
pub const SCANS_MAX: usize = 4;
/// Steps of reading the ledger (a chunk, or the proof since) that a node computes at once. They use
/// at most one core, so that the other cores serve players.
pub const LEDGER_STEPS_MAX: usize = 1;
/// Rows that one scan makes for the pages after the first: 16 pages of 1,000.
pub const SCAN_ROWS_MAX: usize = 16_384;
/// Rows that one scan makes for later pages if rows are long (with intervals, or with histories).
pub const SCAN_LONG_ROWS_MAX: usize = 4_096;
/// Bytes of rows kept for next pages, of viewers and of stages each. Beyond it the oldest are
/// dropped, and computed again if needed.
pub const SCAN_KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of the ledger's items that a node keeps for later reads: a day of 50,000 viewers, some
/// 1 KB per viewer.
pub const LEDGER_CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Time without use after which such an item is dropped. An open dashboard reads every 5 min.
pub const LEDGER_CACHE_IDLE_MS: u64 = 15 * 60_000;
/// Age at which such an item is read again, in case an operator has restored the table.
pub const LEDGER_CACHE_MS_MAX: u64 = 24 * 3_600_000;
/// Sets of rows kept for next pages, and lists whose first page was recently requested.
pub const SCAN_KEPT_SETS_MAX: usize = 1_024;
/// Time for which rows are kept for next pages. A later page computes its rows again.
pub const SCAN_KEPT_MS_MAX: u64 = 60_000;

/// Samples of consumption that are kept: one per minute for an hour, and the one before.
pub const COST_READINGS_MAX: usize = 61;
/// Minimum time for which a change by the cost guard stays. It is the period of its projection,
/// which would otherwise contain consumption from before the change.
pub const COST_GUARD_HOLD_MS: u64 = 60 * 60 * 1000;
/// Minimum period of a projection for the guard. In a shorter one, a node's work at its start would
/// count as its usual work.
pub const COST_GUARD_WARMUP_MS: u64 = 15 * 60 * 1000;
/// Factor by which the cost guard may take snapshots further apart. The default interval is then 15
/// min. After the loss of all hot data, counts are bridged from at most that long ago.
pub const SNAPSHOT_STRETCH_MAX: u64 = 3;
/// Number of flushes after which the cost guard may let a node put one item into a DynamoDB log.
/// With the longest flush, an event waits 2 s for its append and about one more until that has
/// settled. This leaves time for a second try within [`ACK_TIMEOUT_MS`].
pub const FLUSH_STRETCH_MAX: u64 = 2;

/// Bytes of a stage's display name, and of its customer.
pub const STAGE_NAME_BYTES_MAX: usize = 256;
/// Tags of a stage.
pub const STAGE_TAGS_MAX: usize = 50;
/// Bytes of a tag's key. This limit, the one of a tag's value and the number of tags are those of
/// AWS (resource tags: 50, 128 and 256).
pub const TAG_KEY_BYTES_MAX: usize = 128;
/// Bytes of a tag's value. See [`TAG_KEY_BYTES_MAX`].
pub const TAG_VALUE_BYTES_MAX: usize = 256;

/// Versions of a stage's configuration, one per change and never deleted. An export reads all of
/// them, at most 20 KB each. One change per day fits for nearly three years. Beyond it changes are
/// refused, and the last version is reserved for a deletion.
pub const STAGE_VERSIONS_MAX: u32 = 1_000;
/// Tries of a node's change of configuration while other nodes' changes or commits prevent it.
pub const CHANGE_TRIES_MAX: u32 = 8;
/// Time for which a change of configuration waits for earlier changes on the same node. Each is
/// four calls to the cold tier.
pub const CHANGE_WAIT_MS_MAX: u64 = 5_000;
/// Versions of configuration that an export holds at once. It reads a stage's versions again if it
/// needs them later.
pub const EXPORT_VERSIONS_HELD_MAX: usize = 10_000;

/// Bytes of one stored item, keys and names included. DynamoDB's limit is 400 KB (Service quotas,
/// 2026-10).
pub const ITEM_BYTES_MAX: usize = 380 * 1024;
/// Bytes of a sort key (Service quotas, 2026-10). The longest is a heartbeat's, in which each byte
/// of both ids may take three.
pub const SORT_KEY_BYTES_MAX: usize = 1024;
/// Days of stages that a writer of heartbeats as items remembers as listed. Beyond it the writer
/// drops them all, and lists each stage again with one more write.
pub const LISTED_DAYS_MAX: usize = 10_000;
/// Bytes of the packed part of a roster item, which leaves space for its keys.
pub const ROSTER_BYTES_MAX: usize = 256 * 1024;
/// Items of a chunk that are put at once: 3 MB. A commit of a million viewers has 45.
pub const CHUNK_PARTS_PUT_MAX: usize = 8;
/// Items of one BatchWriteItem (DynamoDB API reference, 2026-10).
pub const WRITE_BATCH_ITEMS: usize = 25;

// Bounds of libraries' buffers whose default has no bound, or one that is too high for many
// clients. Others keep a bounded default. That of rustls is 64 KiB to send, 16 KiB received and 256
// TLS sessions. That of h2 is 20 resets of requests not yet accepted, 1,024 of its own and 4 KiB of
// header table. It also has a budget of small DATA frames, and one PING and one SETTINGS at a time.
// OpenTelemetry has 2,048 spans waiting. SQLite has 2 MB of pages and 16 statements. The buffers of
// an HTTP/1 connection in hyper (400 KiB each by default) have `HEADER_BYTES_MAX`. Other channels
// hold one value.

/// Bytes of one answer that HTTP/2 holds until the client reads them (hyper: 400 KiB).
pub const H2_SEND_BUFFER_BYTES_MAX: usize = 16 * 1024;
/// Bytes of bodies that an HTTP/2 connection holds unread, on all its requests and on each (hyper:
/// 1 MiB each).
pub const H2_WINDOW_BYTES_MAX: u32 = 256 * 1024;
/// Commands under way on one connection to Redis (redis: no bound). There are one append and one
/// read per partition, and a few others.
pub const REDIS_COMMANDS_MAX: usize = 1_024;
/// Commands queued for a Redis connection's writer (redis: 50). Further ones wait for their turn.
pub const REDIS_PIPELINE_MAX: usize = 50;
/// Lines per minute of a node's own log that name an unreadable record. Another program may write
/// thousands per second into the log; all are counted.
pub const UNREADABLE_LINES_MAX: usize = 20;
/// Bytes of one answer of an AWS service (SDK: no bound). DynamoDB's answers have at most 16 MB
/// (Service quotas, 2026-10).
pub const AWS_ANSWER_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Idle connections that a client keeps to one host (hyper-util and the SDK: no bound). This is the
/// number of requests that `load` has open.
pub const IDLE_CONNECTIONS_MAX: usize = 512;
/// Rows of one row group of a Parquet file, which are held until it is written (parquet:
/// 1,048,576).
pub const PARQUET_GROUP_ROWS_MAX: usize = 100_000;
/// Orders that wait for the writer of a file log (std's channel: no bound). There are one
/// partition's append and a few others.
pub const FILE_LOG_ORDERS_MAX: usize = 128;
/// Concurrent reads of an embedded cold tier, each on a connection of its own with at most 2 MB of
/// pages. Further ones wait in order.
pub const COLD_READERS_MAX: usize = 4;
/// Expired rows that one step of the sweep deletes from an embedded cold tier. Other writes run
/// between two steps.
pub const SWEEP_ROWS_MAX: usize = 100;
/// Limit of a viewer's streams. No account is meant for more screens, and each join beyond one
/// stream reads all of the viewer's sessions.
pub const STREAMS_PER_VIEWER_MAX: usize = 100;
