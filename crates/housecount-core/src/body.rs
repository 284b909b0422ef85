//! Body of a row in the embedded cold tier: an item's attributes as bytes.
//!
//! The checksum covers the row's keys as well, so a body that damage has moved to another key is
//! refused there. DynamoDB stores attributes itself and needs no body.

use std::collections::BTreeMap;

use housecount_codec::bytes::{ByteReader, DecodeError, put_text, put_varint};

use crate::item::{Attr, Item};

/// Version byte of a body.
const VERSION: u8 = 1;
const TEXT: u8 = 0;
const NUMBER: u8 = 1;
const BYTES: u8 = 2;
const BOOL: u8 = 3;
const TEXTS: u8 = 4;
/// Bytes of the checksum at the end.
const SUM_BYTES: usize = 4;

/// Encodes an item for the row at these keys.
#[must_use]
pub fn encode(pk: &str, sk: &str, item: &Item) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_varint(&mut out, item.len() as u64);
    for (name, attr) in item {
        put_text(&mut out, name);
        match attr {
            Attr::S(text) => {
                out.push(TEXT);
                put_text(&mut out, text);
            }
            Attr::N(number) => {
                out.push(NUMBER);
                put_varint(&mut out, *number);
            }
            Attr::B(bytes) => {
                out.push(BYTES);
                put_varint(&mut out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            Attr::Bool(value) => out.extend([BOOL, u8::from(*value)]),
            Attr::StringMap(texts) => {
                out.push(TEXTS);
                put_varint(&mut out, texts.len() as u64);
                for (name, text) in texts {
                    put_text(&mut out, name);
                    put_text(&mut out, text);
                }
            }
        }
    }
    let sum = checksum(pk, sk, &out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// Decodes the body of the row at these keys.
///
/// # Errors
/// Returns a [`DecodeError`]: `Checksum` if the body or a key is damaged, `Version` if a later
/// version wrote it. The other variants report a body that breaks the format.
pub fn decode(pk: &str, sk: &str, body: &[u8]) -> Result<Item, DecodeError> {
    let (bytes, sum) =
        body.split_last_chunk::<SUM_BYTES>().ok_or(DecodeError::Truncated { at: body.len() })?;
    let (found, computed) = (u32::from_le_bytes(*sum), checksum(pk, sk, bytes));
    if found != computed {
        return Err(DecodeError::Checksum { found, computed });
    }
    let mut reader = ByteReader::unsealed(bytes);
    match reader.byte()? {
        VERSION => {}
        found => return Err(DecodeError::Version { found, known: VERSION }),
    }
    let mut item = Item::new();
    for _ in 0..reader.varint()? {
        let name = text(&mut reader)?;
        item.insert(name, attr(&mut reader)?);
    }
    reader.finish()?;
    Ok(item)
}

fn attr(reader: &mut ByteReader<'_>) -> Result<Attr, DecodeError> {
    let at = reader.at();
    Ok(match reader.byte()? {
        TEXT => Attr::S(text(reader)?),
        NUMBER => Attr::N(reader.varint()?),
        BYTES => {
            let len = reader.varint()?;
            let len = usize::try_from(len).map_err(|_| DecodeError::Truncated { at })?;
            Attr::B(reader.take(len)?.to_vec())
        }
        BOOL => Attr::Bool(reader.byte()? != 0),
        TEXTS => {
            let mut texts = BTreeMap::new();
            for _ in 0..reader.varint()? {
                let name = text(reader)?;
                texts.insert(name, text(reader)?);
            }
            Attr::StringMap(texts)
        }
        _ => return Err(DecodeError::Invalid { what: "an attribute's type", at }),
    })
}

fn text(reader: &mut ByteReader<'_>) -> Result<String, DecodeError> {
    let bytes_max = reader.left();
    Ok(reader.text("an attribute's text", bytes_max)?.to_string())
}

/// Computes the CRC-32 (IEEE) of both keys, each after its length, and of the body.
fn checksum(pk: &str, sk: &str, bytes: &[u8]) -> u32 {
    let mut keys = Vec::with_capacity(pk.len() + sk.len() + 4);
    put_text(&mut keys, pk);
    put_text(&mut keys, sk);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&keys);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_item() -> impl Strategy<Value = Item> {
        let attr = prop_oneof![
            any::<String>().prop_map(Attr::S),
            any::<u64>().prop_map(Attr::N),
            any::<Vec<u8>>().prop_map(Attr::B),
            any::<bool>().prop_map(Attr::Bool),
            prop::collection::btree_map(any::<String>(), any::<String>(), 0..4)
                .prop_map(Attr::StringMap),
        ];
        prop::collection::btree_map(any::<String>(), attr, 0..6)
    }

    proptest! {
        #[test]
        fn items_round_trip(pk: String, sk: String, item in any_item()) {
            prop_assert_eq!(decode(&pk, &sk, &encode(&pk, &sk, &item)).unwrap(), item);
        }

        #[test]
        fn any_bytes_are_an_error_or_an_item(mut bytes: Vec<u8>) {
            let sum = checksum("p", "s", &bytes);
            bytes.extend_from_slice(&sum.to_le_bytes());
            let _ = decode("p", "s", &bytes);
        }

        #[test]
        fn a_flipped_bit_is_found(item in any_item(), bit: prop::sample::Index) {
            let mut body = encode("p", "s", &item);
            let bit = bit.index(body.len() * 8);
            body[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode("p", "s", &body).is_err());
        }
    }

    #[test]
    fn version_1_is_frozen() {
        let item = Item::from([
            ("b".to_string(), Attr::B(vec![0xff, 0])),
            ("m".to_string(), Attr::StringMap([("k".to_string(), "v".to_string())].into())),
            ("n".to_string(), Attr::N(300)),
            ("s".to_string(), Attr::S("Zoë".to_string())),
            ("t".to_string(), Attr::Bool(true)),
        ]);
        let body = encode("STAGE#s", "CONFIG", &item);
        let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected =
            "0105 01620202ff00 016d0401016b0176 016e01ac02 017300045a6fc3ab 01740301 de7a08c9";
        assert_eq!(hex, expected.replace(' ', ""));
        assert_eq!(decode("STAGE#s", "CONFIG", &body).unwrap(), item);
        let moved = decode("STAGE#t", "CONFIG", &body);
        assert!(
            matches!(moved, Err(DecodeError::Checksum { .. })),
            "a body is valid for its own key only: {moved:?}"
        );
    }

    #[test]
    fn a_later_version_is_named() {
        let mut body = vec![2, 0];
        let sum = checksum("p", "s", &body);
        body.extend_from_slice(&sum.to_le_bytes());
        assert_eq!(decode("p", "s", &body), Err(DecodeError::Version { found: 2, known: 1 }));
    }
}
