//! The body of a call with many heartbeats: a JSON array, one heartbeat, or a heartbeat a line.
//!
//! A bad heartbeat is told by its place and refuses no other one. A body whose form is wrong is
//! refused as a whole.

use axum::http::{HeaderMap, StatusCode};
use housecount_core::limits::{BATCH_BEATS_MAX, BATCH_SLICE_BEATS_MAX};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::body;
use super::error::Problem;
use super::heartbeat_json::{HeartbeatRequest, ValidHeartbeat};

/// By place, a heartbeat or why it is none.
pub type ParsedBatch<'a> = Vec<(usize, Result<HeartbeatRequest<'a>, Problem>)>;

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
        let kinds =
            ["text/plain", "application/json", "application/x-ndjson", "application/ndjson"];
        Ok(match body::content_type(headers, &kinds)? {
            "text/plain" => BatchForm::Either,
            "application/json" => BatchForm::Json,
            _ => BatchForm::Lines,
        })
    }
}

/// A body that is read in slices: so that a worker's other connections get their turn in between.
#[derive(Debug)]
pub struct BatchParser<'a> {
    bytes: &'a [u8],
    form: ReadForm<'a>,
    /// Everything before this byte has been read.
    at: usize,
    /// Elements or lines read so far, empty lines included.
    read: usize,
    parsed: ParsedBatch<'a>,
    /// Heartbeats, the ones beyond `BATCH_BEATS_MAX` included, which are counted only.
    count: usize,
}

/// How a body is read on.
#[derive(Debug)]
enum ReadForm<'a> {
    /// A heartbeat a line.
    Lines,
    /// An array. Its text is the body's own bytes.
    Array(&'a str),
    /// An array with bytes that are not UTF-8. They are replaced in a copy, part by part, so that
    /// all else stays where it is.
    Masked { text: String, is_whole: bool },
    /// One heartbeat.
    One,
}

/// What comes next in an array.
enum Element<'a> {
    Beat(Result<HeartbeatRequest<'a>, Problem>),
    End,
}

impl<'a> BatchParser<'a> {
    /// Begins with a body of a form.
    ///
    /// # Errors
    /// 400 if it can't have that form.
    pub fn new(bytes: &'a [u8], form: BatchForm) -> Result<BatchParser<'a>, Problem> {
        let form = match (form, bytes.trim_ascii_start().first()) {
            (_, None) => {
                return Err(Problem::body("no heartbeats; send a JSON array, or one a line"));
            }
            (BatchForm::Json | BatchForm::Either, Some(b'[')) => match str::from_utf8(bytes) {
                Ok(text) => ReadForm::Array(text),
                Err(_) => {
                    ReadForm::Masked { text: String::with_capacity(bytes.len()), is_whole: false }
                }
            },
            (BatchForm::Json, Some(b'{')) => ReadForm::One,
            (BatchForm::Json, Some(_)) => {
                return Err(Problem::body(format!("not a JSON array of heartbeats; {LINES_HINT}")));
            }
            (BatchForm::Lines | BatchForm::Either, Some(_)) => ReadForm::Lines,
        };
        Ok(BatchParser { bytes, form, at: 0, read: 0, parsed: Vec::new(), count: 0 })
    }

    /// Reads on by [`BATCH_SLICE_BEATS_MAX`] heartbeats or lines at most. Returns whether all is
    /// read.
    ///
    /// # Errors
    /// 400 if the body has not its form, 413 if it has too many heartbeats.
    pub fn read_some(&mut self) -> Result<bool, Problem> {
        let is_over = match &mut self.form {
            ReadForm::Masked { text, is_whole } if !*is_whole => {
                *is_whole = mask_some(self.bytes, &mut self.at, text);
                if *is_whole {
                    self.at = 0;
                }
                return Ok(false);
            }
            ReadForm::One => {
                self.parsed.push((0, Ok(parse_one(self.bytes)?)));
                true
            }
            ReadForm::Lines => self.read_lines(),
            ReadForm::Array(_) | ReadForm::Masked { .. } => self.read_elements()?,
        };
        if is_over {
            check_count(self.count)?;
        }
        Ok(is_over)
    }

    /// The heartbeats that were read.
    pub fn into_parsed(self) -> ParsedBatch<'a> {
        self.parsed
    }

    fn add(&mut self, beat: impl FnOnce() -> Result<HeartbeatRequest<'a>, Problem>) {
        if self.count < BATCH_BEATS_MAX {
            self.parsed.push((self.read, beat()));
        }
        self.count += 1;
    }

