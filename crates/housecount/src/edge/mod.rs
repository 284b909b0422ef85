//! The edge: what is decided about a request before the log hears of it, from what this node knows alone.
//!
//! Whose address it is and how much that may send (`address`), how often a session may speak (`pace`), who may still come
//! (`caps`), and under which names the ids go on (`names`). Everything behind it takes what is in the log as it is: nodes that
//! limit differently never differ about who is online.

pub mod address;
pub mod caps;
pub mod names;
pub mod pace;

use std::num::NonZeroU32;

use self::address::Addresses;
pub use self::address::Whence;
use self::caps::{Caps, Held};
use self::names::Names;
use self::pace::{Pace, Session, Spoken};
use crate::config::EdgeSettings;
use crate::hub::Hub;
use crate::ingest::Said;
use housecount_core::event::Kind;

/// Why something isn't taken in just now, though nothing is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwelcome {
    /// The address has sent too much.
    TooManyRequests {
        /// When it may send again.
        retry_ms: u64,
    },
    /// The session has said too much in this interval.
    TooManyBeats {
        /// When the next interval begins.
        retry_ms: u64,
        /// How often it may speak in one.
        max: NonZeroU32,
    },
    /// The viewer has too many sessions.
    TooManySessions {
        /// So many it may have, as is said where.
        max: usize,
        /// Where.
        place: &'static str,
    },
    /// The stage has all the viewers that it may have.
    StageFull {
        /// So many.
        max: u64,
    },
    /// Too many stages were opened in this minute.
    TooManyStages {
        /// When the next minute begins.
        retry_ms: u64,
        /// So many may be.
        max: usize,
    },
}

/// See the module's text.
#[derive(Debug)]
pub struct Edge {
    /// Whose requests these are.
    pub addresses: Addresses,
    /// Under which names ids go on.
    pub names: Names,
    pace: Pace,
    caps: Caps,
}

impl Edge {
    /// The edge of a node whose players are to beat every `interval_ms`.
    #[must_use]
    pub fn new(settings: &EdgeSettings, interval_ms: u64) -> Edge {
        Edge {
            addresses: Addresses::new(settings),
            names: settings.names.clone(),
            pace: Pace::new(settings.session_beats, interval_ms),
            caps: Caps::new(settings),
        }
    }

    /// The session that says something.
    #[must_use]
    pub fn session(&self, said: &Said<'_>) -> Session {
        self.pace.session(said)
    }

    /// Many that are to be welcomed: cache misses overlap if they are looked for at once.
    pub fn look_ahead(&self, sessions: impl IntoIterator<Item = Session>) {
        self.pace.look_ahead(sessions);
    }

    /// That what was said may be taken in at `now_ms`, of `clock::mono_ms`. What is given back is to be kept until it is acknowledged.
    ///
    /// # Errors
    /// See [`Unwelcome`]. Nothing was taken in.
    pub fn welcome(
        &self,
        hub: &Hub,
        said: &Said<'_>,
        session: Session,
        now_ms: u64,
    ) -> Result<Option<Box<Held>>, Unwelcome> {
        let found = self.pace.find(session, now_ms);
        let mut held = None;
        // Once an interval: who was welcome at its start is until its end.
        if said.kind == Kind::Beat && self.caps.are_any() && !found.has_begun() {
            held = self.caps.room_for(hub, said, now_ms)?;
        }
        match self.pace.note(found) {
            Spoken::Enough { retry_ms, max } => Err(Unwelcome::TooManyBeats { retry_ms, max }),
            Spoken::Well => Ok(held),
        }
    }
}
