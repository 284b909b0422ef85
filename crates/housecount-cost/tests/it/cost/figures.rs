//! The cost model against the consumption that the emulator counts. Run with:
//! `cargo test --release -p housecount-cost --test it -- --ignored --nocapture --test-threads 1 cost::figures`.
//! docs/COST.md shows what the tests print, by way of cmd/cost/measured.md.

use housecount_backend::cold::{Cold, Purpose};
use housecount_core::keys::Key;
use housecount_core::units::Units;
use housecount_cost::own_usage::{self, Deployment};
use housecount_cost::plans::{self, AudienceProfile};
use housecount_cost::prices::{DEFAULT_PRICES, PriceList};
use housecount_cost::{Prices, Usd};
use housecount_engine::ArchiveFormat;
use housecount_test::timed_test;

use crate::support::crowd::{Shape, USUAL};
use crate::support::hour::{Hour, SLOT_MS};
use crate::support::stage::HOUR_MS;

/// An audience of 10,000 players on 100 stages, from a seed. The players stay for 30 min, and beat
/// when the answers ask them to.
const CROWD: Shape = Shape { is_scheduled: true, ..USUAL };
/// Time in which the audience grows to its size.
const WARM_MS: u64 = 4 * HOUR_MS;

fn consumed(hour: &Hour) -> [Units; Purpose::ALL.len()] {
    Purpose::ALL.map(|purpose| hour.cold.meter().units(purpose))
}

struct Measured {
    /// Units of a month at this rate, by purpose.
    month: [Units; Purpose::ALL.len()],
    /// Averages during the measurement.
    of: AudienceProfile,
}

impl Measured {
    fn of(&self, purpose: Purpose) -> Units {
        self.month[purpose as usize]
    }
}

fn a_month(units: Units, ms: u64) -> Units {
    housecount_cost::bill::per_month(units, ms)
}

/// Runs for `ms`, and extrapolates the consumption to a month.
async fn measure(hour: &mut Hour, ms: u64) -> Measured {
    let (before, mut viewers) = (consumed(hour), 0);
    for _ in 0..ms / SLOT_MS {
        hour.slot().await;
        viewers += hour.viewers();
    }
    let mut month = consumed(hour);
    for (units, before) in month.iter_mut().zip(before) {
        *units = a_month(units.since(before), ms);
    }
    Measured {
        month,
        of: AudienceProfile { viewers: viewers / (ms / SLOT_MS), ..AudienceProfile::default() },
    }
}

fn prices() -> Prices {
    toml::from_str(DEFAULT_PRICES).unwrap()
}

/// Asserts that the model is within 3 % of the measurement, in write units and in money. Returns
/// the measured cost.
fn agree(what: &str, measured: Units, model: Units) -> Usd {
    let usd = |units| prices().units(units, PriceList::Now);
    let off = |measured: u64, model: u64| model as f64 / measured as f64 * 100.0 - 100.0;
    let (by_units, by_money) =
        (off(measured.writes, model.writes), off(usd(measured).0, usd(model).0));
    println!(
        "{what}: measured {} write units, {} read units, {}; model {}, {}, {}: {by_units:+.1} % of units written, {by_money:+.1} % of money",
        measured.writes,
        measured.read_halves / 2,
        usd(measured),
        model.writes,
        model.read_halves / 2,
        usd(model)
    );
    assert!(by_units.abs() <= 3.0 && by_money.abs() <= 3.0, "{what}");
    usd(measured)
}

/// Measures a day, which is one period of the ledger's keyframes and six of the archive's.
#[timed_test]
#[ignore = "a figure, and takes minutes"]
async fn our_own() {
    let mut hour = Hour::new(CROWD, true).await;
    hour.archive(ArchiveFormat::Packed);
    measure(&mut hour, WARM_MS).await;
    let measured = measure(&mut hour, 24 * HOUR_MS).await;
    let (of, setup) = (measured.of, Deployment::default());
    println!("{} viewers at once on average", of.viewers);
    let ledger = agree("ledger", measured.of(Purpose::Ledger), own_usage::ledger(&of, &setup));
    let archive = agree("archive", measured.of(Purpose::Archive), own_usage::archive(&of, &setup));
    let snapshots =
        agree("snapshots", measured.of(Purpose::Snapshots), own_usage::snapshots(&of, &setup));
    let leases = agree("leases", measured.of(Purpose::Leases), own_usage::leases(&setup, true));
    let all = ledger.plus(archive).plus(snapshots).plus(leases);
    println!("all of it: {all} a month of 730 h");
    assert!(ledger <= Usd(170_000) && archive <= Usd(350_000) && all <= Usd(1_200_000));
}

/// Measures an hour of the well-known plans, with the code that exists for them. One plan has
/// counts only, and one has an item per heartbeat.
#[timed_test]
#[ignore = "a figure, and takes minutes"]
async fn the_plans_that_people_know() {
    let mut hour = Hour::new(CROWD, false).await;
    measure(&mut hour, WARM_MS).await;
    let counts = measure(&mut hour, HOUR_MS).await;
    // The roster and the lease are ours; the plan has one count per stage.
    let model = plans::hybrid(&counts.of).units();
    let roster = own_usage::snapshots(&counts.of, &Deployment::default()).writes - model.writes;
    let measured = counts.of(Purpose::Snapshots);
    agree("hybrid: counts", Units::writes(measured.writes - roster), model);

    hour.archive(ArchiveFormat::Items);
    // The archive begins with the records that the log still has.
    measure(&mut hour, HOUR_MS / 4).await;
    let items = measure(&mut hour, HOUR_MS).await;
    println!("{} viewers at once on average", items.of.viewers);
    let heartbeats = items.of(Purpose::Archive);
    let batched = plans::batched(&items.of).units();
    agree("batched heartbeats", Units::writes(heartbeats.writes), batched);

    // The other half of pure DynamoDB is a consistent read for each heartbeat. Here the heartbeats
    // of half a minute are read.
    let before = hour.cold.meter().units(Purpose::Archive);
    let last = std::mem::take(&mut hour.last);
    for (at, stage, viewer) in &last {
        let key = Key::Heartbeat {
            stage: stage.clone(),
            at: *at,
            viewer: viewer.clone(),
            session: String::new(),
        };
        assert!(hour.cold.get(&key).await.unwrap().is_some());
    }
    let read = hour.cold.meter().units(Purpose::Archive).since(before);
    let reads =
        Units { writes: 0, read_halves: heartbeats.writes * read.read_halves / last.len() as u64 };
    let measured = Units::writes(heartbeats.writes).plus(reads);
    agree("pure DynamoDB", measured, plans::pure_dynamodb(&items.of).units());
}