    /// Some lines. Whether there are no more.
    fn read_lines(&mut self) -> bool {
        for _ in 0..BATCH_SLICE_BEATS_MAX {
            let left = self.bytes.get(self.at..).unwrap_or_default();
            if left.is_empty() {
                return true;
            }
            let line = left.split(|byte| *byte == b'\n').next().unwrap_or_default();
            self.at += line.len() + 1;
            if !line.trim_ascii().is_empty() {
                self.add(|| HeartbeatRequest::parse(line));
            }
            self.read += 1;
        }
        false
    }

    /// Some elements. Whether the array has ended.
    fn read_elements(&mut self) -> Result<bool, Problem> {
        for _ in 0..BATCH_SLICE_BEATS_MAX {
            match self.element()? {
                Element::Beat(beat) => {
                    self.add(|| beat);
                    self.read += 1;
                }
                Element::End => return Ok(true),
            }
        }
        Ok(false)
    }

    /// The next element, each read by itself, so that a bad one doesn't spoil the others.
    fn element(&mut self) -> Result<Element<'a>, Problem> {
        let text = match &self.form {
            ReadForm::Array(text) => text,
            ReadForm::Masked { text, .. } => text.as_str(),
            ReadForm::Lines | ReadForm::One => return Ok(Element::End),
        };
        let byte = |at: usize| text.as_bytes().get(at).copied();
        let is_first = self.at == 0;
        // Before the first element stands `[`, before the others `,`.
        let mut at = skip_space(text, self.at);
        let is_end = match (is_first, byte(at)) {
            (true, Some(b'[')) => {
                at = skip_space(text, at + 1);
                byte(at) == Some(b']')
            }
            (false, Some(b']')) => true,
            (false, Some(b',')) => {
                at = skip_space(text, at + 1);
                false
            }
            (true, _) => return Err(broken_array("expected `[`", at)),
            (false, _) => return Err(broken_array("expected `,` or `]`", at)),
        };
        self.at = at;
        if is_end {
            let end = skip_space(text, at + 1);
            return if end == text.len() {
                Ok(Element::End)
            } else {
                Err(broken_array("more text", end))
            };
        }
        // All of it at once, where it is a heartbeat and all its bytes are its own.
        if let ReadForm::Array(own) = self.form {
            let mut good =
                Deserializer::from_str(&own[self.at..]).into_iter::<ValidHeartbeat<'a>>();
            if let Some(Ok(ValidHeartbeat(beat))) = good.next() {
                self.at += good.byte_offset();
                return Ok(Element::Beat(Ok(beat)));
            }
        }
        let mut raw = Deserializer::from_str(&text[self.at..]).into_iter::<&RawValue>();
        let from = self.at;
        match raw.next() {
            Some(Ok(_)) => self.at += raw.byte_offset(),
            Some(Err(error)) => return Err(broken_array(&error.to_string(), from)),
            None => return Err(broken_array("it breaks off", from)),
        }
        Ok(Element::Beat(HeartbeatRequest::parse(
            self.bytes.get(from..self.at).unwrap_or_default(),
        )))
    }
}

fn broken_array(why: &str, at: usize) -> Problem {
    Problem::body(format!("not a JSON array: {why}, from byte {at} on"))
}

/// The place of the next byte that is not JSON's white space.
fn skip_space(text: &str, from: usize) -> usize {
    let left = text.as_bytes().get(from..).unwrap_or_default();
    from + left.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// The heartbeats of a body by their places, or why they are none: read in one go, for tests and
/// the fuzzer.
///
/// # Errors
/// As [`BatchParser`].
pub fn parse_many(bytes: &[u8], form: BatchForm) -> Result<ParsedBatch<'_>, Problem> {
    let mut parser = BatchParser::new(bytes, form)?;
    while !parser.read_some()? {}
    Ok(parser.into_parsed())
}

/// The way out for lines that are sent as JSON.
const LINES_HINT: &str = "send a heartbeat a line as application/x-ndjson";

fn parse_one(bytes: &[u8]) -> Result<HeartbeatRequest<'_>, Problem> {
    let with_hint = |problem: Problem| Problem::body(format!("{}; {LINES_HINT}", problem.detail()));
    HeartbeatRequest::parse(bytes).map_err(with_hint)
}

/// Copies bytes from `at` on as text, and replaces what is not UTF-8. Returns whether all is
/// copied.
fn mask_some(bytes: &[u8], at: &mut usize, text: &mut String) -> bool {
    for chunk in bytes.get(*at..).unwrap_or_default().utf8_chunks().take(BATCH_SLICE_BEATS_MAX) {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
        *at += chunk.valid().len() + chunk.invalid().len();
    }
    *at == bytes.len()
}

fn check_count(count: usize) -> Result<(), Problem> {
    if count <= BATCH_BEATS_MAX {
        return Ok(());
    }
    let detail = format!("{count} heartbeats; at most {BATCH_BEATS_MAX} are allowed in one call");
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_heartbeats", detail))
}

#[cfg(test)]
mod tests;
