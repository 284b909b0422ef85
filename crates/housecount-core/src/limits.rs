//! Every bound in the system, in one place, asserted against its neighbours.
//!
//! Hitting a bound is a counted outcome (reject, shed, stretch), never growth or a crash. Each
//! bound is hit by a test, most often one with the constant's name; `tests/it/tidy.rs` sees to it
//! that each is spoken of in one.

/// A stage id's bytes. IVS stage ARNs have about 70; other platforms use URLs.
pub const STAGE_ID_BYTES_MAX: usize = 256;
/// A viewer id's bytes.
pub const VIEWER_ID_BYTES_MAX: usize = 128;
/// A session id's bytes.
pub const SESSION_ID_BYTES_MAX: usize = 128;

/// The body of one heartbeat or leave. Three ids and their JSON fit many times over.
pub const BEAT_BODY_BYTES_MAX: usize = 64 * 1024;
/// The body of any other request.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How many times its size a gzip body may unpack to, beyond [`BEAT_BODY_BYTES_MAX`]. Heartbeats of
/// different viewers pack up to 35 times, and 10,000 copies of one 380 times (measured 2026-11).
/// Deflate packs zeros 1,032 times: that is made to be unpacked.
pub const GZIP_RATIO_MAX: usize = 400;
/// What is read of a body that no handler wants, so that its client reads the answer: as much as of
/// one that is wanted.
pub const UNREAD_BODY_BYTES_MAX: usize = BODY_BYTES_MAX;
/// How long that may take. The answer waits for it.
pub const UNREAD_BODY_MS_MAX: u64 = 2_000;
/// Heartbeats in one `/v1/heartbeats` call.
pub const BATCH_BEATS_MAX: usize = 10_000;
/// Heartbeats of such a call that are read, let in or put into a batch in one turn of a worker:
/// some 50 us. Then its other connections have their turn.
pub const BATCH_SLICE_BEATS_MAX: usize = 128;
/// Rows of one page of a list.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Rows of one page when the caller doesn't say.
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// Earliest moment that a query or a command may name: 2001-01-01T00:00:00Z. It is years before any
/// beat, and seconds sent in place of milliseconds are below it until the year 32970.
pub const MOMENT_MS_MIN: u64 = 978_307_200_000;
/// Bytes of an unknown query parameter's name that an error repeats. Known names have at most 9.
pub const QUERY_NAME_SHOWN_BYTES_MAX: usize = 64;
/// The request line and headers together.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// How long a client may take to send a request's headers once it has begun: slower ones hold a
/// connection for nothing.
pub const HEADER_READ_MS_MAX: u64 = 10_000;
/// How long a connection may lie idle between two requests. Longer than players' intervals, so that
/// each beat finds its connection open, and than the 60 s after which load balancers close theirs
/// (AWS ALB's default, 2026-10), so that they never send into a connection we close.
pub const REQUEST_WAIT_MS_MAX: u64 = 75_000;
/// How long a client may take to read on in an answer: who reads nothing holds a connection, and
/// what it asked for, for nothing.
pub const ANSWER_READ_MS_MAX: u64 = 30_000;
/// Bytes read of what a client sends while an endless answer is sent to it. Clients send nothing
/// then: it is read to see that they close.
pub const READ_AHEAD_BYTES_MAX: usize = 1_024;
/// How long a client may take to send a body.
pub const BODY_READ_MS_MAX: u64 = 10_000;
/// Connections a node holds open at once; further ones wait in the listen queue.
pub const CONNECTIONS_MAX: usize = 50_000;
/// Connections that may wait to be accepted. Linux takes the lower of this and `net.core.somaxconn`
/// (4,096 by default), and drops the SYNs of further clients.
pub const LISTEN_QUEUE_MAX: u32 = 65_535;
/// Connections accepted in one turn of the accepting task, some 15 us each. Then other tasks of its
/// thread have theirs.
pub const ACCEPTED_AT_ONCE_MAX: usize = 32;
/// Connections of one client address, unless `limits.address_connections` says another number: no
/// single address can fill a node.
pub const ADDRESS_CONNECTIONS_MAX: usize = CONNECTIONS_MAX / 2;
/// A message on a WebSocket: the longest ids with every character escaped still fit.
pub const WS_MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Bytes that wait for the client of one WebSocket. Pongs beyond it are left out, as RFC 6455
/// (5.5.3) allows; an answer always fits. tungstenite's default is no bound at all: a client that
/// pings and never reads then grows the node by its line rate.
pub const WS_WRITE_BUFFER_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a complaint's text on a WebSocket: one that repeats what was sent may be several times
/// as long.
pub const WS_DETAIL_BYTES_MAX: usize = 512;
/// Messages without sense that a WebSocket may send one after the other before it is closed.
pub const WS_BAD_MESSAGES_MAX: usize = 10;
/// A channel that a client of the drop-in API's WebSocket subscribes to: it is sent back, with
/// every character escaped at the worst.
pub const WS_CHANNEL_BYTES_MAX: usize = 256;
/// Stages whose answers a WebSocket may wait for at once; then nothing more is read from it until
/// one is sent.
pub const WS_PENDING_REPLIES_MAX: usize = 16;
/// Heartbeats and leaves of a WebSocket that may wait for the log at once; then nothing more is
/// read from it until the log has them. A player has one under way, and one a stage at most.
pub const WS_PENDING_EVENTS_MAX: usize = 64;
/// Between two messages of a stage to a subscriber: what people can follow, and what bounds what a
/// stage costs whatever its audience.
pub const LIVE_EVERY_MS_MIN: u64 = 1_000;
/// Bytes of messages that a subscriber is sent at once; it goes on when these have been read.
pub const LIVE_WRITE_BYTES: usize = 64 * 1024;
/// How long messages are kept of which nobody wants to hear: who was cut off comes back by then, or
/// is told all again.
pub const LIVE_FORGET_MS: u64 = 60_000;
/// Stages that one subscription names. Who wants more wants all.
pub const SUBSCRIPTION_STAGES_MAX: usize = 100;
/// Stages without viewers that subscribers of one node may follow: they may name any, and each is
/// looked at ten times a second and takes some 700 bytes. A stage with viewers may always be
/// followed.
pub const LIVE_EMPTY_STAGES_MAX: usize = 10_000;
/// Events (beats and leaves) that a session may log at once. Then `limits.session_beats` come back
/// a second: a player that reloads, or whose timers fire together after a sleep, stays below it.
pub const SESSION_BURST: u32 = 10;
/// Leaves that a session may log beyond its burst, so that a session that beats without end can
/// still leave. The browser library says a leave twice at most: once more when a heartbeat was
/// under way.
pub const SESSION_LEAVES_SPARE: u32 = 2;
/// The largest `limits.session_beats`. A session that needs more needs no limit (0).
pub const SESSION_BEATS_MAX: u32 = 100;
/// How old a session's last logged beat may be for a beat beyond its limit to be answered from
/// memory. At one event a second, the lowest limit, the next one is logged then.
pub const COALESCE_MS_MAX: u64 = 1_000;
/// Sessions whose pace a node keeps, eight bytes each: as many as it has connections for, twenty
/// times over. Of more, those with the fullest buckets are forgotten.
pub const RATE_LIMITED_SESSIONS_MAX: usize = 1 << 20;
/// Sessions of one viewer that a node keeps, on all stages, so that nobody fills its memory under
/// one name. Kept is what is online, and for some minutes what was.
pub const VIEWER_SESSIONS_KEPT_MAX: usize = 1_000;
/// Sessions of one viewer that the fold walks through one by one. A viewer with more gets an index
/// over them, 100 bytes each, so that no call holds the fold's lock for longer than for a few. More
/// than people have tabs and devices on all stages.
pub const VIEWER_SEATS_WALKED_MAX: usize = 8;
/// Online seats of a stage in one run of its sorted list: 4 KiB, which one insertion moves in 100
/// ns at most.
pub const ONLINE_RUN_MAX: usize = 512;
/// Stages copied for a list under one hold of the fold's lock: 50 us or less.
pub const STAGES_PER_HOLD_MAX: usize = 128;
/// Online viewers copied for a page under one hold of the fold's lock: 50 us or less, measured at a
/// million viewers.
pub const VIEWERS_PER_HOLD_MAX: usize = 64;
/// Seats looked at under one hold of the fold's lock, whatever for; a seat is counted each time.
/// Most are in the cache: 100 us or less. Asserted in builds for tests.
pub const SEATS_PER_HOLD_MAX: usize = 16_384;
/// Seats whose time has come, or whose leave takes effect, under one hold of the fold's lock: 50 us
/// or less.
pub const SEATS_AGED_PER_HOLD_MAX: usize = 128;
/// Seats whose events are told again to a log that lost them, under one hold of the fold's lock:
/// each is looked at some 14 times.
pub const SEATS_REBUILT_PER_HOLD_MAX: usize = 512;
/// Places of seats that a walk for the ledger goes through under one hold of the fold's lock: most
/// cost 5 ns, those of viewers who came or went 500 ns.
pub const PLACES_PER_HOLD_MAX: usize = 1_024;
/// Polls of a Redis log after which the last record is fetched again, to see that it is there:
/// every 50 s at the default `poll`.
pub const POLLS_UNCHECKED_MAX: u32 = 1_000;
/// Client addresses whose requests are counted, in eight bytes each. With more, those that sent
/// least are forgotten.
pub const ADDRESSES_MAX: usize = 1 << 17;
/// How long a TLS handshake may take, the wait for its turn included.
pub const TLS_HANDSHAKE_MS_MAX: u64 = 10_000;
/// TLS handshakes under way at once; further ones wait for their turn.
pub const TLS_HANDSHAKES_MAX: usize = 256;
/// Requests open at once on a connection that speaks HTTP/2: browsers ask for a few, and each takes
/// some kilobytes.
pub const H2_STREAMS_MAX: u32 = 64;
/// How long a node that is to stop may serve on: load balancers look every few seconds.
pub const DRAIN_MS_MAX: u64 = 60_000;
/// Threads that serve connections: more than any machine has cores for.
pub const WORKERS_MAX: usize = 256;

