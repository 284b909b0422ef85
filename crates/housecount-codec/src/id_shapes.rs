//! Ids packed by their shape, because ids are most of the ledger's bytes.
//!
//! Ids of one length that one program made have the same shape. A UUID is 32 hexadecimal digits
//! with hyphens in fixed places, and a prefix is always there. The shape is therefore written once
//! for every length in use, as runs of positions of one class. Every id then takes as many bits as
//! its classes leave open. A UUID takes 128 instead of 288, and 16 characters of base64url take 96.
//! An id without any shape takes its bytes.
//!
//! ```text
//! varint  number of different lengths; then for each, ascending:
//!   varint  the length in bytes
//!   runs until the length is filled: u8 class, varint number of positions,
//!                                    and for class 0 the bytes themselves
//! ```
//! In the bits, each id has the index of its length (minimal). Then each position that is not of
//! class 0 has the byte's index in its class (minimal).

use std::collections::BTreeMap;

use crate::bits::{BitReader, BitWriter};
use crate::bytes::{ByteReader, DecodeError, put_varint};

/// Classes by number, each a list of ranges of bytes in the order of their indices. Class 0 is one
/// known byte. A smaller class comes before a larger one that contains it, so that the first one
/// that fits is the best.
const CLASSES: [&[(u8, u8)]; 9] = [
    &[],
    &[(b'0', b'9')],
    &[(b'0', b'9'), (b'a', b'f')],
    &[(b'0', b'9'), (b'A', b'F')],
    &[(b'0', b'9'), (b'a', b'z')],
    &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')],
    &[(b'-', b'-'), (b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')],
    &[(b' ', b'~')],
    &[(0, 255)],
];
/// Class of one fixed byte.
const FIXED: u8 = 0;

/// Bytes of a class, with look-ups in both directions.
#[derive(Debug)]
struct CharClass {
    size: u64,
    /// Index of each byte, or -1.
    index: [i16; 256],
    /// Byte of each index.
    byte: [u8; 256],
}

static TABLES: std::sync::LazyLock<Vec<CharClass>> =
    std::sync::LazyLock::new(|| CLASSES.map(class).into());

fn class(ranges: &[(u8, u8)]) -> CharClass {
    let mut class = CharClass { size: 0, index: [-1; 256], byte: [0; 256] };
    for byte in ranges.iter().flat_map(|(first, last)| *first..=*last) {
        class.index[usize::from(byte)] = class.size as i16;
        class.byte[class.size as usize] = byte;
        class.size += 1;
    }
    class
}

/// Shape of ids of one length: the class of each position, and its byte if that is fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct IdShape {
    positions: Vec<(u8, u8)>,
}

impl IdShape {
    /// Returns the shape that takes the fewest bits for `count` ids, given the bytes seen at each
    /// position.
    ///
    /// There are three candidates: each position's own class, one class for all positions that are
    /// not fixed, and one class for all positions. The last two are better if there are so few ids
    /// that several classes cost more bits than they save.
    fn of(seen: &[[bool; 256]], count: u64) -> IdShape {
        let own: Vec<(u8, u8)> = seen.iter().map(classify).collect();
        let is_open = |(_, (class, _)): &(&[bool; 256], &(u8, u8))| *class != FIXED;
        let of_open = at_least_a_class(classify(&either(
            seen.iter().zip(&own).filter(is_open).map(|(s, _)| s),
        )));
        let of_all = at_least_a_class(classify(&either(seen.iter())));
        let coarse = own.iter().map(|p| if p.0 == FIXED { *p } else { (of_open, 0) }).collect();
        let flat = vec![(of_all, 0); seen.len()];
        let shapes = [own.clone(), coarse, flat].map(|positions| IdShape { positions });
        let [first, rest @ ..] = shapes;
        rest.into_iter().fold(first, |best, shape| {
            if shape.bits(count) < best.bits(count) { shape } else { best }
        })
    }

    /// Returns about how many bits the shape and `count` ids take.
    fn bits(&self, count: u64) -> u64 {
        let of_one =
            |(class, _): &(u8, u8)| u64::from(TABLES[usize::from(*class)].size.max(1).ilog2());
        let mut head = Vec::new();
        self.put(&mut head);
        8 * head.len() as u64 + count * self.positions.iter().map(of_one).sum::<u64>()
    }

    fn put(&self, head: &mut Vec<u8>) {
        for run in self.positions.chunk_by(|a, b| a.0 == b.0) {
            head.push(run[0].0);
            put_varint(head, run.len() as u64);
            if run[0].0 == FIXED {
                head.extend(run.iter().map(|(_, byte)| byte));
            }
        }
    }

    fn get(head: &mut ByteReader<'_>, length: usize) -> Result<IdShape, DecodeError> {
        let mut positions = Vec::with_capacity(length);
        while positions.len() < length {
            let at = head.at();
            let wrong = DecodeError::Invalid { what: "a run of positions", at };
            let class = head.byte()?;
            let run = usize::try_from(head.varint()?).map_err(|_| wrong)?;
            if usize::from(class) >= CLASSES.len() || run == 0 || run > length - positions.len() {
                return Err(wrong);
            }
            if class == FIXED {
                positions.extend(head.take(run)?.iter().map(|byte| (FIXED, *byte)));
            } else {
                positions.extend(std::iter::repeat_n((class, 0), run));
            }
        }
        Ok(IdShape { positions })
    }
}

/// Returns the bytes that are in any of these sets.
fn either<'a>(sets: impl Iterator<Item = &'a [bool; 256]>) -> [bool; 256] {
    sets.fold([false; 256], |all, set| std::array::from_fn(|byte| all[byte] || set[byte]))
}

