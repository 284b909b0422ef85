//! Keys parsed from text: a JWK or JWKS (JSON), public keys in PEM, or a secret with its prefix.
//!
//! Any other text is an error and never a secret. An error page in the place of a JWKS is public,
//! and any reader of a secret can sign tokens. No error has any part of the text in it.

use housecount_core::limits::VIEWER_KEYS_MAX;
use serde_json::Value;

use super::{KeySource, VerificationKey};

/// Prefix of a secret, in a setting and in a file.
const SECRET: &str = "secret:";
/// Forms that the text may have, as the text of the error for any other form.
const EXPECTED: &str = "neither a JWK or JWKS, nor public keys in PEM; write a secret as secret:TEXT, or as an oct JWK";

/// The text without a BOM, and without white space at both ends.
fn bare(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim()
}

/// Returns the secret, if the text has the prefix of one.
///
/// # Errors
/// Returns a text if the secret has more than one line.
pub fn secret(text: &str) -> Result<Option<&str>, String> {
    let Some(secret) = bare(text).strip_prefix(SECRET) else { return Ok(None) };
    let secret = secret.trim();
    if secret.contains(['\n', '\r']) {
        return Err("a secret must be one line; remove the lines after it".to_string());
    }
    Ok(Some(secret))
}

/// Whether a setting holds the keys themselves, and not a file's name.
#[must_use]
pub fn is_inline(setting: &str) -> bool {
    let text = bare(setting);
    text.starts_with(['{', '[']) || text.starts_with(SECRET) || text.contains("-----BEGIN ")
}

/// Parses keys from text. In PEM a line `kid: NAME` before a key names it.
///
/// Returns no keys if the text is empty, or is an empty JWKS.
///
/// # Errors
/// Returns one line that says what is wrong, without any part of the text.
pub fn keys(text: &str, from: KeySource) -> Result<Vec<VerificationKey>, String> {
    let text = bare(text);
    let keys = if text.starts_with('{') {
        of_json(text, from)?
    } else if from == KeySource::Published {
        return Err("not a JWKS".to_string());
    } else if let Some(secret) = secret(text)? {
        vec![VerificationKey::of_secret(None, secret.as_bytes())?]
    } else if text.lines().any(|line| line.trim_start().starts_with("-----BEGIN ")) {
        of_pems(text)?
    } else if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        Vec::new()
    } else {
        return Err(EXPECTED.to_string());
    };
    if keys.len() > VIEWER_KEYS_MAX {
        return Err(format!("it has {} keys; at most {VIEWER_KEYS_MAX} are allowed", keys.len()));
    }
    let is_twice =
        |(at, key): (usize, &VerificationKey)| keys[..at].iter().any(|other| other.kid == key.kid);
    if let Some((_, key)) = keys.iter().enumerate().find(|each| is_twice(*each)) {
        let named =
            key.kid.as_deref().map_or("no kid".to_string(), |kid| format!("the kid `{kid}`"));
        return Err(format!("two keys have {named}; give each key a `kid` of its own"));
    }
    Ok(keys)
}

fn of_json(text: &str, from: KeySource) -> Result<Vec<VerificationKey>, String> {
    let json: Value =
        serde_json::from_str(text).map_err(|e| format!("line {}: not JSON", e.line()))?;
    let Some(keys) = json.get("keys").and_then(Value::as_array) else {
        return Ok(vec![VerificationKey::of_jwk(&json, from)?]);
    };
    let keys = keys.iter().map(|jwk| VerificationKey::of_jwk(jwk, from));
    match from {
        KeySource::File => keys.collect(),
        KeySource::Published => Ok(keys.flatten().collect()),
    }
}

