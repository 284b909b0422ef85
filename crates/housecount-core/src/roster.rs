//! Roster: all stages' counts of one snapshot, packed, so that restore reads a few items and never
//! Scans.
//!
//! Version 1, in the attribute `roster` of each part; `parts` is the number of parts:
//! ```text
//! u8      version = 1
//! varint  distinct viewers over all stages, varint online sessions (of the whole snapshot, in each
//!         part)
//! varint  number of stages in this part; then for each:
//!   varint length of the stage id, its bytes, varint viewers, varint sessions, varint peak
//! u32 LE  CRC-32 (IEEE) of all before
//! ```

use housecount_codec::bytes::{ByteReader, DecodeError, put_text, put_varint, seal};

use crate::fold::{Count, StageView};
use crate::ids::StageId;
use crate::limits::{ROSTER_BYTES_MAX, STAGE_ID_BYTES_MAX};

/// Version that this program writes, and the only one so far.
pub const VERSION: u8 = 1;

/// All counts of one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Distinct viewers, and sessions, over all stages.
    pub total: Count,
    /// Stages with at least one online session.
    pub stages: Vec<StageView>,
}

impl Roster {
    /// Encodes the roster as parts of at most [`ROSTER_BYTES_MAX`] bytes. There is at least one
    /// part, even without online sessions.
    #[must_use]
    pub fn encode(&self) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let (mut packed, mut count) = (Vec::new(), 0);
        for stage in &self.stages {
            if packed.len() + STAGE_ID_BYTES_MAX + 64 > ROSTER_BYTES_MAX {
                parts.push(self.part(&std::mem::take(&mut packed), count));
                count = 0;
            }
            put_text(&mut packed, &stage.stage);
            put_varint(&mut packed, stage.count.viewers);
            put_varint(&mut packed, stage.count.sessions);
            put_varint(&mut packed, stage.peak);
            count += 1;
        }
        parts.push(self.part(&packed, count));
        parts
    }

    fn part(&self, packed: &[u8], count: u64) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.total.viewers);
        put_varint(&mut out, self.total.sessions);
        put_varint(&mut out, count);
        out.extend_from_slice(packed);
        seal(&mut out);
        out
    }

    /// Adds a part's stages to this roster, and sets its totals.
    ///
    /// # Errors
    /// Returns `Checksum`, `Version`, or for bytes that break the format `Truncated` or `Invalid`.
    /// The roster is then unchanged.
    pub fn add_part(&mut self, part: &[u8]) -> Result<(), DecodeError> {
        let mut reader = ByteReader::open(part, VERSION)?;
        let total = Count { viewers: reader.varint()?, sessions: reader.varint()? };
        let count = reader.varint()?;
        let mut stages = Vec::new();
        for _ in 0..count {
            let at = reader.at();
            let stage = reader.text("a stage id", STAGE_ID_BYTES_MAX)?;
            StageId::check(stage).map_err(|_| DecodeError::Invalid { what: "a stage id", at })?;
            stages.push(StageView {
                stage: stage.to_string(),
                count: Count { viewers: reader.varint()?, sessions: reader.varint()? },
                peak: reader.varint()?,
            });
        }
        reader.finish()?;
        self.total = total;
        self.stages.extend(stages);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(id: &str, viewers: u64) -> StageView {
        StageView {
            stage: id.into(),
            count: Count { viewers, sessions: viewers + 1 },
            peak: viewers + 2,
        }
    }

    /// Frozen bytes: a roster written by any version must restore. See docs/FORMATS.md.
    #[test]
    fn version_1_is_frozen() {
        let total = Count { viewers: 300, sessions: 5 };
        let roster = Roster { total, stages: vec![stage("s/1", 2), stage("s/2", 300)] };
        let parts = roster.encode();
        let hex: String = parts[0].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "01ac02050203732f3102030403732f32ac02ad02ae022e07f87f");
        let mut read = Roster::default();
        read.add_part(&parts[0]).unwrap();
        assert_eq!((parts.len(), read), (1, roster));
    }

    #[test]
    fn roster_bytes_max_splits_into_parts() {
        let stages: Vec<StageView> = (0..10_000).map(|n| stage(&format!("{n:0>256}"), n)).collect();
        let roster = Roster { total: Count { viewers: 9, sessions: 9 }, stages };
        let parts = roster.encode();
        assert!(parts.len() > 1 && parts.iter().all(|p| p.len() <= ROSTER_BYTES_MAX));
        let mut read = Roster::default();
        parts.iter().for_each(|part| read.add_part(part).unwrap());
        assert_eq!(read, roster);
    }

    #[test]
    fn an_empty_roster_is_one_part() {
        let parts = Roster::default().encode();
        let mut read = Roster::default();
        read.add_part(&parts[0]).unwrap();
        assert_eq!((parts.len(), read), (1, Roster::default()));
    }

    #[test]
    fn damage_adds_nothing() {
        let roster = Roster { total: Count::default(), stages: vec![stage("s", 1)] };
        let mut part = roster.encode().remove(0);
        part[4] ^= 1;
        let mut read = Roster::default();
        assert!(read.add_part(&part).is_err());
        assert_eq!(read, Roster::default());
    }
}
