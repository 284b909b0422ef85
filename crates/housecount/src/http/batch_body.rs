//! The body of a call with many heartbeats: a JSON array, one heartbeat, or a heartbeat a line.
//!
//! A bad heartbeat is told by its place and refuses no other one. A body whose form is wrong is refused as a whole.

use std::borrow::Cow;

use axum::http::{HeaderMap, StatusCode};
use housecount_core::limits::BATCH_BEATS_MAX;
use serde_json::value::RawValue;

use super::body;
use super::error::Problem;
use super::words::{AllGood, BeatBody};

/// By place, a heartbeat or why it is none.
pub type Parsed<'a> = Vec<(usize, Result<BeatBody<'a>, Problem>)>;

/// The forms that a body may have, as its content type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchForm {
    /// An array of heartbeats, or one heartbeat.
    Json,
    /// A heartbeat a line.
    Lines,
    /// An array if it begins with `[`, else lines: of a content type that says neither.
    Either,
}

impl BatchForm {
    /// The form that a request's headers allow.
    ///
    /// # Errors
    /// 415 for a content type that no heartbeats come in.
    pub fn of(headers: &HeaderMap) -> Result<BatchForm, Problem> {
        let kinds = ["text/plain", "application/json", "application/x-ndjson", "application/ndjson"];
        Ok(match body::content_type(headers, &kinds)? {
            "text/plain" => BatchForm::Either,
            "application/json" => BatchForm::Json,
            _ => BatchForm::Lines,
        })
    }
}

/// The heartbeats of a body by their places, or why they are none.
///
/// # Errors
/// None of them can be read, or there are too many.
pub fn parse_many(bytes: &[u8], form: BatchForm) -> Result<Parsed<'_>, Problem> {
    match (form, bytes.trim_ascii_start().first()) {
        (_, None) => Err(Problem::body("no heartbeats; send a JSON array, or one a line")),
        (BatchForm::Json | BatchForm::Either, Some(b'[')) => parse_array(bytes),
        (BatchForm::Json, Some(b'{')) => parse_one(bytes),
        (BatchForm::Json, Some(_)) => {
            Err(Problem::body(format!("not a JSON array of heartbeats; {LINES_HINT}")))
        }
        (BatchForm::Lines | BatchForm::Either, Some(_)) => parse_lines(bytes),
    }
}

/// The way out for lines that are sent as JSON.
const LINES_HINT: &str = "send a heartbeat a line as application/x-ndjson";

fn parse_one(bytes: &[u8]) -> Result<Parsed<'_>, Problem> {
    let with_hint = |problem: Problem| Problem::body(format!("{}; {LINES_HINT}", problem.detail()));
    Ok(vec![(0, Ok(BeatBody::parse(bytes).map_err(with_hint)?))])
}

fn parse_array(bytes: &[u8]) -> Result<Parsed<'_>, Problem> {
    let text = str::from_utf8(bytes);
    if let Some(AllGood(beats)) = text.ok().and_then(|text| serde_json::from_str(text).ok()) {
        return Ok(beats.into_iter().map(Ok).enumerate().collect());
    }
    // Each element is parsed by itself, so that a bad one doesn't spoil the others.
    let text = text.map_or_else(|_| Cow::Owned(masked(bytes)), Cow::Borrowed);
    let elements: Vec<&RawValue> =
        serde_json::from_str(&text).map_err(|e| Problem::body(format!("not a JSON array: {e}")))?;
    check_count(elements.len())?;
    let own = |element: &RawValue| {
        let from = element.get().as_ptr().addr() - text.as_ptr().addr();
        bytes.get(from..from + element.get().len()).unwrap_or_default()
    };
    Ok(elements.into_iter().map(own).map(BeatBody::parse).enumerate().collect())
}

