//! Primitives of the stored formats: little-endian integers, LEB128 varints, length-prefixed
//! strings, and a CRC-32 at the end.
//!
//! Every read is checked. Bytes come from outside, so a short or invalid input returns an error and
//! never panics.

/// Reason why bytes could not be read. The caller adds the name of the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("the data ends too early, at byte {at}")]
    Truncated {
        /// Offset of the byte.
        at: usize,
    },
    /// The checksum doesn't match the bytes, which were damaged in transit or on the disk.
    #[error("checksum mismatch: stored {found:08x}, computed {computed:08x}")]
    Checksum {
        /// Stored checksum.
        found: u32,
        /// Checksum computed from the bytes.
        computed: u32,
    },
    /// The format is newer than this program, or the bytes are not from housecount.
    #[error("format version {found} is unknown; this program reads version {known}")]
    Version {
        /// Version byte of the input.
        found: u8,
        /// Newest version that this program reads.
        known: u8,
    },
    /// A value breaks its rule.
    #[error("invalid value at byte {at}: {what}")]
    Invalid {
        /// Name of the value.
        what: &'static str,
        /// Offset of the byte.
        at: usize,
    },
}

/// Appends `value` as a LEB128 varint: 7 bits per byte, low ones first.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the length of `text`, and `text`.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends the CRC-32 (IEEE) of all bytes so far.
pub fn seal(out: &mut Vec<u8>) {
    let sum = crc32fast::hash(out);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Returns the checksum at the end of sealed bytes. Formats use it to identify them.
#[must_use]
pub fn checksum(sealed: &[u8]) -> u32 {
    sealed.last_chunk().map_or(0, |sum| u32::from_le_bytes(*sum))
}

/// Reads the values that the functions above write.
#[derive(Clone, Debug)]
pub struct ByteReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ByteReader<'a> {
    /// Opens sealed bytes. Compares their checksum first, and requires version `known`.
    pub fn open(sealed: &'a [u8], known: u8) -> Result<ByteReader<'a>, DecodeError> {
        ByteReader::open_any(sealed, known, known).map(|(_, reader)| reader)
    }

    /// Opens sealed bytes of any version from `oldest` to `known`, and returns the version.
    pub fn open_any(
        sealed: &'a [u8],
        oldest: u8,
        known: u8,
    ) -> Result<(u8, ByteReader<'a>), DecodeError> {
        let body =
            sealed.len().checked_sub(4).ok_or(DecodeError::Truncated { at: sealed.len() })?;
        let (bytes, sum) = sealed.split_at(body);
        let mut found = [0; 4];
        found.copy_from_slice(sum);
        let (found, computed) = (u32::from_le_bytes(found), crc32fast::hash(bytes));
        if found != computed {
            return Err(DecodeError::Checksum { found, computed });
        }
        let mut reader = ByteReader { bytes, at: 0 };
        match reader.byte()? {
            version if (oldest..=known).contains(&version) => Ok((version, reader)),
            found => Err(DecodeError::Version { found, known }),
        }
    }

    /// Creates a reader of bytes without a checksum at their end, which another layer has checked.
    pub fn unsealed(bytes: &'a [u8]) -> ByteReader<'a> {
        ByteReader { bytes, at: 0 }
    }

    /// Returns the offset of the next byte.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Returns the number of bytes left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Returns all bytes that are left.
    #[must_use]
    pub fn rest(self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Reads one byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or(DecodeError::Truncated { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    /// Reads `len` bytes.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(DecodeError::Truncated { at: self.bytes.len() })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// Reads a 64-bit little-endian integer.
    pub fn u64_le(&mut self) -> Result<u64, DecodeError> {
        let mut raw = [0; 8];
        raw.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(raw))
    }

    /// Reads a 32-bit little-endian integer.
    pub fn u32_le(&mut self) -> Result<u32, DecodeError> {
        let mut raw = [0; 4];
        raw.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(raw))
    }

    /// Reads a LEB128 varint of at most 64 bits.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Invalid { what: "a varint", at: start })
    }

    /// Reads a length-prefixed string of at most `bytes_max` bytes.
    pub fn text(&mut self, what: &'static str, bytes_max: usize) -> Result<&'a str, DecodeError> {
        let at = self.at;
        let len = usize::try_from(self.varint()?).ok().filter(|len| *len <= bytes_max);
        let raw = self.take(len.ok_or(DecodeError::Invalid { what, at })?)?;
        std::str::from_utf8(raw).map_err(|_| DecodeError::Invalid { what, at })
    }

    /// Checks that all bytes were read.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(DecodeError::Invalid { what: "bytes after the last value", at: self.at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = vec![7];
        fill(&mut out);
        seal(&mut out);
        out
    }

    proptest! {
        #[test]
        fn varints_round_trip(value: u64) {
            let bytes = sealed(|out| put_varint(out, value));
            let mut reader = ByteReader::open(&bytes, 7).unwrap();
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn any_bytes_are_an_error_or_a_value(bytes: Vec<u8>) {
            if let Ok(mut reader) = ByteReader::open(&bytes, 7) {
                let _ = reader.varint();
                let _ = reader.text("text", 10);
            }
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let bytes = sealed(|out| out.extend([0xff; 9].iter().chain(&[0x02])));
        let error = ByteReader::open(&bytes, 7).unwrap().varint().unwrap_err();
        assert_eq!(error, DecodeError::Invalid { what: "a varint", at: 1 });
    }

    #[test]
    fn damage_is_named() {
        let mut bytes = sealed(|out| put_text(out, "hello"));
        assert!(matches!(
            ByteReader::open(&bytes, 8),
            Err(DecodeError::Version { found: 7, known: 8 })
        ));
        bytes[3] ^= 1;
        assert!(matches!(ByteReader::open(&bytes, 7), Err(DecodeError::Checksum { .. })));
        assert!(matches!(ByteReader::open(&[1, 2], 7), Err(DecodeError::Truncated { .. })));
    }
}
