//! UUIDs in 16 bytes. Most players' ids are UUIDs, and take half the memory in this form.
//!
//! Only the usual text of RFC 9562 is packed: 8-4-4-4-12 hexadecimal digits, in lower case. Any
//! similar text is another id, and is stored as it is.

/// Characters of a UUID's text.
pub(super) const TEXT_BYTES: usize = 36;
/// Bytes of a UUID.
pub(super) const PACKED_BYTES: usize = 16;

/// Packs an id into a UUID's bytes, or returns `None` if it isn't a UUID.
pub(super) fn pack(id: &[u8]) -> Option<[u8; PACKED_BYTES]> {
    let id: &[u8; TEXT_BYTES] = id.try_into().ok()?;
    // A character that is not a digit becomes some digit; the comparison below then fails.
    let digit = |at: usize| (id[at] & 0xf) + 9 * (id[at] >> 6 & 1);
    let packed = std::array::from_fn(|n| {
        let hyphens = [4, 6, 8, 10].iter().filter(|group| n >= **group).count();
        let at = 2 * n + hyphens;
        digit(at) << 4 | digit(at + 1) & 0xf
    });
    (text(packed) == *id).then_some(packed)
}

/// Returns a UUID's text.
pub(super) fn text(packed: [u8; PACKED_BYTES]) -> [u8; TEXT_BYTES] {
    let [a, b, c, d] = digits(packed).map(u64::to_be_bytes);
    let mut text = [b'-'; TEXT_BYTES];
    text[..8].copy_from_slice(&a);
    text[9..13].copy_from_slice(&b[..4]);
    text[14..18].copy_from_slice(&b[4..]);
    text[19..23].copy_from_slice(&c[..4]);
    text[24..28].copy_from_slice(&c[4..]);
    text[28..].copy_from_slice(&d);
    text
}

/// Returns whether `id` is this UUID's text. The result is that of a comparison with [`text`]. This
/// code does not write bytes and read them again at once, which is slow on processors, and each
/// heartbeat calls it.
pub(super) fn is(packed: [u8; PACKED_BYTES], id: &[u8]) -> bool {
    let Some(id) = id.first_chunk::<TEXT_BYTES>().filter(|_| id.len() == TEXT_BYTES) else {
        return false;
    };
    let part =
        |at: usize| u64::from(u32::from_be_bytes([id[at], id[at + 1], id[at + 2], id[at + 3]]));
    let read = [[0, 4], [9, 14], [19, 24], [28, 32]].map(|[a, b]| part(a) << 32 | part(b));
    let hyphens = u32::from_be_bytes([id[8], id[13], id[18], id[23]]);
    read == digits(packed) && hyphens == u32::from_be_bytes([b'-'; 4])
}

/// Returns a UUID's 32 hexadecimal digits, eight per integer.
fn digits(packed: [u8; PACKED_BYTES]) -> [u64; 4] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let bits = u128::from_be_bytes(packed);
    [96, 64, 32, 0].map(|shift| {
        // Four bits to each byte.
        let mut spread = u64::from((bits >> shift) as u32);
        for (shift, mask) in
            [(16, 0x0000_ffff_0000_ffff), (8, 0x00ff_00ff_00ff_00ff), (4, 0x0f0f_0f0f_0f0f_0f0f)]
        {
            spread = (spread | spread << shift) & mask;
        }
        // From ten on a digit is a letter: one in its byte.
        let letters = (spread + 6 * EACH) >> 4 & EACH;
        let from_nine_to_a = u64::from(b'a' - b'9' - 1);
        spread + u64::from(b'0') * EACH + from_nine_to_a * letters
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(bits: u128) -> String {
        let hex = format!("{bits:032x}");
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    proptest! {
        #[test]
        fn a_uuid_comes_back(bits: u128) {
            let id = written(bits);
            let packed = pack(id.as_bytes());
            prop_assert_eq!(packed, Some(bits.to_be_bytes()));
            prop_assert_eq!(&text(bits.to_be_bytes())[..], id.as_bytes());
            prop_assert!(is(bits.to_be_bytes(), id.as_bytes()));
        }

        /// With one byte changed it is another UUID's text, or not a UUID.
        #[test]
        fn nothing_else_is_one(bits: u128, at in 0..TEXT_BYTES, byte: u8) {
            let mut id = written(bits).into_bytes();
            let is_same = id[at] == byte;
            id[at] = byte;
            prop_assert_eq!(is(bits.to_be_bytes(), &id), is_same);
            let is_hyphen = [8, 13, 18, 23].contains(&at);
            let is_one = if is_hyphen { byte == b'-' } else { matches!(byte, b'0'..=b'9' | b'a'..=b'f') };
            prop_assert_eq!(pack(&id).map(|packed| text(packed).to_vec()), is_one.then_some(id));
        }
    }

    #[test]
    fn it_is_as_long_as_one() {
        let id = written(7);
        assert_eq!(
            (pack(&id.as_bytes()[1..]), pack(b""), pack(format!("{id}0").as_bytes())),
            (None, None, None)
        );
    }
}
