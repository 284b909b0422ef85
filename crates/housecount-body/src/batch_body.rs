//! Body of a call with many heartbeats: a JSON array, one heartbeat, or one heartbeat per line.
//!
//! A bad heartbeat is reported by its place, and the others are still accepted. A body of a wrong
//! form is refused as a whole.

use axum::http::{HeaderMap, StatusCode};
use housecount_core::limits::{BATCH_BEATS_MAX, BATCH_SLICE_BEATS_MAX};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use crate::body;
use crate::heartbeat_json::{HeartbeatRequest, ValidHeartbeat};
use housecount_problem::Problem;

/// Heartbeats by their places, or the problem of each.
pub type ParsedBatch<'a> = Vec<(usize, Result<HeartbeatRequest<'a>, Problem>)>;

/// Forms of a body, chosen by the content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchForm {
    /// An array of heartbeats, or one heartbeat.
    Json,
    /// One heartbeat per line.
    Lines,
    /// An array if it begins with `[`, else lines. For a content type that names neither form.
    Either,
}

impl BatchForm {
    /// Returns the form that a request's headers allow.
    ///
    /// # Errors
    /// Returns a 415 `Problem` for a content type that is not one of a batch.
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

/// A body that is read in slices, so that a worker's other connections get their turn in between.
#[derive(Debug)]
pub struct BatchParser<'a> {
    bytes: &'a [u8],
    form: ReadForm<'a>,
    /// Position up to which all bytes have been read.
    at: usize,
    /// Elements or lines read so far, empty lines included.
    read: usize,
    parsed: ParsedBatch<'a>,
    /// Number of heartbeats. Those beyond `BATCH_BEATS_MAX` are counted only.
    count: usize,
}

/// Form in which the rest of a body is read.
#[derive(Debug)]
enum ReadForm<'a> {
    /// One heartbeat per line.
    Lines,
    /// An array. Its text is the body's own bytes.
    Array(&'a str),
    /// An array with bytes that are not UTF-8. They are replaced in a copy, part by part, so that
    /// all other bytes keep their positions.
    Masked { text: String, is_whole: bool },
    /// One heartbeat.
    One,
}

/// Next element of an array.
enum Element<'a> {
    Beat(Result<HeartbeatRequest<'a>, Problem>),
    End,
}

impl<'a> BatchParser<'a> {
    /// Creates a parser of a body of a form.
    ///
    /// # Errors
    /// Returns a 400 `Problem` if the body cannot have that form.
    pub fn new(bytes: &'a [u8], form: BatchForm) -> Result<BatchParser<'a>, Problem> {
        let form = match (form, bytes.trim_ascii_start().first()) {
            (_, None) => {
                return Err(Problem::body(
                    "no heartbeats; send a JSON array, or one heartbeat per line",
                ));
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

    /// Reads at most [`BATCH_SLICE_BEATS_MAX`] more heartbeats or lines. Returns whether the whole
    /// body is read.
    ///
    /// # Errors
    /// Returns a 400 `Problem` if the body does not have its form. Returns a 413 one if it has too
    /// many heartbeats.
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

    /// Returns the heartbeats that were read.
    pub fn into_parsed(self) -> ParsedBatch<'a> {
        self.parsed
    }

    fn add(&mut self, beat: impl FnOnce() -> Result<HeartbeatRequest<'a>, Problem>) {
        if self.count < BATCH_BEATS_MAX {
            self.parsed.push((self.read, beat()));
        }
        self.count += 1;
    }

    /// Reads some lines. Returns whether the body has no more.
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

    /// Reads some elements. Returns whether the array has ended.
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

    /// Reads the next element by itself, so that a bad one does not spoil the others.
    fn element(&mut self) -> Result<Element<'a>, Problem> {
        let text = match &self.form {
            ReadForm::Array(text) => text,
            ReadForm::Masked { text, .. } => text.as_str(),
            ReadForm::Lines | ReadForm::One => return Ok(Element::End),
        };
        let byte = |at: usize| text.as_bytes().get(at).copied();
        let is_first = self.at == 0;
        // `[` stands before the first element, and `,` before each other one.
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
                Err(broken_array("unexpected text after the array", end))
            };
        }
        // Read in one pass where it is a heartbeat in the body's own bytes.
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
            None => return Err(broken_array("unexpected end", from)),
        }
        Ok(Element::Beat(HeartbeatRequest::parse(
            self.bytes.get(from..self.at).unwrap_or_default(),
        )))
    }
}

fn broken_array(why: &str, at: usize) -> Problem {
    Problem::body(format!("not a JSON array: {why} at byte {at}"))
}

/// Returns the position of the next byte that is not JSON's white space.
fn skip_space(text: &str, from: usize) -> usize {
    let left = text.as_bytes().get(from..).unwrap_or_default();
    from + left.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// Reads a whole body in one call, for tests and the fuzzer. Returns its heartbeats by their
/// places, or their problems.
///
/// # Errors
/// Returns the errors of [`BatchParser`].
pub fn parse_many(bytes: &[u8], form: BatchForm) -> Result<ParsedBatch<'_>, Problem> {
    let mut parser = BatchParser::new(bytes, form)?;
    while !parser.read_some()? {}
    Ok(parser.into_parsed())
}

/// Hint for lines that are sent as JSON.
const LINES_HINT: &str = "send one heartbeat per line as application/x-ndjson";

fn parse_one(bytes: &[u8]) -> Result<HeartbeatRequest<'_>, Problem> {
    let with_hint = |problem: Problem| Problem::body(format!("{}; {LINES_HINT}", problem.detail()));
    HeartbeatRequest::parse(bytes).map_err(with_hint)
}

/// Copies bytes from `at` on as text, and replaces bytes that are not UTF-8. Returns whether all
/// are copied.
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
