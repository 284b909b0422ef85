//! Choices: yes or no, in few bits if they are likely, by an adaptive binary range coder like that
//! of LZMA.
//!
//! Every choice has a [`BitModel`]. Writer and reader move it alike after each choice, by a 32nd of
//! the way to the chosen value. A choice that is always the same ends near a hundredth of a bit. A
//! carry changes bytes that were held back. So the first byte is always zero, and the last five
//! flush the rest.
//!
//! The same code handles both directions. A [`BitCoder`] that writes returns its argument, and one
//! that reads returns the value that it found.

use crate::bytes::DecodeError;

/// Bits of a probability.
const ODDS_BITS: u32 = 12;
/// Speed of the models: a probability moves by two to the power of minus this.
const MOVE_BITS: u32 = 5;
/// Minimum of the range.
const RANGE_MIN: u32 = 1 << 24;

/// Probability of a "no", in 4096ths.
#[derive(Clone, Copy, Debug)]
pub struct BitModel(u16);

impl Default for BitModel {
    fn default() -> BitModel {
        BitModel(1 << (ODDS_BITS - 1))
    }
}

impl BitModel {
    #[inline]
    fn bound(self, range: u32) -> u32 {
        (range >> ODDS_BITS) * u32::from(self.0)
    }

    #[inline]
    fn note(&mut self, yes: bool) {
        if yes {
            self.0 -= self.0 >> MOVE_BITS;
        } else {
            self.0 += ((1 << ODDS_BITS) - self.0) >> MOVE_BITS;
        }
    }
}

/// Writer or reader of choices.
pub trait BitCoder {
    /// Writes `yes` and returns it, or reads the choice.
    ///
    /// # Errors
    /// Returns `Truncated` if a reader has no bytes left.
    fn code_bit(&mut self, odds: &mut BitModel, yes: bool) -> Result<bool, DecodeError>;

    /// Writes or reads a number that is likely small. First comes the number of bits after its
    /// highest one, as a choice each. Then these bits follow, of which the upper two have models of
    /// their own.
    ///
    /// # Errors
    /// Returns `Truncated` if a reader has no bytes left.
    fn number(&mut self, odds: &mut NumberModel, value: u64) -> Result<u64, DecodeError> {
        let value = value.saturating_add(1);
        let mut bits = 0;
        while self.code_bit(&mut odds.length[bits], value.ilog2() as usize > bits)? {
            bits += 1;
            if bits == NUMBER_BITS_MAX {
                break;
            }
        }
        let mut found = 1u64;
        for bit in (0..bits).rev() {
            let mut even = BitModel::default();
            let odds = match bits - 1 - bit {
                0 => &mut odds.first[bits - 1],
                1 => &mut odds.second[bits - 1][(found & 1) as usize],
                _ => &mut even,
            };
            found = found << 1 | u64::from(self.code_bit(odds, value >> bit & 1 == 1)?);
        }
        Ok(found - 1)
    }

    /// Writes or reads a number of either sign that is likely near zero.
    ///
    /// # Errors
    /// Returns `Truncated` if a reader has no bytes left.
    fn signed(&mut self, odds: &mut SignedModel, value: i64) -> Result<i64, DecodeError> {
        if !self.code_bit(&mut odds.is_some, value != 0)? {
            return Ok(0);
        }
        let is_negative = self.code_bit(&mut odds.is_negative, value < 0)?;
        let by = &mut odds.by[usize::from(is_negative)];
        let off = self.number(by, value.unsigned_abs().saturating_sub(1))? as i64 + 1;
        Ok(if is_negative { -off } else { off })
    }
}

/// Maximum number of bits after a number's highest one.
const NUMBER_BITS_MAX: usize = 48;

/// Models for one kind of numbers.
#[derive(Clone, Debug)]
pub struct NumberModel {
    length: [BitModel; NUMBER_BITS_MAX],
    first: [BitModel; NUMBER_BITS_MAX],
    second: [[BitModel; 2]; NUMBER_BITS_MAX],
}

impl Default for NumberModel {
    fn default() -> NumberModel {
        NumberModel {
            length: [BitModel::default(); NUMBER_BITS_MAX],
            first: [BitModel::default(); NUMBER_BITS_MAX],
            second: [[BitModel::default(); 2]; NUMBER_BITS_MAX],
        }
    }
}

/// Models for one kind of numbers of either sign.
#[derive(Clone, Debug, Default)]
pub struct SignedModel {
    is_some: BitModel,
    is_negative: BitModel,
    by: [NumberModel; 2],
}

/// Range encoder, which writes choices.
#[derive(Debug)]
pub struct RangeEncoder {
    out: Vec<u8>,
    low: u64,
    range: u32,
    /// Byte that a carry may still change. `ones` is the number of bytes of ones that follow it.
    held: u8,
    ones: u64,
}

impl Default for RangeEncoder {
    fn default() -> RangeEncoder {
        RangeEncoder { out: Vec::new(), low: 0, range: u32::MAX, held: 0, ones: 0 }
    }
}

