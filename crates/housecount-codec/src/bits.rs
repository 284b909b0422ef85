//! Bit codes: numbers in as many bits as they need, for chunks.
//!
//! Bits fill each byte from its low end. There are three codes:
//! - *plain*: `n` bits, low ones first.
//! - *minimal*: a number below `range`, all equally likely, in floor or ceiling of log2(`range`)
//!   bits (truncated binary). Let k = floor(log2 range) and u = 2^(k+1) - range. A value below u
//!   takes k bits. Any other value is written as value + u, its upper k bits first and then its
//!   lowest.
//! - *Rice*: a number that is likely small. `value >> k` one-bits and a zero-bit, then the low `k`
//!   bits. A quotient of 32 or more is 32 one-bits, then the value in 64 bits.

use crate::bytes::DecodeError;

/// Number of one-bits in a quotient after which the whole value follows.
const RICE_ESCAPE: u64 = 32;

/// Writer of bits.
#[derive(Debug, Default)]
pub struct BitWriter {
    out: Vec<u8>,
    pending: u64,
    filled: u32,
}

impl BitWriter {
    /// Creates a writer that appends to existing bytes.
    #[must_use]
    pub fn behind(out: Vec<u8>) -> BitWriter {
        BitWriter { out, pending: 0, filled: 0 }
    }

    /// Writes the low `n` bits of `value`, with `n` at most 32.
    #[inline]
    pub fn plain(&mut self, value: u64, n: u32) {
        debug_assert!(n <= 32 && value < 1 << n);
        self.pending |= value << self.filled;
        self.filled += n;
        if self.filled >= 32 {
            self.out.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.filled -= 32;
        }
    }

    #[inline]
    fn wide(&mut self, value: u64, n: u32) {
        let low = n.min(32);
        self.plain(value & ((1 << low) - 1), low);
        if n > 32 {
            self.plain(value >> 32, n - 32);
        }
    }

    /// Writes a number below `range`.
    #[inline]
    pub fn minimal(&mut self, value: u64, range: u64) {
        debug_assert!(value < range && range <= 1 << 48);
        let k = range.max(1).ilog2();
        let shorter = (2 << k) - range.max(1);
        if value < shorter {
            self.wide(value, k);
        } else {
            self.wide((value + shorter) >> 1, k);
            self.plain((value + shorter) & 1, 1);
        }
    }

    /// Writes a number that is likely small.
    #[inline]
    pub fn rice(&mut self, value: u64, k: u32) {
        let quotient = value >> k;
        if quotient >= RICE_ESCAPE {
            self.plain((1 << RICE_ESCAPE) - 1, RICE_ESCAPE as u32);
            return self.wide(value, 64);
        }
        self.plain((1 << quotient) - 1, quotient as u32);
        self.plain(0, 1);
        self.wide(value & ((1 << k) - 1), k);
    }

    /// Returns the bytes, the last one filled up with zeros.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let left = self.filled.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_le_bytes()[..left]);
        self.out
    }
}

/// Returns the Rice parameter for numbers with this count and sum. Two to its power is at most ln 2
/// times their mean.
#[must_use]
pub fn rice_parameter(count: u64, sum: u64) -> u32 {
    let mean = sum / count.max(1);
    (mean.saturating_mul(7) / 10).checked_ilog2().unwrap_or(0).min(30)
}

/// Reader of the bits that [`BitWriter`] wrote.
#[derive(Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    pending: u64,
    filled: u32,
}