/// The same bytes as text: what is not UTF-8 is replaced, so that all else stays where it is.
fn masked(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

fn parse_lines(bytes: &[u8]) -> Result<Parsed<'_>, Problem> {
    let lines: Vec<_> =
        bytes.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
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

#[cfg(test)]
mod tests {
    use housecount_core::event::Kind;

    use super::*;

    /// By place, the viewer or the code of what is wrong.
    fn read(bytes: &[u8], form: BatchForm) -> Result<Vec<(usize, String)>, &'static str> {
        let parsed = parse_many(bytes, form).map_err(|problem| problem.code())?;
        let said = |beat: Result<BeatBody<'_>, Problem>| {
            let viewer = beat.and_then(|beat| beat.said(Kind::Beat).map(|said| said.viewer.to_string()));
            viewer.unwrap_or_else(|problem| problem.code().to_string())
        };
        Ok(parsed.into_iter().map(|(index, beat)| (index, said(beat))).collect())
    }

    fn at(found: &[(usize, &str)]) -> Result<Vec<(usize, String)>, &'static str> {
        Ok(found.iter().map(|(index, what)| (*index, what.to_string())).collect())
    }

    fn beat(viewer: &str) -> String {
        format!(r#"{{"stage":"s","viewer":"{viewer}"}}"#)
    }

    const FORMS: [BatchForm; 3] = [BatchForm::Json, BatchForm::Lines, BatchForm::Either];

    #[test]
    fn each_content_type_has_its_form() {
        let of = |kind: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            kind.map(|kind| headers.insert("content-type", kind.parse().unwrap()));
            BatchForm::of(&headers).map_err(|problem| problem.status().as_u16())
        };
        for kind in [Some("text/plain"), Some("text/plain; charset=utf-8"), None] {
            assert_eq!(of(kind), Ok(BatchForm::Either), "{kind:?}");
        }
        assert_eq!(of(Some("application/json;charset=UTF-8")), Ok(BatchForm::Json));
        for kind in ["application/x-ndjson", "application/ndjson"] {
            assert_eq!(of(Some(kind)), Ok(BatchForm::Lines));
        }
        for kind in ["multipart/form-data; boundary=x", "application/jsonl", ""] {
            assert_eq!(of(Some(kind)), Err(415), "{kind}");
        }
    }

    #[test]
    fn a_body_has_the_form_that_its_type_says() {
        let (ann, bob) = (beat("ann"), beat("bob"));
        let (array, lines) = (format!(" [{ann},{bob}]"), format!("\r\n{ann}\r\n\n{bob}\n"));
        let both = at(&[(0, "ann"), (1, "bob")]);
        assert_eq!(read(array.as_bytes(), BatchForm::Json), both);
        assert_eq!(read(array.as_bytes(), BatchForm::Either), both);
        assert_eq!(read(array.as_bytes(), BatchForm::Lines), at(&[(0, "invalid_body")]));
        assert_eq!(read(lines.as_bytes(), BatchForm::Lines), at(&[(1, "ann"), (3, "bob")]));
        assert_eq!(read(lines.as_bytes(), BatchForm::Either), at(&[(1, "ann"), (3, "bob")]));
        assert_eq!(read(lines.as_bytes(), BatchForm::Json), Err("invalid_body"));
        assert!(FORMS.iter().all(|form| read(ann.as_bytes(), *form) == at(&[(0, "ann")])));
        for empty in ["", " \r\n\t"] {
            assert!(FORMS.iter().all(|form| read(empty.as_bytes(), *form) == Err("invalid_body")));
        }
        assert_eq!(read(b"[]", BatchForm::Json), at(&[]));
        for bad in ["7", "null", "[", "[{]", r#"{"stage":"s","viewer":"v"} x"#, "{"] {
            assert_eq!(read(bad.as_bytes(), BatchForm::Json), Err("invalid_body"), "{bad}");
        }
    }

    /// Wherever it lies: in a text, as a text's only byte, cut off, or as a surrogate.
    #[test]
    fn a_byte_that_is_not_utf8_spoils_its_own_heartbeat_only() {
        for bad in [&b"\xff"[..], b"Zo\xeb", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98"] {
            let beats = [
                beat("ann").into(),
                [br#"{"stage":"s","viewer":""#, bad, br#""}"#].concat(),
                beat("Zo\u{eb}").into(),
            ];
            let array = [b"[", &beats.join(&b", "[..])[..], b"]"].concat();
            let expected = at(&[(0, "ann"), (1, "invalid_body"), (2, "Zo\u{eb}")]);
            assert_eq!(read(&array, BatchForm::Json), expected, "{bad:?}");
            assert_eq!(read(&beats.join(&b'\n'), BatchForm::Lines), expected, "{bad:?}");
        }
        assert_eq!(read(b"[{},\xff{}]", BatchForm::Json), Err("invalid_body"), "it is in none of them");
    }

    #[test]
    fn batch_beats_max_holds_for_every_form() {
        let many = |n: usize, between: &str| vec!["{}"; n].join(between);
        for n in [BATCH_BEATS_MAX, BATCH_BEATS_MAX + 1] {
            let expected = if n > BATCH_BEATS_MAX { Err("too_many_heartbeats") } else { Ok(n) };
            let array = format!("[{}]", many(n, ","));
            let spoiled = array.replacen("{}", r#"{"stage":"\ud800"}"#, 1);
            for (body, form) in
                [(array, BatchForm::Json), (spoiled, BatchForm::Json), (many(n, "\n"), BatchForm::Lines)]
            {
                assert_eq!(read(body.as_bytes(), form).map(|found| found.len()), expected, "{form:?}");
            }
        }
    }
}
