//! The body of a call with many heartbeats: a JSON array, or a heartbeat a line.

use axum::http::StatusCode;
use housecount_core::limits::BATCH_BEATS_MAX;

use super::error::Problem;
use super::words::{AllGood, BeatBody};

/// By place, a heartbeat or why it is none.
pub type Parsed<'a> = Vec<(usize, Result<BeatBody<'a>, Problem>)>;

/// Heartbeats, or why they are none, by their places: an array, or one a line.
///
/// # Errors
/// None of them can be read, or there are too many.
pub fn parse_many(bytes: &[u8], is_lines: bool) -> Result<Parsed<'_>, Problem> {
    if is_lines || !bytes.trim_ascii_start().starts_with(b"[") {
        parse_lines(bytes)
    } else {
        parse_array(bytes)
    }
}

fn parse_array(bytes: &[u8]) -> Result<Parsed<'_>, Problem> {
    let all = str::from_utf8(bytes).ok().and_then(|text| serde_json::from_str(text).ok());
    if let Some(AllGood(beats)) = all {
        return Ok(beats.into_iter().map(Ok).enumerate().collect());
    }
    // Each element is parsed by itself, so that one of a wrong type doesn't spoil the others.
    let elements: Vec<&serde_json::value::RawValue> =
        serde_json::from_slice(bytes).map_err(|e| Problem::body(format!("not a JSON array: {e}")))?;
    check_count(elements.len())?;
    Ok(elements.iter().map(|e| BeatBody::parse(e.get().as_bytes())).enumerate().collect())
}

fn parse_lines(bytes: &[u8]) -> Result<Parsed<'_>, Problem> {
    let lines: Vec<_> =
        bytes.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
    if lines.is_empty() {
        return Err(Problem::body("no heartbeats; send a JSON array, or one a line"));
    }
    check_count(lines.len())?;
    Ok(lines.into_iter().map(|(index, line)| (index, BeatBody::parse(line))).collect())
}

fn check_count(count: usize) -> Result<(), Problem> {
    if count <= BATCH_BEATS_MAX {
        return Ok(());
    }
    let detail = format!("{count} heartbeats; at most {BATCH_BEATS_MAX} are allowed in one call");
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_heartbeats", detail))
}
