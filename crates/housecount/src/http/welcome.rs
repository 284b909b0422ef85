//! Who is let in: what is asked of all that a player says, once its ids are checked, before it is
//! taken in.

use std::borrow::Cow;

use housecount_core::event::EventKind;
use housecount_core::ids::StageId;
use smallvec::SmallVec;

use super::error::Problem;
use crate::clock::mono_ms;
use crate::edge::caps::Held;
use crate::edge::pace::Session;
use crate::edge::{Admitted, Unwelcome};
use crate::ingest::{Receipt, Refused, Said};
use crate::node::Node;
use crate::stages::NotOpen;

/// So many are asked for at once.
pub const ASKED_AT_ONCE: usize = 32;

/// What is to be let in, under the names that go on from here.
#[derive(Debug)]
pub struct Comer<'a> {
    kind: EventKind,
    stage: &'a str,
    viewer: Cow<'a, str>,
    session: Cow<'a, str>,
    /// By which its pace is known.
    paced: Session,
    /// Nobody need make room for it.
    is_in: bool,
}

/// What may be taken in.
#[derive(Debug)]
pub struct Welcomed<'a> {
    comer: Comer<'a>,
    admitted: Admitted,
}

/// A beat beyond its session's limit. It is answered by the session's last logged beat, or refused.
#[derive(Debug)]
pub struct SurplusBeat<'a> {
    comer: Comer<'a>,
    has_just_beaten: bool,
    refusal: Unwelcome,
}

/// A heartbeat or leave that the edge has looked at.
#[derive(Debug)]
pub enum Admission<'a> {
    /// It may be taken in.
    Welcomed(Welcomed<'a>),
    /// It is not logged.
    Surplus(SurplusBeat<'a>),
}

impl<'a> Comer<'a> {
    /// What was said, whose ids have been checked.
    pub fn new(node: &Node, said: Said<'a>) -> Comer<'a> {
        let names = &node.edge.names;
        let (viewer, session) =
            (names.viewer(said.viewer.into()), names.session(said.session.into()));
        Comer::named(node, said.kind, said.stage, viewer, session)
    }

    fn named(
        node: &Node,
        kind: EventKind,
        stage: &'a str,
        viewer: Cow<'a, str>,
        session: Cow<'a, str>,
    ) -> Comer<'a> {
        let paced = node.edge.session(&Said { kind, stage, viewer: &viewer, session: &session });
        Comer { kind, stage, viewer, session, paced, is_in: false }
    }

    fn said(&self) -> Said<'_> {
        let Comer { kind, stage, viewer, session, .. } = self;
        Said { kind: *kind, stage, viewer, session }
    }

    /// That its stage is open.
    ///
    /// # Errors
    /// 404 for a stage that isn't; 503 if that can't be known just now.
    pub async fn checked_open(self, node: &Node) -> Result<Comer<'a>, Problem> {
        if self.kind == EventKind::Beat {
            check_open(node, self.stage).await?;
        }
        Ok(self)
    }

    /// Lets it in at `now_ms`, of `clock::mono_ms`; its stage is open.
    ///
    /// # Errors
    /// 429 for a leave beyond its session's limit, and where there is no room.
    pub fn admitted(self, node: &Node, now_ms: u64) -> Result<Admission<'a>, Problem> {
        match node.edge.welcome(&node.hub, &self.said(), self.paced, self.is_in, now_ms) {
            Ok(admitted) => Ok(Admission::Welcomed(Welcomed { comer: self, admitted })),
            Err(refusal @ Unwelcome::TooManyBeats { has_just_beaten, .. })
                if self.kind == EventKind::Beat =>
            {
                Ok(Admission::Surplus(SurplusBeat { comer: self, has_just_beaten, refusal }))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl Admission<'_> {
    /// The event, under the names that go on.
    pub fn said(&self) -> Said<'_> {
        match self {
            Admission::Welcomed(welcomed) => welcomed.said(),
            Admission::Surplus(surplus) => surplus.comer.said(),
        }
    }

    /// Takes the event in, or coalesces it.
    ///
    /// # Errors
    /// As [`Welcomed::take`] and [`SurplusBeat::coalesce`].
    pub fn take(&self, node: &Node) -> Result<Receipt, Problem> {
        match self {
            Admission::Welcomed(welcomed) => Ok(welcomed.take(node)?),
            Admission::Surplus(surplus) => surplus.coalesce(node),
        }
    }

    /// What is to be kept until it is acknowledged.
    pub fn into_held(self) -> Option<Box<Held>> {
        match self {
            Admission::Welcomed(welcomed) => welcomed.admitted.held,
            Admission::Surplus(_) => None,
        }
    }
}