/// Returns the first class that contains all these bytes.
fn classify(seen: &[bool; 256]) -> (u8, u8) {
    let mut bytes = (0..=255u8).filter(|byte| seen[usize::from(*byte)]);
    match (bytes.next(), bytes.next()) {
        (None, _) => return (FIXED, 0),
        (Some(only), None) => return (FIXED, only),
        _ => {}
    }
    let holds = |class: &CharClass| (0..256).all(|byte| !seen[byte] || class.index[byte] >= 0);
    let class = TABLES.iter().skip(1).position(holds).map_or(CLASSES.len() - 1, |i| i + 1);
    (class as u8, 0)
}

/// Returns a class for positions of several bytes, even if only one of them is in use.
fn at_least_a_class((class, _): (u8, u8)) -> u8 {
    if class == FIXED { CLASSES.len() as u8 - 1 } else { class }
}

/// Shapes of a list of ids, by length.
#[derive(Debug)]
pub struct Shapes {
    by_length: Vec<(usize, IdShape)>,
}

impl Shapes {
    /// Returns the shapes of these ids. It reads them one by one and does not hold them, because
    /// there may be a million.
    pub fn of(ids: impl Iterator<Item = impl AsRef<str>>) -> Shapes {
        let mut groups: BTreeMap<usize, (Vec<[bool; 256]>, u64)> = BTreeMap::new();
        for id in ids {
            let id = id.as_ref().as_bytes();
            let (seen, count) =
                groups.entry(id.len()).or_insert_with(|| (vec![[false; 256]; id.len()], 0));
            seen.iter_mut().zip(id).for_each(|(seen, byte)| seen[usize::from(*byte)] = true);
            *count += 1;
        }
        let shape = |(length, (seen, count)): (usize, (Vec<[bool; 256]>, u64))| {
            (length, IdShape::of(&seen, count))
        };
        Shapes { by_length: groups.into_iter().map(shape).collect() }
    }