/// A viewer's token: claims of the longest ids and an RSA signature of 8,192 bits fit, and it fits
/// a request's headers several times over.
pub const TOKEN_BYTES_MAX: usize = 4 * 1024;
/// How far ahead a token's times may be: ten years. What is further was written in milliseconds, or
/// is meant never to end.
pub const TOKEN_AHEAD_MS_MAX: u64 = 3_652 * 24 * 60 * 60 * 1000 + 12 * 60 * 60 * 1000;
/// Players of whom a node remembers that their tokens were verified, sixteen bytes each. With more
/// than three quarters as many one in a hundred of their tokens is verified again, which costs some
/// microseconds. As many again are viewers who have shown a token, where tokens are optional.
pub const VERIFIED_TOKENS_MAX: usize = 1 << 20;
/// Between two lines in the process's log about calls that are refused for want of operator keys:
/// any page can make them.
pub const REFUSAL_LINE_MS_MIN: u64 = 60_000;
/// Keys by which viewers' tokens are verified: issuers have two or three.
pub const VIEWER_KEYS_MAX: usize = 64;
/// Operators' keys: each request is compared with all of them.
pub const OPERATOR_KEYS_MAX: usize = 256;
/// A file of keys, and an answer of a JWKS URL.
pub const KEYS_BYTES_MAX: usize = 256 * 1024;
/// Between two fetches of a JWKS URL, if a token names a key that isn't known: whoever makes such
/// tokens can't make us ask more often.
pub const JWKS_REFRESH_MS_MIN: u64 = 30_000;
/// How long a JWKS URL may take to answer: requests wait for it.
pub const JWKS_WAIT_MS_MAX: u64 = 4_000;
/// Time between two looks at the files of keys.
pub const KEYS_LOOK_MS: u64 = 1_000;
/// How long a WebSocket or a stream of counts may outlive its token or key.
pub const OUTLIVE_MS_MAX: u64 = 2_000;