/// Parses PEM blocks strictly, so that every line must be part of the format.
///
/// Otherwise a block that was cut at either end would silently be a missing key.
fn of_pems(text: &str) -> Result<Vec<VerificationKey>, String> {
    let (mut keys, mut kid, mut block) = (Vec::new(), None, String::new());
    for (number, line) in text.lines().map(str::trim).enumerate() {
        let wrong = |what: &str| Err(format!("line {}: {what}", number + 1));
        let begins = line.starts_with("-----BEGIN ");
        if block.is_empty() && !begins {
            match line.strip_prefix("kid:") {
                Some(name) if kid.is_none() => kid = Some(name.trim().to_string()),
                Some(_) => return wrong("a second `kid:` for one key"),
                None if line.is_empty() || line.starts_with('#') => {}
                None => {
                    return wrong(
                        "not a PEM block, `kid: NAME` or a comment (#); was a block cut off?",
                    );
                }
            }
            continue;
        }
        if begins && !block.is_empty() {
            return wrong(
                "a PEM block begins before the one above has ended; was that one cut off?",
            );
        }
        block.push_str(line);
        block.push('\n');
        if line.starts_with("-----END ") {
            let begun = block.lines().next().unwrap_or_default();
            if line != begun.replacen("BEGIN", "END", 1) {
                return wrong(
                    "the END line of a PEM block differs from its BEGIN line; was it cut off?",
                );
            }
            keys.push(VerificationKey::of_pem(kid.take(), block.as_bytes())?);
            block.clear();
        }
    }
    if !block.is_empty() {
        return Err("the last PEM block has no END line; was the file cut off?".to_string());
    }
    if kid.is_some() {
        return Err("the last `kid:` has no PEM block after it; was the file cut off?".to_string());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA: &str = include_str!("../../../tests/keys/rsa.pub.pem");
    const ED: &str = include_str!("../../../tests/keys/ed.pub.pem");
    const OCT: &str =
        r#"{"kty":"oct","kid":"o","k":"YSBzZWNyZXQgdGhhdCBzb21lYm9keSBoYXMgd3JpdHRlbiBkb3du"}"#;
    const ED_JWK: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"e","x":"EH-t1KadgyS7s3ZZY9RpwILPP8DFN-l-belSPxzfAtI"}"#;

    /// Parses a text, and returns the name of each key and whether it is a secret.
    fn read(text: &str) -> Result<Vec<(Option<String>, bool)>, String> {
        Ok(keys(text, KeySource::File)?
            .into_iter()
            .map(|key| (key.kid.clone(), key.is_secret()))
            .collect())
    }

    #[test]
    fn keys_are_read_in_each_form_also_behind_a_bom() {
        let two = format!("# ours\nkid: r\n{RSA}\n\n  kid: e\n{ED}");
        for (text, expected) in [
            ("secret:correct horse battery staple, and more".to_string(), vec![(None, true)]),
            (
                "\n secret: correct horse battery staple, and more \r\n".to_string(),
                vec![(None, true)],
            ),
            (OCT.to_string(), vec![(Some("o".to_string()), true)]),
            (
                format!("{{\"keys\":[{ED_JWK},{OCT}]}}"),
                vec![(Some("e".to_string()), false), (Some("o".to_string()), true)],
            ),
            (
                two.replace('\n', "\r\n"),
                vec![(Some("r".to_string()), false), (Some("e".to_string()), false)],
            ),
            (String::new(), vec![]),
            (" \n".to_string(), vec![]),
            ("{\"keys\":[]}".to_string(), vec![]),
        ] {
            for text in [text.clone(), format!("\u{feff}{text}")] {
                assert_eq!(read(&text).as_ref(), Ok(&expected), "{text}");
            }
        }
    }

    /// Text that may be public is never a secret.
    #[test]
    fn any_other_text_is_an_error_and_not_repeated() {
        let jwks = format!("{{\"keys\":[{ED_JWK}]}}");
        for text in [
            format!("[{ED_JWK}]"),
            format!("<!DOCTYPE html>\n<html><body>{}</body></html>", "opensesame".repeat(9)),
            "opensesame ".repeat(9),
            format!("callback({jwks})"),
            format!("\"{}\"", "opensesame".repeat(9)),
            format!("'{jwks}'"),
            format!("SECRET:{}", "opensesame".repeat(9)),
            format!("secret={}", "opensesame".repeat(9)),
            format!("ssh-ed25519 {} ann@example", "opensesame".repeat(9)),
            "null".to_string(),
            "0".repeat(64),
        ] {
            let error = read(&text).unwrap_err();
            assert!(
                error.contains("secret:TEXT") && !error.contains("opensesame"),
                "{text}: {error}"
            );
        }
        let commented_out = format!("# ours\n#secret:{}\n", "opensesame".repeat(9));
        assert!(read(&commented_out).unwrap().is_empty(), "a file without keys is valid");
        let two_lines = format!("secret:{}\nmore", "opensesame".repeat(9));
        assert!(read(&two_lines).unwrap_err().contains("one line"));
        for text in [
            jwks.replace(':', "="),
            format!("{jwks}{jwks}"),
            "{}".to_string(),
            "{\"error\":1}".into(),
        ] {
            assert!(read(&text).is_err(), "{text}");
        }
    }

    /// A second block that is cut at any byte is an error and not a missing key.
    #[test]
    fn a_block_that_is_cut_is_an_error() {
        let whole = format!("kid: e\n{}\nkid: r\n{}", ED.trim(), RSA.trim());
        assert_eq!(read(&whole).map(|keys| keys.len()), Ok(2));
        let first = whole.find("\nkid: r").unwrap_or_default();
        for end in first + "\nkid".len()..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{:?}", &whole[first..end]);
        }
        // Cut at its beginning, or without the end of the block before.
        let second = whole.find("-----BEGIN PUBLIC KEY-----\nMIIB").unwrap_or_default();
        assert!(second > first);
        for begin in second + 1..whole.len() {
            assert!(
                read(&format!("{}\n{}", &whole[..second], &whole[begin..])).is_err(),
                "{begin}"
            );
        }
        let unended = whole.replacen("-----END PUBLIC KEY-----\n", "", 1);
        assert!(read(&unended).unwrap_err().contains("begins before"), "{unended}");
        assert!(read(&format!("kid: a\nkid: b\n{ED}")).unwrap_err().contains("second `kid:`"));
    }
}