impl<'a> BitReader<'a> {
    /// Creates a reader at the first bit.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader { bytes, at: 0, pending: 0, filled: 0 }
    }

    /// Returns the maximum number of bits left. No count of values that take a bit each can be
    /// greater.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.filled as u64 + 8 * (self.bytes.len() - self.at) as u64
    }

    #[inline]
    fn fill(&mut self) {
        match self.bytes.get(self.at..self.at + 4) {
            Some(word) => {
                let mut raw = [0; 4];
                raw.copy_from_slice(word);
                self.pending |= u64::from(u32::from_le_bytes(raw)) << self.filled;
                self.at += 4;
                self.filled += 32;
            }
            None => {
                while self.filled <= 32 && self.at < self.bytes.len() {
                    self.pending |= u64::from(self.bytes[self.at]) << self.filled;
                    self.at += 1;
                    self.filled += 8;
                }
            }
        }
    }

    /// Reads `n` bits, at most 32.
    ///
    /// # Errors
    /// Returns `Truncated` if fewer bits are left.
    #[inline]
    pub fn plain(&mut self, n: u32) -> Result<u64, DecodeError> {
        if self.filled < n {
            self.fill();
            if self.filled < n {
                return Err(DecodeError::Truncated { at: self.at });
            }
        }
        let value = self.pending & ((1 << n) - 1);
        self.pending >>= n;
        self.filled -= n;
        Ok(value)
    }

    #[inline]
    fn wide(&mut self, n: u32) -> Result<u64, DecodeError> {
        let low = self.plain(n.min(32))?;
        Ok(if n > 32 { low | self.plain(n - 32)? << 32 } else { low })
    }

    /// Reads a number below `range`.
    ///
    /// # Errors
    /// Returns `Truncated` if too few bits are left, and `Invalid` for a range that no writer has.
    #[inline]
    pub fn minimal(&mut self, range: u64) -> Result<u64, DecodeError> {
        if range == 0 || range > 1 << 48 {
            return Err(DecodeError::Invalid { what: "a range", at: self.at });
        }
        let k = range.ilog2();
        let shorter = (2 << k) - range;
        let value = self.wide(k)?;
        Ok(if value < shorter { value } else { (value << 1 | self.plain(1)?) - shorter })
    }

    /// Reads a number that is likely small.
    ///
    /// # Errors
    /// Returns `Truncated` if too few bits are left.
    #[inline]
    pub fn rice(&mut self, k: u32) -> Result<u64, DecodeError> {
        let mut quotient = 0;
        while self.plain(1)? == 1 {
            quotient += 1;
            if quotient == RICE_ESCAPE {
                return self.wide(64);
            }
        }
        Ok(quotient << k | self.wide(k)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_round_trip(values in proptest::collection::vec((any::<u64>(), 1u64..1 << 48, 0u32..31), 1..50)) {
            let mut bits = BitWriter::default();
            for (value, range, k) in &values {
                bits.plain(value & 0xff_ffff, 24);
                bits.minimal(value % range, *range);
                bits.rice(value % (50 << k), *k);
                bits.rice(*value, *k);
            }
            let bytes = bits.finish();
            let mut bits = BitReader::new(&bytes);
            for (value, range, k) in &values {
                prop_assert_eq!(bits.plain(24).unwrap(), value & 0xff_ffff);
                prop_assert_eq!(bits.minimal(*range).unwrap(), value % range);
                prop_assert_eq!(bits.rice(*k).unwrap(), value % (50 << k));
                prop_assert_eq!(bits.rice(*k).unwrap(), *value);
            }
            prop_assert!(bits.left() < 8);
        }

        #[test]
        fn any_bytes_are_an_error_or_a_number(bytes: Vec<u8>, k in 0u32..31, range: u64) {
            let mut bits = BitReader::new(&bytes);
            while bits.rice(k).is_ok() && bits.minimal(range).is_ok() && bits.left() > 0 {}
        }
    }

    #[test]
    fn minimal_takes_what_it_must() {
        let bits_of = |value, range| {
            let mut bits = BitWriter::default();
            (0..8).for_each(|_| bits.minimal(value, range));
            bits.finish().len()
        };
        assert_eq!((bits_of(0, 1), bits_of(0, 5), bits_of(4, 5), bits_of(63, 64)), (0, 2, 3, 6));
    }
}