/// Events of one log record; a fuller batch is several records.
pub const RECORD_EVENTS_MAX: usize = 2_048;
/// Events of a record that are encoded and folded on the worker that appends it: at most 0.7 ms, if
/// all of them are of new viewers. A larger record is encoded and folded beside the worker.
pub const FOLD_INLINE_EVENTS_MAX: usize = 256;
/// Bytes of one log record: the events above with ids of every length, and still one network write.
pub const RECORD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Records that one read of a partition returns at most: full ones of usual ids are then 8 MB,
/// which Redis copies well within the time that a call may take.
pub const READ_RECORDS_MAX: usize = 64;
/// Partitions of a log. More than one is of use on Redis Cluster only.
pub const PARTITIONS_MAX: u16 = 256;
/// Events a node holds while they wait for the log: about ten minutes of 100,000 viewers at 30 s.
pub const WAITING_EVENTS_MAX: usize = 2_000_000;
/// How far beyond its record's position an event's time may lie: nodes go on when the log's clock
/// steps back (a failover to a machine that runs behind, a clock that is set), and so are ahead of
/// it by as much. Anything beyond this is a broken clock, and is taken as the position.
pub const CLOCK_AHEAD_MS_MAX: u64 = 15 * 60 * 1000;
/// How long a request waits for the log to take its beat before it is told to come back.
pub const ACK_TIMEOUT_MS: u64 = 5_000;
/// How long a worker sleeps at once, whatever comes, while batches linger: whoever asks it for
/// something else waits as long. Longer sleeps saved no more (docs/ARCHITECTURE.md).
pub const WAKE_COALESCE_MS_MAX: u64 = 2;
/// Without word from the log for this long, a count is no longer called complete.
pub const LOG_STALE_MS: u64 = 2_000;
/// Longest time between two writes by which a node without players learns that the log refuses
/// them: with a tenth of jitter and the time that a call may take, it knows within 5 s.
pub const TEND_EVERY_MS_MAX: u64 = 3_000;
/// A snapshot older than this is no bridge: its audience has gone home.
pub const BRIDGE_AGE_MS_MAX: u64 = 60 * 60 * 1000;
/// How long a stage without sessions keeps its peak in memory.
pub const STAGE_IDLE_MS: u64 = 60 * 60 * 1000;

