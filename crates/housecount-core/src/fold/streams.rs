//! Streams of a viewer, and which of them must end where their number is limited.
//!
//! The order is the same on every node that has the same beats of the last `ttl`: by first beat,
//! then by stage and session. So nodes that admitted too many at once end the same ones.

use super::Fold;
use super::seat::{SeatFlag, SeatIndex};
use crate::time::UnixMs;

/// A viewer's online session that no leave will end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// First beat of the session since it came online.
    pub since: UnixMs,
    /// The stage that it watches.
    pub stage: String,
    /// The session; empty if the player sends none.
    pub session: String,
}

/// Streams that must end where a viewer has too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamsPolicy {
    /// New streams are refused. Of streams that came at once, the latest end.
    #[default]
    Refuse,
    /// New streams displace the oldest.
    Displace,
}

impl StreamsPolicy {
    /// Returns the streams of one viewer that must end, so that `max` are left.
    #[must_use]
    pub fn excess(self, mut streams: Vec<Stream>, max: usize) -> Vec<Stream> {
        streams.sort_unstable();
        let excess = streams.len().saturating_sub(max);
        match self {
            StreamsPolicy::Refuse => streams.split_off(streams.len() - excess),
            StreamsPolicy::Displace => {
                streams.truncate(excess);
                streams
            }
        }
    }
}

impl Fold {
    /// Returns a viewer's streams, in any order. It reads each of the viewer's sessions once.
    #[must_use]
    pub fn streams(&self, viewer: &str) -> Vec<Stream> {
        let Some(anchor) = self.find_viewer(viewer) else { return Vec::new() };
        let streams = self.seats.ring(anchor).filter(|seat| self.is_stream(*seat));
        let stream = |seat: SeatIndex| Stream {
            since: self.seats.times(seat).runs.last().map_or(UnixMs::ZERO, |run| run.first),
            stage: self.seats.stages[self.seats[seat].stage].id.to_string(),
            session: self.seats.session(seat).to_string(),
        };
        streams.map(stream).collect()
    }

    fn is_stream(&self, seat: SeatIndex) -> bool {
        let (beat, left) = self.seats.last(seat);
        let left_all = self.seats.unnamed_here(seat).map(|unnamed| self.seats.last(unnamed).1);
        self.seats[seat].is(SeatFlag::Online)
            && beat > left.max(left_all.unwrap_or_default())
            && !self.is_displaced(seat)
    }

    /// Whether a displacement covers a session's last beat. Time may be some milliseconds behind
    /// it, and it is final all the same.
    pub(super) fn is_displaced(&self, seat: SeatIndex) -> bool {
        let last = self.seats.displacements(seat).last();
        last.is_some_and(|displaced| *displaced >= self.seats.last(seat).0)
    }
}
