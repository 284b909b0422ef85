//! Compares the version in force with the documented rule, and checks the bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const WINDOW_MS: u64 = 10;

fn config(customer: &str) -> StageConfig {
    StageConfig { stage: "s".into(), customer: Some(customer.into()), ..StageConfig::default() }
}

fn version(
    number: u32,
    changed_at: u64,
    effective_from: u64,
    customer: Option<&str>,
) -> ConfigVersion {
    let (changed_at, effective_from) = (UnixMs(changed_at), UnixMs(effective_from));
    ConfigVersion {
        stage: "s".into(),
        number,
        changed_at,
        effective_from,
        config: customer.map(config),
    }
}

fn last_two(versions: &[ConfigVersion]) -> &[ConfigVersion] {
    &versions[versions.len().saturating_sub(2)..]
}

/// Applies the rule literally. A window has the version in force at its end, or the last one before
/// a deletion within the window.
fn by_the_rule(changes: &[(u64, Option<String>)], window: u64) -> Option<String> {
    let until_end: Vec<_> = changes.iter().filter(|(at, _)| *at < window + WINDOW_MS).collect();
    match until_end.last()? {
        (_, Some(customer)) => Some(customer.clone()),
        (at, None) if *at >= window => {
            until_end.iter().rev().find_map(|(_, customer)| customer.clone())
        }
        (_, None) => None,
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Time passes.
    Pass(u64),
    /// A change to a customer, or a deletion.
    Change(Option<u8>),
    /// A change by a node whose clock is behind by this time.
    Lagging(u64, u8),
    /// The next window that has ended is committed.
    Commit,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..2 * WINDOW_MS).prop_map(Step::Pass),
        4 => proptest::option::weighted(0.7, 0..3u8).prop_map(Step::Change),
        1 => (0..5 * WINDOW_MS, 0..3u8).prop_map(|(by, customer)| Step::Lagging(by, customer)),
        2 => Just(Step::Commit),
    ];
    proptest::collection::vec(step, 0..60)
}

/// A stage whose configuration is changed while windows are committed.
#[derive(Default)]
struct World {
    now: u64,
    committed_to: u64,
    versions: Vec<ConfigVersion>,
    /// Customer exported for each window when it was committed.
    exported: BTreeMap<u64, Option<String>>,
}

impl World {
    fn change(&mut self, now: u64, customer: Option<String>) -> bool {
        let is_configured = self.versions.last().is_some_and(|last| last.config.is_some());
        if customer.is_none() && !is_configured {
            return false;
        }
        let time = ChangeTime {
            now: UnixMs(now),
            window_ms: WINDOW_MS,
            committed_to: UnixMs(self.committed_to),
        };
        let config = customer.as_deref().map(config);
        self.versions
            .push(ConfigVersion::after(last_two(&self.versions), "s", config, &time).unwrap());
        true
    }

    fn commit(&mut self) {
        if self.committed_to + WINDOW_MS <= self.now {
            let window = self.committed_to;
            self.exported.insert(window, self.of_window(window));
            self.committed_to += WINDOW_MS;
        }
    }

    /// Returns the customer of a window, and checks that the window has one configuration.
    fn of_window(&self, window: u64) -> Option<String> {
        let history = ConfigHistory::new(self.versions.clone());
        let pieces = history.pieces(Span::new(UnixMs(window), UnixMs(window + WINDOW_MS)));
        assert_eq!(pieces.len(), 1, "{:?}", self.versions);
        pieces[0].config.and_then(|config| config.customer.clone())
    }
}