/// How long the numbers that a writer of a DynamoDB log gives to sessions hold. Each new beginning
/// tells eight bytes a session again; whoever starts to read has to go back so far.
pub const EPOCH_MS_MAX: u64 = 60 * 60 * 1000;
/// Sessions that have a number in one epoch; then the next one begins.
pub const EPOCH_SESSIONS_MAX: usize = 1 << 18;
/// Epochs of which a reader of a DynamoDB log keeps the numbers: one a writer, and a writer a node
/// and start. Those that were not needed for longest are read again if they are.
pub const EPOCHS_MAX: usize = 64;
/// The longest time between two items of a writer of a DynamoDB log: reads come one and a half
/// times as far apart, and are word from the log.
pub const FLUSH_MS_MAX: u64 = 1_000;

/// How long the log keeps what the ledger doesn't have yet, while the cold tier is away. Nodes
/// still know it after that, and write it when they can; only if all of them stop as well is it
/// lost.
pub const UNCOMMITTED_RETENTION_MS_MAX: u64 = 6 * 60 * 60 * 1000;
/// The longest window of the ledger: well below what the log keeps of what isn't committed.
pub const WINDOW_MS_MAX: u64 = 60 * 60 * 1000;
/// Rows of watch time that one pass over the ledger holds in memory.
pub const EXPORT_ROWS_MAX: usize = 1_000_000;
/// Watch spans that one call of the drop-in API holds while it adds them up: 24 bytes each, and
/// some 100 a viewer.
pub const VIEWS_HELD_MAX: usize = 500_000;
/// Days that one call of the drop-in API may look back: ten years.
pub const DROP_IN_DAYS_MAX: u64 = 3_652;
/// Steps of one history.
pub const HISTORY_STEPS_MAX: u64 = 10_000;
/// Steps of all stages of one page together.
pub const PAGE_STEPS_MAX: u64 = 100_000;
/// Steps of all stages that are compared with another source at once: 48 bytes each.
pub const RECONCILE_POINTS_MAX: u64 = 1_000_000;
/// Writers of a packed archive whose chunks may lie between each other's, for its reader. Two, if a
/// lease was ever given twice; each begins with a keyframe.
pub const ARCHIVE_WRITERS_MAX: usize = 4;
/// Bytes of an archive's chunks that are held at once while somebody is taken out of them. Each is
/// a keyframe then, some sixty times as large as before; what is held is written, and the next part
/// is read from the beginning of its four hours.
pub const FORGET_HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Scans of the ledger at once; further ones wait.
pub const SCANS_MAX: usize = 4;
/// Steps of reading the ledger (a chunk, or what is proven since) computed at once on a node. One
/// core at most, so that players have the others.
pub const LEDGER_STEPS_MAX: usize = 1;
/// Rows that one scan makes for the pages after the first: 16 pages of 1,000.
pub const SCAN_ROWS_MAX: usize = 16_384;
/// The same where rows are long: with intervals, or with a history of each.
pub const SCAN_LONG_ROWS_MAX: usize = 4_096;
/// Bytes of rows kept for next pages, of viewers and of stages each. With more, the oldest go and
/// are made again if needed.
pub const SCAN_KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Sets of rows kept for next pages, and lists whose first page was asked for lately.
pub const SCAN_KEPT_SETS_MAX: usize = 1_024;
/// How long rows are kept for next pages. A later page makes its rows again.
pub const SCAN_KEPT_MS_MAX: u64 = 60_000;

