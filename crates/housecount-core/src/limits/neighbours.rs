//! Relations between limits, checked at compile time.

use super::*;

const _: () = {
    // A record always has space for at least one event of the longest ids. A full batch fits its
    // bytes or is split.
    assert!(
        STAGE_ID_BYTES_MAX + VIEWER_ID_BYTES_MAX + SESSION_ID_BYTES_MAX + 64 < RECORD_BYTES_MAX
    );
    // With ids of a usual length, the body limit is the bound of a batch call.
    assert!(BATCH_BEATS_MAX * 100 <= BODY_BYTES_MAX);
    assert!(
        6 * (STAGE_ID_BYTES_MAX + VIEWER_ID_BYTES_MAX + SESSION_ID_BYTES_MAX) + 64
            < WS_MESSAGE_BYTES_MAX
    );
    // The longest answer or error with every character escaped, and a pong and a close after it.
    assert!(2 * (STAGE_ID_BYTES_MAX + WS_DETAIL_BYTES_MAX) + 1024 < WS_WRITE_BUFFER_BYTES_MAX);
    assert!(6 * WS_CHANNEL_BYTES_MAX + 128 < WS_WRITE_BUFFER_BYTES_MAX / 2);
    // A session that beats without end always has a logged beat that is recent enough, until time
    // stands still.
    assert!(
        COALESCE_MS_MAX >= 1_000
            && COALESCE_MS_MAX < LOG_STALE_MS
            && SESSION_LEAVES_SPARE < SESSION_BURST
    );
    // Less than a command holds, because several calls may be answered at once.
    assert!(SCANS_MAX * VIEWS_HELD_MAX <= 2 * EXPORT_ROWS_MAX);
    assert!(CONNECTIONS_MAX_DEFAULT <= CONNECTIONS_MAX);
    // A removed key is seen with the next check, and a second is left to tell all open connections.
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
    // A batch of events of the longest ids fits an item, and so does a part of the state.
    assert!(EVENT_BATCH_EVENTS_MAX * (STAGE_ID_BYTES_MAX + 64) < ITEM_BYTES_MAX);
    assert!(EVENT_STATE_BYTES_MAX < ITEM_BYTES_MAX && 2 * LOG_STALE_MS < EVENT_GAP_MS_MAX);
    // The samples that a node keeps reach beyond the peaks that a drop is compared with.
    assert!(EVENT_DROP_MS_MAX < EVENT_SAMPLES_MAX as u64 * 1_000);
    assert!(EVENT_STATE_MS_MAX < EVENTS_KEPT_MS && WEBHOOK_EVENT_MS_MAX < EVENTS_KEPT_MS);
    assert!(WEBHOOK_WAIT_MS_MAX < WEBHOOK_EVENT_MS_MAX);
    assert!(WEBHOOK_DELIVERIES_MAX < WEBHOOK_PENDING_MAX);
    assert!(UNREAD_BODY_MS_MAX < BODY_READ_MS_MAX && GZIP_RATIO_MAX < 1_032);
    assert!(2 * TOKEN_BYTES_MAX <= HEADER_BYTES_MAX && JWKS_WAIT_MS_MAX < JWKS_REFRESH_MS_MIN);
    // Times in milliseconds instead of seconds are refused. Times that an issuer intends are not.
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
    // An index is removed when half of those seats are left, so a single session never has one.
    assert!(2 <= VIEWER_SEATS_WALKED_MAX && VIEWER_SEATS_WALKED_MAX < VIEWER_SESSIONS_KEPT_MAX);
    assert!(PAGE_ROWS_DEFAULT <= PAGE_ROWS_MAX);
    // Eight digits are always below it, so `20261101` is never read as milliseconds.
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