proptest! {
    /// If changes come before the commits of their windows, each window has the version by the
    /// rule.
    #[test]
    fn each_window_has_the_version_of_the_rule(steps in steps()) {
        let (mut world, mut changes) = (World::default(), Vec::new());
        for step in steps {
            match step {
                Step::Pass(ms) => world.now += ms,
                Step::Change(customer) => {
                    let customer = customer.map(|n| format!("customer {n}"));
                    if world.change(world.now, customer.clone()) {
                        changes.push((world.now, customer));
                    }
                }
                Step::Lagging(..) => {}
                Step::Commit => world.commit(),
            }
        }
        for window in (0..=world.now + 2 * WINDOW_MS).step_by(WINDOW_MS as usize) {
            prop_assert_eq!(world.of_window(window), by_the_rule(&changes, window), "window {} of {:?}", window, changes);
        }
        prop_assert_eq!(ConfigHistory::new(world.versions).faults(), []);
    }

    /// After any changes, also by clocks that are behind, a committed window keeps its exported
    /// customer.
    #[test]
    fn a_committed_window_never_changes(steps in steps()) {
        let mut world = World::default();
        for step in steps {
            match step {
                Step::Pass(ms) => world.now += ms,
                Step::Change(customer) => {
                    world.change(world.now, customer.map(|n| format!("customer {n}")));
                }
                Step::Lagging(by, n) => {
                    world.change(world.now.saturating_sub(by), Some(format!("customer {n}")));
                }
                Step::Commit => world.commit(),
            }
            for (window, customer) in &world.exported {
                prop_assert_eq!(&world.of_window(*window), customer, "{}: {:?}", window, world.versions);
            }
        }
        prop_assert_eq!(ConfigHistory::new(world.versions).faults(), []);
    }

    /// Pieces tile the range, and each has the configuration in force at each of its milliseconds.
    #[test]
    fn pieces_are_what_is_in_force(
        versions in proptest::collection::vec((0..50u64, proptest::option::of(0..3u8)), 0..8),
        from in 0..50u64, ms in 1..30u64,
    ) {
        let versions = versions.into_iter().zip(1..).map(|((from, customer), number)| {
            version(number, 0, from, customer.map(|n| format!("customer {n}")).as_deref())
        });
        let history = ConfigHistory::new(versions.collect());
        let range = Span::new(UnixMs(from), UnixMs(from + ms));
        let pieces = history.pieces(range);
        prop_assert_eq!(pieces[0].from, range.from);
        for at in (range.from.0..range.to.0).map(UnixMs) {
            let piece = pieces.iter().rev().find(|piece| piece.from <= at).unwrap();
            prop_assert_eq!(piece.config, history.in_force(at));
        }
        prop_assert!(pieces.windows(2).all(|two| two[0].config != two[1].config));
    }
}

/// Frozen: stored data has these items.
#[test]
fn items_are_frozen() {
    let config = StageConfig {
        stage: "s/1".into(),
        name: Some("The final".into()),
        customer: Some("ACME".into()),
        tags: BTreeMap::from([("sport".into(), "chess".into())]),
        public_count: None,
        created_at: UnixMs(1_789_999_000_000),
    };
    let changed = ConfigVersion {
        stage: "s/1".into(),
        number: 2,
        changed_at: UnixMs(1_790_000_123_456),
        effective_from: UnixMs(1_790_000_100_000),
        config: Some(config),
    };
    let text = |text: &str| Attr::S(text.to_string());
    let item = |attributes: &[(&str, Attr)]| -> Item {
        attributes.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
    };
    let as_stored = item(&[
        ("stageArn", text("s/1")),
        ("version", Attr::N(2)),
        ("changedAt", Attr::N(1_790_000_123_456)),
        ("effectiveFrom", Attr::N(1_790_000_100_000)),
        ("createdAt", Attr::N(1_789_999_000_000)),
        ("name", text("The final")),
        ("customer", text("ACME")),
        ("tags", Attr::StringMap(BTreeMap::from([("sport".into(), "chess".into())]))),
    ]);
    assert_eq!(changed.to_item(), as_stored);
    assert_eq!(ConfigVersion::from_item(&as_stored), Ok(changed.clone()));
    let deleted = ConfigVersion { number: 3, config: None, ..changed };
    let as_stored = item(&[
        ("stageArn", text("s/1")),
        ("version", Attr::N(3)),
        ("changedAt", Attr::N(1_790_000_123_456)),
        ("effectiveFrom", Attr::N(1_790_000_100_000)),
        ("deleted", Attr::Bool(true)),
    ]);
    assert_eq!(deleted.to_item(), as_stored);
    assert_eq!(ConfigVersion::from_item(&as_stored), Ok(deleted));
    for name in ["stageArn", "version", "changedAt", "effectiveFrom"] {
        let mut damaged = as_stored.clone();
        damaged.remove(name);
        assert_eq!(ConfigVersion::from_item(&damaged).unwrap_err().name, name);
    }
}

