//! Services that are sold to count an audience, at their list prices.
//!
//! Each figure is computed from a list price: [`ManagedService::source`] names it and its date. The
//! prices marked as general knowledge were not seen in a stored page. None of the services has
//! housecount's ledger of watch time.

use super::money::Usd;
use super::plans::AudienceProfile;
use super::{MONTH_HOURS, share};

/// Service at its list price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedService {
    /// Name for people.
    pub name: &'static str,
    /// Cost of a month; `None` if the audience exceeds the largest plan that has a list price.
    pub month: Option<Usd>,
    /// Prices that the sum consists of.
    pub arithmetic: &'static str,
    /// Source of the prices and its date.
    pub source: &'static str,
}

/// Quantities of a month that services charge for.
struct Quantities {
    viewers: u64,
    stages: u64,
    minutes: u64,
    stays: u64,
    beats: u64,
}

/// Returns the cost of `n` at this price per million.
fn millions(n: u64, micros: u64) -> Usd {
    Usd(share(n, micros, 1_000_000))
}

/// Returns the sum of amounts.
fn sum(amounts: &[Usd]) -> Usd {
    amounts.iter().fold(Usd(0), |sum, amount| sum.plus(*amount))
}

const MONTH_SECONDS: u64 = MONTH_HOURS * 3_600;
/// Pusher's plans: concurrent connections, messages per day and price in dollars.
const PUSHER: [(u64, u64, u64); 7] = [
    (500, 1_000_000, 49),
    (2_000, 4_000_000, 99),
    (5_000, 10_000_000, 299),
    (10_000, 20_000_000, 499),
    (15_000, 40_000_000, 699),
    (20_000, 60_000_000, 899),
    (30_000, 90_000_000, 1_199),
];
/// Connections of Supabase's largest plan with a list price, and those included.
const SUPABASE_CONNECTIONS_MAX: u64 = 10_000;
const SUPABASE_CONNECTIONS: u64 = 500;
/// Connections of Ably's packages Standard and Pro.
const ABLY_STANDARD: u64 = 10_000;
const ABLY_PRO: u64 = 50_000;

/// Returns Cloudflare's services: objects that hibernate between messages, and objects that stay
/// awake.
fn cloudflare(of: &Quantities) -> [ManagedService; 2] {
    let hibernating = sum(&[
        Usd(5_000_000),
        millions(of.stays, 150_000 + 300_000),
        millions(of.stays.saturating_mul(2), 1_000_000),
    ]);
    // An object has 128 MB, and a GB-second is $12.50 per million.
    let awake = share(of.stages.saturating_mul(MONTH_SECONDS), 128 * 12_500, 1_000_000);
    let name = "Cloudflare Durable Objects";
    [
        ManagedService {
            name,
            month: Some(hibernating),
            arithmetic: "$5; per million: connects $0.15 + $0.30, rows $1.00 for a join and a leave",
            source: "requests: developers.cloudflare.com, undated copy; others general knowledge",
        },
        ManagedService {
            name: "the same, an object a stage awake",
            month: Some(hibernating.plus(Usd(awake))),
            arithmetic: "the same, and 0.128 GB a stage at $12.50 per million GB-seconds",
            source: "developers.cloudflare.com, undated copy",
        },
    ]
}