/// Readings of what was consumed that are kept: one a minute for an hour, and the one before.
pub const COST_READINGS_MAX: usize = 61;
/// How long a change that the cost guard makes stays at least: as long as what it projects from, or
/// it would judge by what was before.
pub const COST_GUARD_HOLD_MS: u64 = 60 * 60 * 1000;
/// The guard doesn't judge by less than this: what a node does at its start would be taken for what
/// it always does.
pub const COST_GUARD_WARMUP_MS: u64 = 15 * 60 * 1000;
/// How many times as far apart the cost guard may take snapshots. By default 15 min then, so that
/// after the loss of everything hot counts are bridged from at most that long ago.
pub const SNAPSHOT_STRETCH_MAX: u64 = 3;
/// How many flushes apart the cost guard may let a node's items in a DynamoDB log be. With the
/// longest flush, what is said waits 2 s for its append and about one more until that has settled:
/// there is time to put it again within [`ACK_TIMEOUT_MS`].
pub const FLUSH_STRETCH_MAX: u64 = 2;

/// A stage's display name, and its customer, in bytes.
pub const STAGE_NAME_BYTES_MAX: usize = 256;
/// Tags of a stage.
pub const STAGE_TAGS_MAX: usize = 50;
/// Bytes of a tag's key, and of its value. Both as AWS has them (resource tags: 50, 128 and 256).
pub const TAG_KEY_BYTES_MAX: usize = 128;
/// See [`TAG_KEY_BYTES_MAX`].
pub const TAG_VALUE_BYTES_MAX: usize = 256;

/// Versions of a stage's configuration, one per change and kept for good: an export reads all of
/// them, 20 KB each at the most. A change a day fits for nearly three years. Beyond it changes are
/// refused; the last version is for a deletion.
pub const STAGE_VERSIONS_MAX: u32 = 1_000;
/// How often a node tries a change of configuration that another node's change or commit forestalls
/// each time.
pub const CHANGE_TRIES_MAX: u32 = 8;
/// How long a change of configuration waits for the changes before it on the same node: each is
/// four calls to the cold tier.
pub const CHANGE_WAIT_MS_MAX: u64 = 5_000;
/// Versions of configuration that an export holds at once; it reads a stage's again if it needs
/// them later.
pub const EXPORT_VERSIONS_HELD_MAX: usize = 10_000;

/// Bytes of one stored item, keys and names included. DynamoDB's limit is 400 KB (Service quotas,
/// 2026-10).
pub const ITEM_BYTES_MAX: usize = 380 * 1024;
/// Bytes of a sort key (Service quotas, 2026-10). The longest is a heartbeat's, where each byte of
/// both ids may take three.
pub const SORT_KEY_BYTES_MAX: usize = 1024;
/// Days of stages that a writer of heartbeats as items remembers as listed. With more it forgets
/// them all, and lists a stage once more for one more write.
pub const LISTED_DAYS_MAX: usize = 10_000;
/// Bytes of the packed part of a roster item, which leaves room for its keys.
pub const ROSTER_BYTES_MAX: usize = 256 * 1024;
/// Items of a chunk that are put at once: 3 MB. A commit of a million viewers has 45.
pub const CHUNK_PARTS_PUT_MAX: usize = 8;
/// Items of one BatchWriteItem (DynamoDB API reference, 2026-10).
pub const WRITE_BATCH_ITEMS: usize = 25;