#[test]
fn stage_versions_max_has_a_last_one_for_a_deletion() {
    let time = ChangeTime { now: UnixMs(7), window_ms: WINDOW_MS, committed_to: UnixMs::ZERO };
    let after = |number: u32, customer: Option<&str>| {
        let last = [version(number, 5, 0, Some("ACME"))];
        ConfigVersion::after(&last, "s", customer.map(config), &time).map(|next| next.number)
    };
    let full = |versions| Err(TooManyVersions { versions });
    assert_eq!(after(STAGE_VERSIONS_MAX - 2, Some("OTHER")), Ok(STAGE_VERSIONS_MAX - 1));
    assert_eq!(after(STAGE_VERSIONS_MAX - 1, Some("OTHER")), full(STAGE_VERSIONS_MAX - 1));
    assert_eq!(after(STAGE_VERSIONS_MAX - 1, None), Ok(STAGE_VERSIONS_MAX));
    let deleted = [version(STAGE_VERSIONS_MAX, 5, 0, None)];
    let again = ConfigVersion::after(&deleted, "s", Some(config("OTHER")), &time);
    assert_eq!(again, Err(TooManyVersions { versions: STAGE_VERSIONS_MAX }));
}

/// A configuration stored before there were versions applies to all time, until it is changed.
#[test]
fn a_baseline_applies_to_all_time() {
    let baseline =
        ConfigVersion::baseline(StageConfig { created_at: UnixMs(25), ..config("ACME") });
    let time = ChangeTime { now: UnixMs(47), window_ms: WINDOW_MS, committed_to: UnixMs(30) };
    let next =
        ConfigVersion::after(std::slice::from_ref(&baseline), "s", Some(config("OTHER")), &time)
            .unwrap();
    assert_eq!((next.number, next.changed_at, next.effective_from), (2, UnixMs(47), UnixMs(40)));
    let history = ConfigHistory::new(vec![next, baseline]);
    let customer = |at| history.in_force(UnixMs(at)).and_then(|config| config.customer.as_deref());
    assert_eq!([0, 39, 40].map(customer), [Some("ACME"), Some("ACME"), Some("OTHER")]);
    assert_eq!(history.faults(), []);
}

#[test]
fn faults_are_named() {
    let faults = |versions: &[ConfigVersion]| -> Vec<String> {
        ConfigHistory::new(versions.to_vec()).faults().iter().map(ToString::to_string).collect()
    };
    let good =
        [version(1, 5, 0, Some("ACME")), version(2, 7, 10, None), version(3, 8, 0, Some("OTHER"))];
    assert_eq!(
        faults(&good),
        Vec::<String>::new(),
        "a stage may be configured again in the window of its deletion"
    );
    assert_eq!(
        faults(&good[1..]),
        ["version 1 is missing", "version 2 deletes a configuration that does not exist"]
    );
    assert_eq!(faults(&[version(5, 5, 0, Some("ACME"))]), ["versions 1 to 4 are missing"]);
    let late = "version 2 is earlier than the version that it follows";
    assert_eq!(faults(&[version(1, 5, 0, Some("ACME")), version(2, 4, 0, Some("OTHER"))]), [late]);
    assert_eq!(faults(&[version(1, 5, 10, Some("ACME")), version(2, 6, 0, Some("OTHER"))]), [late]);
    let twice = [version(1, 5, 0, Some("ACME")), version(2, 6, 10, None), version(3, 7, 10, None)];
    assert_eq!(faults(&twice), ["version 3 deletes a configuration that does not exist"]);
    let long = "c".repeat(257);
    let bounds = "version 1: customer has 257 bytes; at most 256 are allowed";
    assert_eq!(faults(&[version(1, 5, 0, Some(&long))]), [bounds]);
    let many: Vec<_> =
        (1..=STAGE_VERSIONS_MAX + 1).map(|n| version(n, 5, 0, Some("ACME"))).collect();
    assert_eq!(faults(&many), ["there are 1001 versions; at most 1000 are allowed"]);
}