/// Returns the services of AWS.
fn aws(of: &Quantities) -> [ManagedService; 3] {
    let iot = sum(&[
        millions(of.minutes, 80_000),
        millions(of.stays.saturating_mul(3), 1_000_000),
        millions(of.stays.saturating_mul(2), 300_000 + 625_000),
    ]);
    let events = sum(&[millions(of.minutes, 80_000), millions(of.beats, 1_000_000)]);
    // Two messages per heartbeat. Those beyond a billion cost less.
    let messages = of.beats.saturating_mul(2);
    let (first, beyond) = (messages.min(1_000_000_000), messages.saturating_sub(1_000_000_000));
    let gateway = sum(&[
        millions(first, 1_000_000),
        millions(beyond, 800_000),
        millions(of.minutes, 250_000),
        millions(of.beats, 200_000),
    ]);
    [
        ManagedService {
            name: "AWS IoT Core, MQTT, last will, no heartbeats",
            month: Some(iot),
            arithmetic: "per million: minutes $0.08, 3 messages a stay $1.00, 2 rules $0.30, 2 writes $0.625",
            source: "free pings: aws.amazon.com/iot-core/pricing/additional-details, undated copy; prices general knowledge",
        },
        ManagedService {
            name: "AWS AppSync Events",
            month: Some(events),
            arithmetic: "per million: minutes $0.08, heartbeats $1.00",
            source: "minutes: aws.amazon.com/appsync/pricing, undated copy; heartbeats general knowledge",
        },
        ManagedService {
            name: "AWS API Gateway, WebSocket, and Lambda",
            month: Some(gateway),
            arithmetic: "per million: messages $1.00, then $0.80, minutes $0.25, calls $0.20; and a store",
            source: "$1.00: awsforengineers.com, 2025-05-19; $0.25: amnic.com, undated; others general knowledge",
        },
    ]
}

/// Returns Firebase and Supabase, which sell a database with presence.
fn databases(of: &Quantities) -> [ManagedService; 3] {
    // A handshake has 3.5 KB, a keep-alive each 45 s some 150 B, an acknowledged write some 500 B.
    let pings = share(of.viewers, MONTH_SECONDS, 45);
    let bytes = of.stays.saturating_mul(3_500 + 2 * 500).saturating_add(pings.saturating_mul(150));
    let beyond = of.viewers.saturating_sub(SUPABASE_CONNECTIONS).div_ceil(1_000);
    let supabase = |messages: u64| {
        let charged = messages.saturating_sub(5_000_000).div_ceil(1_000_000);
        let sum = Usd(25_000_000).plus(Usd(10_000_000).times(beyond));
        (of.viewers <= SUPABASE_CONNECTIONS_MAX).then(|| sum.plus(Usd(2_500_000).times(charged)))
    };
    let (joins, beats) = (of.stays.saturating_mul(2), of.beats);
    let arithmetic =
        "$25, $10 per 1,000 connections beyond 500, $2.50 per million messages beyond 5";
    let source = "messages: supabase.com/docs, undated copy; connections: its docs of 1.26.04";
    [
        ManagedService {
            name: "Firebase Realtime Database, onDisconnect",
            month: Some(Usd(share(bytes, 1_000_000, 1 << 30))),
            arithmetic: "$1 per GB: 3,500 B a connect, 1,000 B for join and leave, 150 B each 45 s (estimates)",
            source: "3,500 B: firebase.google.com/docs, undated copy; price and sizes general knowledge",
        },
        ManagedService {
            name: "Supabase Realtime, presence",
            month: supabase(joins),
            arithmetic,
            source,
        },
        ManagedService {
            name: "the same with heartbeats",
            month: supabase(joins.saturating_add(beats)),
            arithmetic,
            source,
        },
    ]
}