impl RangeEncoder {
    #[inline]
    fn shift(&mut self) {
        let (carry, byte) = ((self.low >> 32) as u8, (self.low >> 24) as u8);
        if byte == 0xff && carry == 0 {
            self.ones += 1;
        } else {
            self.out.push(self.held.wrapping_add(carry));
            for _ in 0..std::mem::take(&mut self.ones) {
                self.out.push(0xff_u8.wrapping_add(carry));
            }
            self.held = byte;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    /// Returns the bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        (0..5).for_each(|_| self.shift());
        self.out
    }
}

impl BitCoder for RangeEncoder {
    #[inline]
    fn code_bit(&mut self, odds: &mut BitModel, yes: bool) -> Result<bool, DecodeError> {
        let bound = odds.bound(self.range);
        if yes {
            self.low += u64::from(bound);
            self.range -= bound;
        } else {
            self.range = bound;
        }
        odds.note(yes);
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.shift();
        }
        Ok(yes)
    }
}

/// Range decoder, which reads the choices that [`RangeEncoder`] wrote.
#[derive(Debug)]
pub struct RangeDecoder<'a> {
    bytes: &'a [u8],
    at: usize,
    code: u32,
    range: u32,
}

impl<'a> RangeDecoder<'a> {
    /// Creates a reader at the first choice.
    ///
    /// # Errors
    /// Returns `Truncated` if there are fewer than five bytes.
    pub fn new(bytes: &'a [u8]) -> Result<RangeDecoder<'a>, DecodeError> {
        let mut reader = RangeDecoder { bytes, at: 0, code: 0, range: u32::MAX };
        for _ in 0..5 {
            reader.fill()?;
        }
        Ok(reader)
    }

    #[inline]
    fn fill(&mut self) -> Result<(), DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or(DecodeError::Truncated { at: self.at })?;
        self.code = self.code << 8 | u32::from(byte);
        self.at += 1;
        Ok(())
    }

    /// Checks that all bytes were read.
    ///
    /// # Errors
    /// Returns `Invalid` if some are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(DecodeError::Invalid { what: "bytes after the last choice", at: self.at })
    }
}

impl BitCoder for RangeDecoder<'_> {
    #[inline]
    fn code_bit(&mut self, odds: &mut BitModel, _: bool) -> Result<bool, DecodeError> {
        let bound = odds.bound(self.range);
        let yes = self.code >= bound;
        if yes {
            self.code -= bound;
            self.range -= bound;
        } else {
            self.range = bound;
        }
        odds.note(yes);
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.fill()?;
        }
        Ok(yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Chosen = (Vec<bool>, Vec<u64>, Vec<i64>);

    proptest! {
        #[test]
        fn choices_and_numbers_round_trip(
            choices in proptest::collection::vec((any::<bool>(), 0usize..3), 0..300),
            numbers in proptest::collection::vec(0u64..1 << 47, 0..100),
            signed in proptest::collection::vec(-(1i64 << 46)..1 << 46, 0..100),
        ) {
            fn go(chooser: &mut impl BitCoder, choices: &[(bool, usize)], numbers: &[u64], signed: &[i64])
                -> Result<Chosen, DecodeError>
            {
                let mut odds = [BitModel::default(); 3];
                let (mut of_numbers, mut of_signed) = (NumberModel::default(), SignedModel::default());
                Ok((
                    choices.iter().map(|(yes, which)| chooser.code_bit(&mut odds[*which], *yes)).collect::<Result<_, _>>()?,
                    numbers.iter().map(|n| chooser.number(&mut of_numbers, *n)).collect::<Result<_, _>>()?,
                    signed.iter().map(|n| chooser.signed(&mut of_signed, *n)).collect::<Result<_, _>>()?,
                ))
            }
            let mut writer = RangeEncoder::default();
            let written = go(&mut writer, &choices, &numbers, &signed).unwrap();
            let bytes = writer.finish();
            let blank: Vec<(bool, usize)> = choices.iter().map(|(_, which)| (false, *which)).collect();
            let mut reader = RangeDecoder::new(&bytes).unwrap();
            let read = go(&mut reader, &blank, &vec![0; numbers.len()], &vec![0; signed.len()]).unwrap();
            prop_assert_eq!(read, written);
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn any_bytes_are_an_error_or_choices(bytes: Vec<u8>) {
            if let Ok(mut reader) = RangeDecoder::new(&bytes) {
                let mut odds = SignedModel::default();
                for _ in 0..1_000 {
                    if reader.signed(&mut odds, 0).is_err() {
                        break;
                    }
                }
            }
        }
    }

    /// Frozen bytes, with a carry through held ones.
    #[test]
    fn choices_are_frozen() {
        let (mut writer, mut odds) = (RangeEncoder::default(), BitModel::default());
        for n in 0..64 {
            writer.code_bit(&mut odds, n % 5 != 0).unwrap();
        }
        let hex: String = writer.finish().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "007b25f36f6a7868fb8f80");
    }

    #[test]
    fn what_never_surprises_takes_next_to_nothing() {
        let (mut writer, mut odds) = (RangeEncoder::default(), BitModel::default());
        for _ in 0..100_000 {
            writer.code_bit(&mut odds, true).unwrap();
        }
        let bytes = writer.finish().len();
        assert!(bytes < 150, "{bytes}");
    }
}