// Buffers of libraries whose default has no bound, or a bound that is too high for many clients.
// What is not here keeps a default that is bounded: rustls (64 KiB to send, 16 KiB received, 256
// TLS sessions), h2 (20 resets of requests not yet accepted, 1,024 of its own, 4 KiB of header
// table, a budget of small DATA frames, one PING and one SETTINGS at a time), OpenTelemetry (2,048
// spans waiting), SQLite (2 MB of pages, 16 statements).  hyper's buffers of an HTTP/1 connection
// (400 KiB each by default) have `HEADER_BYTES_MAX`. Other channels hold one value.

/// Bytes of one answer that HTTP/2 holds until the client takes them (hyper: 400 KiB).
pub const H2_SEND_BUFFER_BYTES_MAX: usize = 16 * 1024;
/// Bytes of bodies that an HTTP/2 connection holds unread, on all its requests and on each (hyper:
/// 1 MiB each).
pub const H2_WINDOW_BYTES_MAX: u32 = 256 * 1024;
/// Commands under way on one connection to Redis (redis: no bound). One append and one read a
/// partition, and a few beside them.
pub const REDIS_COMMANDS_MAX: usize = 1_024;
/// Commands in front of a Redis connection's writer (redis: 50). Further ones wait for their turn.
pub const REDIS_PIPELINE_MAX: usize = 50;
/// Lines of a node's own log a minute that name a record which can't be read. Another program may
/// write thousands a second into the log; all are counted.
pub const UNREADABLE_LINES_MAX: usize = 20;
/// Bytes of one answer of an AWS service (SDK: no bound). DynamoDB's answers have 16 MB at most
/// (Service quotas, 2026-10).
pub const AWS_ANSWER_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Idle connections that a client keeps to one host (hyper-util and the SDK: no bound): as many as
/// `load` has requests open.
pub const IDLE_CONNECTIONS_MAX: usize = 512;
/// Rows of one row group of a Parquet file, which are held until it is written (parquet:
/// 1,048,576).
pub const PARQUET_GROUP_ROWS_MAX: usize = 100_000;
/// Orders that wait for the writer of a file log (std's channel: no bound). One partition's append,
/// and a few beside it.
pub const FILE_LOG_ORDERS_MAX: usize = 128;
/// Reads of an embedded cold tier at once, each on a connection of its own with 2 MB of pages at
/// most. Further ones wait in order.
pub const COLD_READERS_MAX: usize = 4;
/// Expired rows that one step of the sweep deletes from an embedded cold tier. Other writes come in
/// between two steps.
pub const SWEEP_ROWS_MAX: usize = 100;