/// Returns the services that sell channels and messages.
fn channels(of: &Quantities) -> [ManagedService; 5] {
    let pusher = |messages: u64| {
        let a_day = share(messages, 24, MONTH_HOURS);
        let fits = |plan: &&(u64, u64, u64)| of.viewers <= plan.0 && a_day <= plan.1;
        PUSHER.iter().find(fits).map(|plan| Usd(1_000_000).times(plan.2))
    };
    let joins = of.stays.saturating_mul(2);
    let ably = |messages: u64| {
        let base = match of.viewers {
            0..ABLY_STANDARD => 29_000_000,
            ABLY_STANDARD..=ABLY_PRO => 399_000_000,
            _ => return None,
        };
        let channels = of.stages.saturating_mul(MONTH_HOURS * 60);
        Some(sum(&[
            Usd(base),
            millions(of.minutes.saturating_add(channels), 1_000_000),
            millions(messages, 2_500_000),
        ]))
    };
    let pusher_prices = "plan by connections and messages a day, $49 to $1,199";
    let pusher_source = "github.com/api-evangelist/pusher, plans, generated on 2026-05-08";
    let ably_prices = "$29 or $399; per million: minutes $1.00, messages $2.50";
    let ably_source = "base: ably.com/docs, undated copy, for older accounts; rates: github.com/api-evangelist/ably, 2026-05-08";
    let with_beats = joins.saturating_add(of.beats);
    let service =
        |name, month, arithmetic, source| ManagedService { name, month, arithmetic, source };
    [
        service("Pusher Channels, presence", pusher(joins), pusher_prices, pusher_source),
        service(
            "the same with heartbeats and answers",
            pusher(joins.saturating_add(of.beats.saturating_mul(2))),
            pusher_prices,
            pusher_source,
        ),
        service("Ably, presence", ably(joins), ably_prices, ably_source),
        service("the same with heartbeats", ably(with_beats), ably_prices, ably_source),
        service(
            "PubNub, a signal a heartbeat",
            Some(millions(of.beats, 8_000_000)),
            "$8 per million signals",
            "not confirmed; PubNub now sells by monthly users (github.com/api-evangelist/pubnub, 2026-05-08)",
        ),
    ]
}

/// Returns the services at list prices for an audience.
#[must_use]
pub fn services(of: &AudienceProfile) -> Vec<ManagedService> {
    let of = Quantities {
        viewers: of.viewers,
        stages: of.stages,
        minutes: of.viewer_hours().saturating_mul(60),
        stays: of.stays_a_month(),
        beats: of.beats_a_month(),
    };
    let mut all: Vec<ManagedService> = Vec::new();
    all.extend(cloudflare(&of));
    all.extend(aws(&of));
    all.extend(databases(&of));
    all.extend(channels(&of));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn month(viewers: u64, name: &str) -> Vec<Option<Usd>> {
        let of = AudienceProfile { viewers, ..AudienceProfile::default() };
        let all = services(&of);
        let at = all.iter().position(|service| service.name.starts_with(name)).unwrap();
        all[at..].iter().map(|service| service.month).take(2).collect()
    }

    /// 10,000 viewers: 438 million minutes, 14.6 million stays, 876 million heartbeats.
    #[test]
    fn sums_are_as_by_hand() {
        let dollars = |viewers, name| {
            let all = month(viewers, name).into_iter();
            all.map(|month| month.map(|usd| usd.0 / 1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(dollars(10_000, "Cloudflare"), [Some(40), Some(461)]);
        assert_eq!(dollars(10_000, "AWS IoT")[0], Some(105));
        assert_eq!(dollars(10_000, "AWS AppSync")[0], Some(911));
        assert_eq!(dollars(10_000, "AWS API Gateway")[0], Some(1_886));
        assert_eq!(dollars(10_000, "Firebase")[0], Some(142));
        assert_eq!(dollars(10_000, "Supabase"), [Some(187), Some(2_377)]);
        assert_eq!(dollars(10_000, "Pusher"), [Some(499), Some(899)]);
        assert_eq!(dollars(10_000, "Ably"), [Some(914), Some(3_104)]);
        assert_eq!(dollars(10_000, "PubNub")[0], Some(7_008));
        assert_eq!(dollars(9_999, "Ably")[0], Some(544));
        for name in ["Supabase", "Pusher", "Ably"] {
            assert_eq!(dollars(100_000, name), [None, None], "{name}");
        }
    }

    #[test]
    fn each_has_a_source_and_no_number_is_too_large() {
        let huge =
            AudienceProfile { viewers: u64::MAX, stages: u64::MAX, stay_ms: 1, interval_ms: 1 };
        for of in [AudienceProfile::default(), huge] {
            for service in services(&of) {
                let is_known = ["general knowledge", "not confirmed", "copy", "20"];
                assert!(is_known.iter().any(|word| service.source.contains(word)), "{service:?}");
            }
        }
    }
}