    /// Returns whether there were no ids.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_length.is_empty()
    }

    /// Returns whether all ids of the list are the same one, and so take no bits.
    #[must_use]
    pub fn is_one_id(&self) -> bool {
        self.by_length.len() == 1
            && self.by_length[0].1.positions.iter().all(|(class, _)| *class == FIXED)
    }

    /// Returns the maximum number of bits of an id.
    #[must_use]
    pub fn bits_max(&self) -> u64 {
        let of_one = |(class, _): &(u8, u8)| match *class {
            FIXED => 0,
            class => u64::from(TABLES[usize::from(class)].size.next_power_of_two().ilog2()),
        };
        let of_shape =
            |(_, shape): &(usize, IdShape)| shape.positions.iter().map(of_one).sum::<u64>();
        self.by_length.iter().map(of_shape).max().unwrap_or(0) + 8
    }

    /// Appends the shapes.
    pub fn put(&self, head: &mut Vec<u8>) {
        put_varint(head, self.by_length.len() as u64);
        for (length, shape) in &self.by_length {
            put_varint(head, *length as u64);
            shape.put(head);
        }
    }

    /// Reads shapes of ids with at most `bytes_max` bytes.
    ///
    /// # Errors
    /// Returns a `DecodeError` that names the invalid part.
    pub fn get(head: &mut ByteReader<'_>, bytes_max: usize) -> Result<Shapes, DecodeError> {
        let mut by_length: Vec<(usize, IdShape)> = Vec::new();
        for _ in 0..head.varint()? {
            let at = head.at();
            let length = usize::try_from(head.varint()?).ok().filter(|length| *length <= bytes_max);
            let length = length.ok_or(DecodeError::Invalid { what: "the length of ids", at })?;
            if by_length.last().is_some_and(|(last, _)| *last >= length) {
                return Err(DecodeError::Invalid { what: "the order of lengths", at });
            }
            by_length.push((length, IdShape::get(head, length)?));
        }
        Ok(Shapes { by_length })
    }

    /// Writes an id of the list that the shapes were made of.
    pub fn write(&self, id: &str, bits: &mut BitWriter) {
        let Ok(which) = self.by_length.binary_search_by_key(&id.len(), |(length, _)| *length)
        else {
            debug_assert!(false, "an id that is not of these shapes");
            return;
        };
        bits.minimal(which as u64, self.by_length.len() as u64);
        for (byte, (class, _)) in id.bytes().zip(&self.by_length[which].1.positions) {
            if *class != FIXED {
                let class = &TABLES[usize::from(*class)];
                bits.minimal(class.index[usize::from(byte)].max(0) as u64, class.size);
            }
        }
    }

    /// Reads an id. `what` names it in an error.
    ///
    /// # Errors
    /// Returns `Truncated`, or `Invalid` if the id is not UTF-8.
    pub fn read(
        &self,
        bits: &mut BitReader<'_>,
        what: &'static str,
    ) -> Result<Box<str>, DecodeError> {
        Ok(self.read_into(bits, what, &mut Vec::new())?.into())
    }

    /// Reads an id into a buffer.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn read_into<'b>(
        &self,
        bits: &mut BitReader<'_>,
        what: &'static str,
        id: &'b mut Vec<u8>,
    ) -> Result<&'b str, DecodeError> {
        let which = bits.minimal(self.by_length.len() as u64)? as usize;
        let (_, shape) = &self.by_length[which];
        id.clear();
        for (class, byte) in &shape.positions {
            id.push(match *class {
                FIXED => *byte,
                class => {
                    let class = &TABLES[usize::from(class)];
                    class.byte[bits.minimal(class.size)? as usize]
                }
            });
        }
        std::str::from_utf8(id).map_err(|_| DecodeError::Invalid { what, at: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::seal;
    use proptest::prelude::*;

    fn round_trip(ids: &[String]) -> usize {
        let shapes = Shapes::of(ids.iter().map(String::as_str));
        let (mut head, mut bits) = (vec![1], BitWriter::default());
        shapes.put(&mut head);
        ids.iter().for_each(|id| shapes.write(id, &mut bits));
        let bits = bits.finish();
        let size = head.len() - 1 + bits.len();
        seal(&mut head);
        let mut reader = ByteReader::open(&head, 1).unwrap();
        let shapes = Shapes::get(&mut reader, 256).unwrap();
        reader.finish().unwrap();
        let mut reader = BitReader::new(&bits);
        for id in ids {
            assert_eq!(*shapes.read(&mut reader, "an id").unwrap(), **id);
        }
        size
    }

    proptest! {
        #[test]
        fn ids_round_trip(ids in proptest::collection::vec("[a-z]{0,3}|[0-9a-f]{8}-[0-9a-f]{4}|\\PC{0,20}|user-[0-9]{1,6}", 1..40)) {
            round_trip(&ids);
        }
    }

    #[test]
    fn ids_take_what_their_shape_leaves_open() {
        let uuid = |n: u64| {
            let x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!(
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                x >> 32,
                x & 0xffff,
                n % 65_521,
                x >> 48,
                x >> 16
            )
        };
        let uuids: Vec<String> = (0..1_000).map(uuid).collect();
        let size = round_trip(&uuids);
        assert!((15_000..16_100).contains(&size), "{size}");
        let numbered: Vec<String> = (100_000..101_000).map(|n| format!("user-{n}")).collect();
        let size = round_trip(&numbered);
        assert!(size < 1_400, "{size}");
        assert!(round_trip(&["only-me".to_string()]) <= 11);
        assert!(round_trip(&["ann".to_string(), "bob".to_string()]) <= 12);
    }

    #[test]
    fn every_class_is_tried_before_a_greater_one_that_holds_it() {
        for (i, class) in TABLES.iter().enumerate().skip(1) {
            for greater in &TABLES[i + 1..] {
                assert!(class.size <= greater.size);
            }
        }
    }
}