const _: () = {
    // A record always holds at least one event of the longest ids, and a full one fits its bytes or
    // is split.
    assert!(
        STAGE_ID_BYTES_MAX + VIEWER_ID_BYTES_MAX + SESSION_ID_BYTES_MAX + 64 < RECORD_BYTES_MAX
    );
    // A batch call's body limit is what bounds it, with ids of a usual length.
    assert!(BATCH_BEATS_MAX * 100 <= BODY_BYTES_MAX);
    assert!(
        6 * (STAGE_ID_BYTES_MAX + VIEWER_ID_BYTES_MAX + SESSION_ID_BYTES_MAX) + 64
            < WS_MESSAGE_BYTES_MAX
    );
    // The longest answer or complaint with every character escaped, and a pong and a close behind
    // it.
    assert!(2 * (STAGE_ID_BYTES_MAX + WS_DETAIL_BYTES_MAX) + 1024 < WS_WRITE_BUFFER_BYTES_MAX);
    assert!(6 * WS_CHANNEL_BYTES_MAX + 128 < WS_WRITE_BUFFER_BYTES_MAX / 2);
    // A session that beats without end always has a logged beat that is young enough, until time
    // stands still.
    assert!(
        COALESCE_MS_MAX >= 1_000
            && COALESCE_MS_MAX < LOG_STALE_MS
            && SESSION_LEAVES_SPARE < SESSION_BURST
    );
    // Less than a command holds, since several calls may be answered at once.
    assert!(SCANS_MAX * VIEWS_HELD_MAX <= 2 * EXPORT_ROWS_MAX);
    assert!(2 * ADDRESS_CONNECTIONS_MAX <= CONNECTIONS_MAX);
    // Seen with the next look, and a second to tell all that are open.
    assert!(KEYS_LOOK_MS < OUTLIVE_MS_MAX && OUTLIVE_MS_MAX < ANSWER_READ_MS_MAX);
    assert!(
        H2_SEND_BUFFER_BYTES_MAX <= H2_WINDOW_BYTES_MAX as usize && HEADER_BYTES_MAX >= 8 * 1024
    );
    assert!(
        3 * PARTITIONS_MAX as usize <= REDIS_COMMANDS_MAX
            && REDIS_PIPELINE_MAX <= REDIS_COMMANDS_MAX
    );
    assert!(
        WRITE_BATCH_ITEMS * ITEM_BYTES_MAX < AWS_ANSWER_BYTES_MAX
            && PARQUET_GROUP_ROWS_MAX <= EXPORT_ROWS_MAX
    );
    assert!(BEAT_BODY_BYTES_MAX <= BODY_BYTES_MAX);
    assert!(UNREAD_BODY_MS_MAX < BODY_READ_MS_MAX && GZIP_RATIO_MAX < 1_032);
    assert!(2 * TOKEN_BYTES_MAX <= HEADER_BYTES_MAX && JWKS_WAIT_MS_MAX < JWKS_REFRESH_MS_MIN);
    // Milliseconds taken for seconds are refused, and so is nothing that an issuer means.
    assert!(
        TOKEN_AHEAD_MS_MAX / 1_000 < 1_000_000_000_000
            && TOKEN_AHEAD_MS_MAX > 365 * 24 * 60 * 60 * 1000
    );
    assert!(JWKS_REFRESH_MS_MIN < REFUSAL_LINE_MS_MIN);
    assert!(4 * WINDOW_MS_MAX < UNCOMMITTED_RETENTION_MS_MAX);
    assert!(FLUSH_MS_MAX * 3 / 2 < LOG_STALE_MS);
    assert!(TEND_EVERY_MS_MAX * 11 / 10 + TEND_EVERY_MS_MAX / 6 + 1_000 < 5_000);
    assert!(
        (FLUSH_STRETCH_MAX + 2) * FLUSH_MS_MAX < ACK_TIMEOUT_MS
            && FLUSH_STRETCH_MAX <= SNAPSHOT_STRETCH_MAX
    );
    // An index goes when half of those are left, so that one session alone never has one.
    assert!(2 <= VIEWER_SEATS_WALKED_MAX && VIEWER_SEATS_WALKED_MAX < VIEWER_SESSIONS_KEPT_MAX);
    assert!(PAGE_ROWS_DEFAULT <= PAGE_ROWS_MAX);
    // Eight digits are always below it: `20261101` is never taken as milliseconds.
    assert!(MOMENT_MS_MIN > 99_999_999);
    assert!(PAGE_STEPS_MAX >= PAGE_ROWS_MAX as u64);
    assert!(LIVE_EVERY_MS_MIN < LIVE_FORGET_MS && SUBSCRIPTION_STAGES_MAX <= LIVE_EMPTY_STAGES_MAX);
    assert!(ROSTER_BYTES_MAX + 1024 < ITEM_BYTES_MAX);
    assert!(ITEM_BYTES_MAX < 400 * 1000);
    // `HEARTBEAT#`, 13 digits and two `#`, around both ids.
    assert!(10 + 13 + 2 + 3 * (VIEWER_ID_BYTES_MAX + SESSION_ID_BYTES_MAX) <= SORT_KEY_BYTES_MAX);
    assert!(14 + STAGE_ID_BYTES_MAX <= SORT_KEY_BYTES_MAX);
    // Four digits of a version's sort key.
    assert!(STAGE_VERSIONS_MAX <= 9_999 && CHANGE_WAIT_MS_MAX <= BODY_READ_MS_MAX);
    assert!(STAGE_VERSIONS_MAX as usize <= EXPORT_VERSIONS_HELD_MAX);
    // A stage's configuration always fits one item.
    assert!(
        STAGE_TAGS_MAX * (TAG_KEY_BYTES_MAX + TAG_VALUE_BYTES_MAX)
            + 2 * STAGE_NAME_BYTES_MAX
            + STAGE_ID_BYTES_MAX
            < ITEM_BYTES_MAX
    );
};
