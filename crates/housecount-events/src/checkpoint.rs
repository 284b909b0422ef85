//! Bytes of the state that events leave, in parts.
//!
//! Version 1, in the attribute `state` of each part; `parts` is the number of parts:
//! ```text
//! u8      version = 1
//! varint  number of the next event
//! varint  time up to which all samples are evaluated, ms
//! u8      1 if counts are complete, else 0
//! varint  time of the last event of an exceeded budget, ms; 0 for none
//! varint  number of stages in this part; then for each:
//!   text    stage
//!   varint  time of its opening or of its last drop, ms; varint viewers then
//!   varint  number of thresholds that it has reached, then each as a varint
//! u32 LE  CRC-32 (IEEE) of all before
//! ```

use housecount_codec::bytes::{ByteReader, DecodeError, put_text, put_varint, seal};
use housecount_core::limits::{EVENT_STATE_BYTES_MAX, EVENT_THRESHOLDS_MAX, STAGE_ID_BYTES_MAX};
use housecount_core::time::UnixMs;

use crate::state::{AudienceState, OpenStage};

/// Version that this program writes, and the only one so far.
const VERSION: u8 = 1;
/// Most thresholds that a stage can be above: those of the settings and of earlier ones.
const ABOVE_MAX: usize = 16 * EVENT_THRESHOLDS_MAX;
/// Most bytes of a stage in a part.
const STAGE_BYTES_MAX: usize = STAGE_ID_BYTES_MAX + 10 * (ABOVE_MAX + 4);

/// Encodes a state as parts of at most [`EVENT_STATE_BYTES_MAX`] bytes. There is at least one.
#[must_use]
pub fn encode(state: &AudienceState) -> Vec<Vec<u8>> {
    let (mut parts, mut packed, mut count) = (Vec::new(), Vec::new(), 0);
    for (stage, open) in &state.open {
        if packed.len() + STAGE_BYTES_MAX + 64 > EVENT_STATE_BYTES_MAX {
            parts.push(part(state, &std::mem::take(&mut packed), count));
            count = 0;
        }
        put_text(&mut packed, stage);
        put_varint(&mut packed, open.since.0);
        put_varint(&mut packed, open.viewers);
        let above = &open.above[..open.above.len().min(ABOVE_MAX)];
        put_varint(&mut packed, above.len() as u64);
        above.iter().for_each(|threshold| put_varint(&mut packed, *threshold));
        count += 1;
    }
    parts.push(part(state, &packed, count));
    parts
}

fn part(state: &AudienceState, packed: &[u8], count: u64) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_varint(&mut out, state.next);
    put_varint(&mut out, state.to.0);
    out.push(u8::from(state.is_complete));
    put_varint(&mut out, state.budget_at.0);
    put_varint(&mut out, count);
    out.extend_from_slice(packed);
    seal(&mut out);
    out
}

/// Adds a part to a state.
///
/// # Errors
/// Returns the `DecodeError` of damaged bytes, or of those of a later version.
pub fn decode_into(state: &mut AudienceState, bytes: &[u8]) -> Result<(), DecodeError> {
    let mut reader = ByteReader::open(bytes, VERSION)?;
    state.next = reader.varint()?;
    state.to = UnixMs(reader.varint()?);
    state.is_complete = reader.byte()? == 1;
    state.budget_at = UnixMs(reader.varint()?);
    for _ in 0..reader.varint()? {
        let stage = reader.text("a stage", STAGE_ID_BYTES_MAX)?.into();
        let (since, viewers) = (UnixMs(reader.varint()?), reader.varint()?);
        let (at, count) = (reader.at(), reader.varint()?);
        if count > ABOVE_MAX as u64 {
            return Err(DecodeError::Invalid { what: "the number of thresholds", at });
        }
        let above = (0..count).map(|_| reader.varint()).collect::<Result<_, _>>()?;
        state.open.insert(stage, OpenStage { since, viewers, above });
    }
    reader.finish()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    const AT: UnixMs = UnixMs(1_790_000_000_000);

    fn decode(parts: &[Vec<u8>]) -> AudienceState {
        let mut state = AudienceState::default();
        parts.iter().for_each(|part| decode_into(&mut state, part).unwrap());
        state
    }

    #[test]
    fn states_of_version_1_are_frozen() {
        let open = OpenStage { since: AT, viewers: 300, above: vec![100, 1_000] };
        let state = AudienceState {
            next: 42,
            to: AT,
            is_complete: true,
            budget_at: AT.minus(1),
            open: [("s/1".into(), open), ("t".into(), OpenStage::default())].into(),
        };
        let parts = encode(&state);
        assert_eq!((parts.len(), decode(&parts)), (1, state));
        assert_eq!(HEXLOWER.encode(&parts[0]), FROZEN);
    }

    const FROZEN: &str = concat!(
        "012a80d8c1a28c3401ffd7c1a28c3402",
        "03732f3180d8c1a28c34ac020264e807",
        "0174000000",
        "c43bc9c7",
    );

    #[test]
    fn event_state_bytes_max_bounds_a_part() {
        let stage = |n: u64| format!("{n:0>width$}", width = STAGE_ID_BYTES_MAX).into();
        let open = |n| OpenStage { since: AT, viewers: n, above: vec![n] };
        let state = AudienceState {
            to: AT,
            open: (0..5_000).map(|n| (stage(n), open(n))).collect(),
            ..AudienceState::default()
        };
        let parts = encode(&state);
        assert!(parts.len() > 4 && parts.iter().all(|part| part.len() <= EVENT_STATE_BYTES_MAX));
        assert_eq!(decode(&parts), state);
        assert_eq!(encode(&AudienceState::default()).len(), 1);
    }

    #[test]
    fn event_thresholds_max_of_many_settings_fit() {
        let above: Vec<u64> = (0..ABOVE_MAX as u64 + 5).collect();
        let open = OpenStage { since: AT, viewers: 1, above: above.clone() };
        let state = AudienceState { open: [("s".into(), open)].into(), ..AudienceState::default() };
        assert_eq!(decode(&encode(&state)).open["s"].above, above[..ABOVE_MAX]);
    }
}
