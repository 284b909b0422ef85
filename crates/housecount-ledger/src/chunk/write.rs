//! Encoding of a chunk.

use housecount_codec::bits::{BitWriter, rice_parameter};
use housecount_codec::bytes::{put_text, put_varint, seal};
use housecount_codec::id_shapes::Shapes;

use super::{ChangedEntry, Chunk, LateSpan, VERSION, VERSION_OF_LABELS};

impl Chunk {
    /// Returns the bytes of the chunk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let from = self.window.from;
        let joins = self.new.iter().take_while(|new| new.is_join()).count();
        let has_labels = self.all_label_sets() > 0;
        let mut out = vec![if has_labels { VERSION_OF_LABELS } else { VERSION }];
        let mut put = |n: u64| put_varint(&mut out, n);
        put(from.0);
        put(self.window.ms());
        put(from.since(self.since));
        put(self.previous.map_or(0, |link| from.since(link.from)));
        if let Some(link) = self.previous {
            out.extend_from_slice(&link.crc.to_le_bytes());
        }
        let counts = [
            self.kept_ms,
            self.reach_ms,
            u64::from(self.known_stages),
            u64::from(self.known_entries),
            self.stages.len() as u64,
            self.open.len() as u64,
            self.closed.len() as u64,
            joins as u64,
            (self.new.len() - joins) as u64,
            self.late.len() as u64,
            self.short.len() as u64,
        ];
        counts.iter().for_each(|n| put_varint(&mut out, *n));
        if has_labels {
            put_varint(&mut out, u64::from(self.known_label_sets));
            put_varint(&mut out, self.label_sets.len() as u64);
            self.label_sets.iter().for_each(|labels| put_text(&mut out, labels.as_str()));
        }
        let mut out = self.put_bits(joins, out);
        seal(&mut out);
        out
    }

    /// Writes the rest of the head, and the bits after it.
    fn put_bits(&self, joins: usize, mut head: Vec<u8>) -> Vec<u8> {
        let window_ms = self.window.ms();
        let of_ranks = |count: usize, last: Option<u32>| {
            rice_parameter(count as u64, u64::from(last.unwrap_or_default()))
        };
        let parameter = |changed: &[ChangedEntry]| {
            of_ranks(changed.len(), changed.last().map(|last| last.rank))
        };
        let last_join = self.new.iter().nth(joins.wrapping_sub(1));
        let last_start =
            last_join.map_or(0, |new| self.new.toggles(new).first().copied().unwrap_or(0));
        let of_open = parameter(&self.open);
        let of_closed = parameter(&self.closed);
        let of_joins = rice_parameter(joins as u64, u64::from(last_start));
        let of_short = of_ranks(self.short.len(), self.short.last().copied());
        head.extend([of_open as u8, of_closed as u8, of_joins as u8, of_short as u8]);
        let stage_names = shapes(self.stages.iter(), &mut head);
        let viewer_names = shapes(self.new.iter().map(|new| self.new.viewer(new)), &mut head);
        let stages = u64::from(self.known_stages) + self.stages.len() as u64;
        // About the size of the bits, so that a million entries don't allocate twice as much.
        let bits_each = viewer_names.bits_max() + u64::from(stages.max(1).ilog2() + of_joins) + 5;
        head.reserve_exact((self.new.len() as u64 * bits_each / 8) as usize);
        let mut bits = BitWriter::behind(head);
        let bits = &mut bits;
        for stage in &self.stages {
            stage_names.write(stage, bits);
        }
        for (changed, k) in [(&self.open, of_open), (&self.closed, of_closed)] {
            let mut next = 0;
            for ChangedEntry { rank, toggles } in changed {
                bits.rice(u64::from(rank - next), k);
                next = rank + 1;
                put_toggles(toggles, 0, window_ms, bits);
            }
        }
        let (mut start, label_sets) = (0, self.all_label_sets());
        for new in self.new.iter() {
            if let [first, further @ ..] = &self.new.toggles(new)[..] {
                let first = u64::from(*first);
                bits.rice(first - start, of_joins);
                start = first;
                put_more(start, !further.is_empty(), window_ms, bits);
                put_toggles(further, start + 1, window_ms, bits);
            }
            bits.minimal(u64::from(new.stage), stages);
            if label_sets > 0 {
                bits.minimal(u64::from(new.labels.number()), label_sets + 1);
                if !new.is_join() {
                    bits.plain(u64::from(new.labels.is_extra()), 1);
                }
            }
            viewer_names.write(&self.new.viewer(new), bits);
        }
        let entries = u64::from(self.known_entries) + self.new.len() as u64;
        for LateSpan { entry, span } in &self.late {
            let before_ms = self.window.from.since(span.from);
            bits.minimal(u64::from(*entry), entries);
            bits.minimal(before_ms - 1, self.kept_ms);
            bits.minimal(span.ms() - 1, before_ms);
        }
        let mut next = 0;
        for rank in &self.short {
            bits.rice(u64::from(rank - next), of_short);
            next = rank + 1;
        }
        std::mem::take(bits).finish()
    }
}

fn shapes(ids: impl Iterator<Item = impl AsRef<str>>, head: &mut Vec<u8>) -> Shapes {
    let shapes = Shapes::of(ids);
    if !shapes.is_empty() {
        shapes.put(head);
    }
    shapes
}

/// Writes a bit that tells whether another toggle follows the one at `at`, unless no other is
/// possible.
fn put_more(at: u64, more: bool, window_ms: u64, bits: &mut BitWriter) {
    if at + 1 < window_ms {
        bits.plain(u64::from(more), 1);
    }
}

/// Writes toggles from `lowest` on, if there are any.
fn put_toggles(toggles: &[u32], mut lowest: u64, window_ms: u64, bits: &mut BitWriter) {
    for (i, toggle) in toggles.iter().map(|toggle| u64::from(*toggle)).enumerate() {
        bits.minimal(toggle - lowest, window_ms - lowest);
        put_more(toggle, i + 1 < toggles.len(), window_ms, bits);
        lowest = toggle + 1;
    }
}
