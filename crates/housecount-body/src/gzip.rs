//! Content codings of bodies, by the crate `flate2`: none, or gzip. Requests are decoded within the
//! body's bounds.

use std::io::{ErrorKind, Read};

use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::{GzEncoder, MultiGzDecoder};
use housecount_core::limits::{BEAT_BODY_BYTES_MAX, GZIP_RATIO_MAX};
use tokio::task::yield_now;

use housecount_problem::Problem;

/// Bytes that are decoded in one turn: some ten microseconds. Then the worker's other connections
/// have theirs.
const PIECE_BYTES: usize = 16 * 1024;

/// Content coding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// No coding.
    Identity,
    /// gzip, RFC 1952.
    Gzip,
}

impl Coding {
    /// Returns the coding that a request's headers name.
    ///
    /// # Errors
    /// Returns a 415 `Problem` for any other coding, or for several.
    pub fn of(headers: &HeaderMap) -> Result<Coding, Problem> {
        let mut given = headers.get_all(header::CONTENT_ENCODING).into_iter().peekable();
        if given.peek().is_none() {
            return Ok(Coding::Identity);
        }
        let text: Vec<&str> = given.map(|value| value.to_str().unwrap_or("?")).collect();
        let text = text.join(", ");
        let is_coded =
            |coding: &&str| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity");
        let codings: Vec<&str> = text.split(',').map(str::trim).filter(is_coded).collect();
        match codings[..] {
            [] => Ok(Coding::Identity),
            // RFC 9110, 8.4.1.3: both names mean the same.
            [one] if one.eq_ignore_ascii_case("gzip") || one.eq_ignore_ascii_case("x-gzip") => {
                Ok(Coding::Gzip)
            }
            _ => {
                let detail =
                    format!("content-encoding `{text}` is not supported; send gzip, or no coding");
                Err(Problem::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "unsupported_encoding",
                    detail,
                ))
            }
        }
    }
}

/// Decodes gzip, of one member or several.
///
/// # Errors
/// Returns a 413 `Problem` if more than `bytes_max` come out. It does so too if the output exceeds
/// [`GZIP_RATIO_MAX`] times the input, and also the bound of one heartbeat. Returns a 400 one if
/// the input is not gzip, or breaks off.
pub async fn decode(packed: &[u8], bytes_max: usize) -> Result<Bytes, Problem> {
    let too_large = |detail| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail);
    let ratio_bytes_max = BEAT_BODY_BYTES_MAX.max(packed.len() * GZIP_RATIO_MAX);
    let (mut decoder, mut whole) = (MultiGzDecoder::new(packed), Vec::new());
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = decoder.read(&mut piece).map_err(|error| broken(&error))?;
        if read == 0 {
            return Ok(whole.into());
        }
        if whole.len() + read > bytes_max {
            return Err(too_large(format!("the unpacked body is larger than {bytes_max} bytes")));
        }
        if whole.len() + read > ratio_bytes_max {
            let detail = format!(
                "the body unpacks to more than {GZIP_RATIO_MAX} times its size; send it uncompressed"
            );
            return Err(too_large(detail));
        }
        whole.extend_from_slice(&piece[..read]);
        yield_now().await;
    }
}

/// Compresses a body with gzip.
pub fn encode(plain: &[u8]) -> Bytes {
    let mut packed = Vec::new();
    // A read from memory into memory has no error.
    let _ = GzEncoder::new(plain, Compression::best()).read_to_end(&mut packed);
    packed.into()
}

/// Whether `Accept-Encoding` allows gzip: by name, or else by `*`, with a weight above zero.
pub fn is_accepted(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(header::ACCEPT_ENCODING)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let (mut by_name, mut by_any) = (None, None);
    for coding in values.flat_map(|list| list.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
        let allows = Some(weight.is_some_and(|q| q > 0.0));
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => by_name = allows,
            "*" => by_any = allows,
            _ => {}
        }
    }
    by_name.or(by_any).unwrap_or(false)
}

