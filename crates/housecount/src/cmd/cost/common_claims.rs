//! Three figures from many design documents, beside the computed ones.

use housecount_core::units::Units;
use housecount_cost::plans;
use housecount_cost::prices::{CacheEngine, PriceList, RedisNode};
use housecount_cost::{Usd, own_usage};

use super::sheet::{Section, Sheet};

pub(super) fn part(sheet: &Sheet<'_>) -> Section {
    let (of, prices) = (&sheet.of, sheet.prices);
    let usd = |units: Units| prices.units(units, PriceList::Now);
    let before = |units: Units| prices.units(units, PriceList::Before);
    let beats = plans::batched(of).units();
    let claimed = plans::batched_as_claimed(of);
    let saved = 100 - claimed.writes.saturating_mul(100) / beats.writes.max(1);
    let batching = format!(
        "0 %: each item is rounded up to a KB, so {}. By the batch's size: {}, {saved} % less",
        usd(beats),
        usd(claimed)
    );
    let (counts, watch) = (plans::hybrid(of).units(), plans::watch_items(of));
    let records = format!(
        "{} for counts ({} until 2024-11); {} for one item per viewer every 5 min ({}); {} for housecount's ledger",
        usd(counts),
        before(counts),
        usd(watch),
        before(watch),
        usd(own_usage::ledger(of, &own_usage::Deployment::default()))
    );
    let month = |engine| {
        let is = |node: &&RedisNode| node.engine == engine && node.name == "cache.r6g.large";
        prices.node.iter().find(is).map_or(Usd(0), RedisNode::month)
    };
    let node = format!(
        "{} a month with Redis OSS, {} with Valkey",
        month(CacheEngine::Redis),
        month(CacheEngine::Valkey)
    );
    let row = |claim: &str, comes_to: String| vec![claim.to_string(), comes_to];
    Section {
        title: "What do design documents claim?",
        head: vec!["claim", "comes to"],
        rows: vec![
            row("25 heartbeats a batch save 60-80 % of the writes", batching),
            row("a sync every 5 min keeps watch records for $2 a month", records),
            row("a cache.r6g.large is $88 a month", node),
        ],
        notes: vec![format!(
            "For scale: IVS real-time is {} per participant-hour. So 1 % of wrong hours is {} a month here.",
            prices.ivs.participant_hour,
            Usd(prices.ivs.participant_hour.times(of.viewer_hours()).0 / 100)
        )],
    }
}
