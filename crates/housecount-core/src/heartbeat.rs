//! A heartbeat as an item, one item per heartbeat, for audits that read the table.

use crate::event::EventRef;
use crate::item::{Attr, AttrError, Item, number, text};
use crate::keys::Key;
use crate::snapshot::expiry_s;
use crate::time::{DAY_MS, UnixMs};

/// Time for which a day stays listed after its last heartbeat has expired. DynamoDB takes some days
/// to delete an expired item, and `housecount forget` must find it until then.
const LISTED_AFTER_MS: u64 = 7 * DAY_MS;

/// Returns the key and the item that list the stage of a heartbeat at `at` for its day.
#[must_use]
pub fn day(stage: &str, at: UnixMs, retention_ms: u64) -> (Key, Item) {
    let day = at.aligned(DAY_MS);
    let item = Item::from([
        ("stageArn".to_string(), Attr::S(stage.to_string())),
        ("ttl".to_string(), Attr::N(expiry_s(day.plus(DAY_MS + LISTED_AFTER_MS), retention_ms))),
    ]);
    (Key::HeartbeatDay { day, stage: stage.to_string() }, item)
}

/// Returns the key and the item of a heartbeat, which expires `retention_ms` after it.
#[must_use]
pub fn item(beat: &EventRef<'_>, retention_ms: u64) -> (Key, Item) {
    let key = Key::Heartbeat {
        stage: beat.ids.stage.to_string(),
        at: beat.at,
        viewer: beat.ids.viewer.to_string(),
        session: beat.ids.session.to_string(),
    };
    let item = Item::from([
        ("stageArn".to_string(), Attr::S(beat.ids.stage.to_string())),
        ("userId".to_string(), Attr::S(beat.ids.viewer.to_string())),
        ("timestamp".to_string(), Attr::N(beat.at.0)),
        ("ttl".to_string(), Attr::N(expiry_s(beat.at, retention_ms))),
    ]);
    let session = (!beat.ids.session.is_empty())
        .then(|| ("sessionId".to_string(), Attr::S(beat.ids.session.to_string())));
    (key, item.into_iter().chain(session).collect())
}

/// Reads the time, the viewer and the session of a heartbeat's item.
///
/// # Errors
/// Returns an [`AttrError`] if `timestamp` or `userId` is missing or of another type.
pub fn read(item: &Item) -> Result<(UnixMs, &str, &str), AttrError> {
    let at = UnixMs(number(item, "timestamp")?);
    Ok((at, text(item, "userId")?, text(item, "sessionId").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use crate::event::Ids;
    use crate::event::SessionLabels;

    /// Frozen: other programs read it.
    #[test]
    fn items_are_frozen() {
        let at = UnixMs(1_790_000_000_123);
        let beat = EventRef {
            labels: SessionLabels::NONE,
            at,
            kind: EventKind::Beat,
            ids: Ids { stage: "s/1", viewer: "ann", session: "tab" },
        };
        let (key, full) = item(&beat, 86_400_000);
        assert_eq!(
            (key.pk().as_str(), key.sk().as_str()),
            ("STAGE#s/1", "HEARTBEAT#1790000000123#ann#tab")
        );
        assert_eq!(
            format!("{full:?}"),
            r#"{"sessionId": S("tab"), "stageArn": S("s/1"), "timestamp": N(1790000000123), "ttl": N(1790086401), "userId": S("ann")}"#
        );
        assert_eq!(read(&full), Ok((at, "ann", "tab")));
        let (_, item) = item(&EventRef { ids: Ids { session: "", ..beat.ids }, ..beat }, 1);
        assert_eq!(read(&item), Ok((at, "ann", "")));
    }

    #[test]
    fn days_are_frozen_and_outlive_their_heartbeats() {
        let at = UnixMs(1_790_035_199_999); // the last ms of its day
        let (key, listed) = day("s/1", at, 86_400_000);
        assert_eq!((key.pk().as_str(), key.sk().as_str()), ("HEARTBEATS", "1789948800000#s/1"));
        assert_eq!(format!("{listed:?}"), r#"{"stageArn": S("s/1"), "ttl": N(1790726400)}"#);
        let beat = EventRef {
            labels: SessionLabels::NONE,
            at,
            kind: EventKind::Beat,
            ids: Ids { stage: "s/1", viewer: "ann", session: "" },
        };
        assert_eq!(
            item(&beat, 86_400_000).1["ttl"],
            Attr::N(1_790_726_400 - LISTED_AFTER_MS / 1000)
        );
    }
}