impl SurplusBeat<'_> {
    /// A receipt that relies on the session's last logged beat.
    ///
    /// # Errors
    /// 429 if there is none that is young enough; 503 while the log refuses events.
    pub fn coalesce(&self, node: &Node) -> Result<Receipt, Problem> {
        let coalesced = node.ingest.coalesce(&self.comer.said(), self.has_just_beaten)?;
        coalesced.ok_or_else(|| self.refusal.clone().into())
    }
}

impl Welcomed<'_> {
    /// What goes on.
    pub fn said(&self) -> Said<'_> {
        self.comer.said()
    }

    /// Takes it in.
    ///
    /// # Errors
    /// As [`Ingest::take`](crate::ingest::Ingest::take).
    pub fn take(&self, node: &Node) -> Result<Receipt, Refused> {
        node.ingest
            .take(self.said(), self.admitted.was_welcome)
            .inspect_err(|_| self.take_back(node))
    }

    /// It was not taken in, so that no beat may rely on it.
    pub fn take_back(&self, node: &Node) {
        if self.comer.kind == EventKind::Beat {
            node.edge.take_back(self.comer.paced, mono_ms());
        }
    }
}

/// Finds out of some that are to be let in now, [`ASKED_AT_ONCE`] at most, who is in already: to
/// ask for each by itself would take as long as for several.
pub fn find_who_is_in<'a, 'c: 'a>(
    node: &Node,
    comers: impl IntoIterator<Item = &'a mut Comer<'c>>,
    now_ms: u64,
) {
    let mut comers: SmallVec<[&mut Comer<'_>; ASKED_AT_ONCE]> =
        comers.into_iter().take(ASKED_AT_ONCE).collect();
    let asked: [_; ASKED_AT_ONCE] =
        std::array::from_fn(|n| comers.get(n).map(|comer| (comer.said(), comer.paced)));
    let are_in = node.edge.are_in(&node.hub, asked, now_ms);
    comers.iter_mut().zip(are_in).for_each(|(comer, is_in)| comer.is_in = is_in);
}

/// All of it, of what a player said, whose ids have been checked.
///
/// # Errors
/// As [`Comer::checked_open`] and [`Comer::admitted`].
pub async fn welcome<'a>(node: &Node, said: Said<'a>) -> Result<Admission<'a>, Problem> {
    Comer::new(node, said).checked_open(node).await?.admitted(node, mono_ms())
}

/// The same of a heartbeat under names that this node knows already.
///
/// # Errors
/// As [`Comer::checked_open`] and [`Comer::admitted`].
pub async fn welcome_known<'a>(
    node: &Node,
    stage: &'a str,
    viewer: &'a str,
    session: &'a str,
) -> Result<Admission<'a>, Problem> {
    let comer = Comer::named(node, EventKind::Beat, stage, viewer.into(), session.into());
    comer.checked_open(node).await?.admitted(node, mono_ms())
}

/// That heartbeats may open a stage, whose id has been checked.
///
/// # Errors
/// See [`NotOpen`].
async fn check_open(node: &Node, stage: &str) -> Result<(), NotOpen> {
    if node.stages.opens_all() {
        return Ok(());
    }
    let stage = StageId::parse(stage).map_err(|e| NotOpen::Unknown(e.to_string()))?;
    // In a box, or every connection would have room for it.
    Box::pin(node.stages.check_open(&stage)).await
}
