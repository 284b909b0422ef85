//! The audience: the id and the heartbeat of viewer `n`, the same in every load.

/// Returns the version 4 UUID of viewer `n`, always the same one.
pub fn id(n: usize) -> String {
    let (a, b) = (mix(n as u64 * 2), mix(n as u64 * 2 + 1));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        0x8000 | b >> 48 & 0x3fff,
        b & 0xffff_ffff_ffff
    )
}

/// Returns the heartbeat of viewer `n` of an audience on this many stages: 80 bytes.
pub fn beat(n: usize, stages: usize) -> String {
    format!(r#"{{"stage":"{}","viewer":"{}"}}"#, stage(n, stages), id(n))
}

/// Returns the stage that viewer `n` is on.
pub fn stage(n: usize, stages: usize) -> String {
    format!("stage-{:014}", n % stages.max(1))
}

/// Returns a batch of heartbeats as a JSON array.
pub fn batch(viewers: impl Iterator<Item = usize>, stages: usize) -> String {
    let beats: Vec<String> = viewers.map(|n| beat(n, stages)).collect();
    format!("[{}]", beats.join(","))
}

/// SplitMix64's output function. Its values differ for all inputs and do not keep their order.
pub fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_as_the_docs_say() {
        assert_eq!(id(7).len(), 36);
        assert_eq!(beat(99_999, 10).len(), 80);
        let ids: std::collections::HashSet<String> = (0..100_000).map(id).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