fn broken(error: &std::io::Error) -> Problem {
    match error.kind() {
        ErrorKind::UnexpectedEof => {
            Problem::new(StatusCode::BAD_REQUEST, "body_truncated", "the gzip body is truncated")
        }
        _ => Problem::body(format!("the body is not gzip, although content-encoding is: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use housecount_core::limits::BODY_BYTES_MAX;
    use housecount_test::timed_test;

    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        encode(bytes).to_vec()
    }

    async fn code(packed: &[u8], bytes_max: usize) -> Result<usize, &'static str> {
        decode(packed, bytes_max).await.map(|bytes| bytes.len()).map_err(|problem| problem.code())
    }

    /// Returns bytes that do not compress.
    fn noise(bytes: usize) -> Vec<u8> {
        let next = |seed: &u64| Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        std::iter::successors(Some(7), next).map(|seed| (seed >> 56) as u8).take(bytes).collect()
    }

    #[timed_test]
    async fn what_was_packed_comes_out() {
        for bytes in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES] {
            let plain = noise(bytes);
            assert_eq!(decode(&pack(&plain), bytes).await.unwrap(), plain);
        }
        let members = [pack(b"[{}"), pack(b",{}]")].concat();
        assert_eq!(decode(&members, 99).await.unwrap(), "[{},{}]");
    }

    #[timed_test]
    async fn body_bytes_max_is_of_the_unpacked_body() {
        let plain = noise(BODY_BYTES_MAX);
        assert_eq!(code(&pack(&plain), BODY_BYTES_MAX).await, Ok(BODY_BYTES_MAX));
        assert_eq!(code(&pack(&plain), BODY_BYTES_MAX - 1).await, Err("body_too_large"));
    }

    #[timed_test]
    async fn gzip_ratio_max_refuses_what_is_made_to_be_unpacked() {
        let zeros = pack(&vec![0; BODY_BYTES_MAX]);
        assert!(zeros.len() * GZIP_RATIO_MAX < BODY_BYTES_MAX);
        assert_eq!(code(&zeros, BODY_BYTES_MAX).await, Err("body_too_large"));
        // A body within a heartbeat's bound does no harm, however it is compressed.
        assert_eq!(
            code(&pack(&vec![0; BEAT_BODY_BYTES_MAX]), BODY_BYTES_MAX).await,
            Ok(BEAT_BODY_BYTES_MAX)
        );
        let same = vec![r#"{"stage":"s","viewer":"ann"}"#; 10_000].join(",");
        assert_eq!(code(&pack(same.as_bytes()), BODY_BYTES_MAX).await, Ok(same.len()));
    }

    #[timed_test]
    async fn what_is_not_gzip_says_so() {
        let packed = pack(b"[]");
        for (bad, expected) in [
            (b"[]".to_vec(), "body_truncated"),
            (b"[{\"stage\":\"s\",\"viewer\":\"ann\"}]".to_vec(), "invalid_body"),
            (packed[..packed.len() - 1].to_vec(), "body_truncated"),
            ([&packed[..], b"and more, which is not gzip"].concat(), "invalid_body"),
            (Vec::new(), "body_truncated"),
        ] {
            assert_eq!(code(&bad, 99).await, Err(expected), "{bad:?}");
        }
        let mut damaged = packed;
        let checksum = damaged.len() - 8;
        damaged[checksum] ^= 1;
        assert_eq!(code(&damaged, 99).await, Err("invalid_body"));
    }

    #[test]
    fn codings() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            Coding::of(&headers).map_err(|problem| (problem.status().as_u16(), problem.code()))
        };
        for none in [&[][..], &[""], &["identity"], &["identity", "Identity"]] {
            assert_eq!(of(none), Ok(Coding::Identity), "{none:?}");
        }
        for gzip in [&["gzip"][..], &["GZip"], &["x-gzip"], &[" identity , gzip"]] {
            assert_eq!(of(gzip), Ok(Coding::Gzip), "{gzip:?}");
        }
        for other in
            [&["br"][..], &["deflate"], &["zstd"], &["gzip, gzip"], &["gzip", "br"], &["gzip;q=1"]]
        {
            assert_eq!(of(other), Err((415, "unsupported_encoding")), "{other:?}");
        }
    }
    #[test]
    fn gzip_is_accepted_by_its_own_weight_first() {
        let is_accepted = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            is_accepted(&headers)
        };
        for yes in [
            &["gzip"][..],
            &["br, GZIP;q=0.5"],
            &["*"],
            &["x-gzip"],
            &["br", "gzip"],
            &["*;q=0, gzip"],
        ] {
            assert!(is_accepted(yes), "{yes:?}");
        }
        for no in [
            &[][..],
            &[""],
            &["br, deflate"],
            &["gzip;q=0"],
            &["gzip; q=0.0, *"],
            &["*;q=0"],
            &["gzip;v=1"],
        ] {
            assert!(!is_accepted(no), "{no:?}");
        }
    }
}
