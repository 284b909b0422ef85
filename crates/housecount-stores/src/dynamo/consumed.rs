//! Capacity units in DynamoDB's replies.

use aws_sdk_dynamodb::types::ConsumedCapacity;
use housecount_core::units::Units;

/// Units of writes, from their replies.
pub fn written<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> Units {
    Units::writes(halves(consumed) / 2)
}

/// Units of reads, from their replies.
pub fn read<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> Units {
    Units { writes: 0, read_halves: halves(consumed) }
}

/// Sums units in halves. Replies have floats, but always multiples of a half.
fn halves<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> u64 {
    let halves = consumed
        .into_iter()
        .filter_map(|consumed| consumed.capacity_units)
        .map(|units| units * 2.0);
    halves.map(|halves| halves.round() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_several_replies_add_up() {
        let reply = |units| ConsumedCapacity::builder().capacity_units(units).build();
        assert_eq!(written(&[reply(3.0), reply(2.0)]), Units { writes: 5, read_halves: 0 });
        assert_eq!(read(&[reply(0.5), reply(1.5)]), Units { writes: 0, read_halves: 4 });
        assert_eq!(read(&[ConsumedCapacity::builder().build()]), Units::default());
    }
}
