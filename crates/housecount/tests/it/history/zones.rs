//! Exports by days and months of a time zone. Time watched on a day of 25 hours is on that day.

use std::path::Path;

use housecount_core::event::EventKind;
use housecount_core::time::UnixMs;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;

use crate::ledger::stage::{HOUR_MS, LoggedEvent, MINUTE_MS, Stage, TTL_MS, WINDOW_MS};
use crate::support::cold::FaultyCold;
use crate::support::node::housecount;

/// 2026-10-24T21:00:00Z: 23:00 in Berlin, an hour before its day of 25 hours.
pub const FROM: UnixMs = UnixMs(1_792_875_600_000);
/// An hour of the 24th, 25 of the 25th, and an hour of the 26th.
const HOURS: u64 = 27;

/// Stores a viewer who watches through all of it, in this folder.
pub async fn watched(folder: &Path) {
    let events = (0..=HOURS * HOUR_MS).step_by(MINUTE_MS as usize).map(|ms| LoggedEvent {
        at: FROM.plus(ms),
        logged: FROM.plus(ms + 10),
        kind: EventKind::Beat,
        stage: "s".into(),
        viewer: "ann".into(),
        session: String::new(),
    });
    let cold = SqliteCold::open(folder).unwrap();
    let stage = Stage { cold: FaultyCold::over(cold).into(), ..Stage::new(events.collect()).await };
    let mut node = stage.node().await;
    for n in 1..=HOURS * HOUR_MS / WINDOW_MS {
        let now = FROM.plus(n * WINDOW_MS + TTL_MS + 1_000);
        stage.hear(&mut node, now).await;
        node.commit(now).await.unwrap();
    }
}

fn export(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let cold = format!("embedded:{}", folder.display());
    let output = housecount()
        .args(["export", "--cold", &cold, "--out", "-"])
        .args(arguments)
        .output()
        .unwrap();
    let events = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(events).unwrap())
}

#[timed_test(flavor = "multi_thread")]
async fn days_and_months_of_a_zone() {
    let folder = tempfile::tempdir().unwrap();
    watched(folder.path()).await;
    let exported = |arguments: &[&str]| {
        let (code, events) = export(folder.path(), arguments);
        assert_eq!(code, 0, "{events}");
        events
    };
    let berlin =
        ["--tz", "Europe/Berlin", "--from", "2026-10-24", "--to", "2026-10-26", "--partial"];
    let days = exported(&[&berlin[..], &["--group", "customer", "--by", "day"]].concat());
    let hour = |hours: u64| hours * HOUR_MS;
    let expected = [
        "customer,day,starts_at,stages,viewer_stages,watch_ms".to_string(),
        format!(",2026-10-24,2026-10-24T00:00:00.000+02:00,1,1,{}", hour(1)),
        format!(",2026-10-25,2026-10-25T00:00:00.000+02:00,1,1,{}", hour(25)),
    ];
    assert_eq!(days.lines().collect::<Vec<_>>(), expected, "the day has 25 hours");

    // UTC has other days, as always, and no extra column.
    let utc = ["--from", "2026-10-25", "--to", "2026-10-26", "--group", "customer"];
    let expected =
        ["customer,month,stages,viewer_stages,watch_ms", &format!(",2026-10,1,1,{}", hour(24))];
    assert_eq!(exported(&utc).lines().collect::<Vec<_>>(), expected);
    assert_eq!(
        exported(&[&utc[..], &["--by", "month"]].concat()).lines().collect::<Vec<_>>(),
        expected
    );

    // Rows of viewers have their times in the zone, too. A moment with a time of day is taken as it
    // is.
    let range = ["--tz", "europe/berlin", "--from", "2026-10-25", "--to", "2026-10-25T01:30:00Z"];
    let rows = exported(&range);
    let row = format!(
        "s,ann,{},{},{},",
        3 * HOUR_MS + HOUR_MS / 2,
        1_792_879_200_000_u64,
        1_792_891_800_000_u64
    );
    let times = "2026-10-25T00:00:00.000+02:00,2026-10-25T02:30:00.000+01:00,,,{}";
    assert_eq!(rows.lines().nth(1), Some(format!("{row}{times}").as_str()));
}

/// A machine without a database of zones, and with wrong variables. The binary has its own
/// database.
#[timed_test(flavor = "multi_thread")]
async fn a_bare_machine_knows_the_zones_and_names_those_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteCold::open(folder.path()).unwrap());
    let range = ["--from", "2026-10-24", "--to", "2026-10-26", "--partial"];
    let cold = format!("embedded:{}", folder.path().display());
    let bare = |zone: &str| {
        let mut command = housecount();
        command.env_clear().env("TZDIR", "/nowhere").env("TZ", "Nowhere/Nothing");
        command.args(["export", "--cold", &cold, "--out", "-", "--tz", zone]).args(range);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(
        bare("Asia/Kathmandu"),
        (0, "housecount: the export ends at 1970-01-01T00:00:00Z, where the ledger ends\n".into())
    );
    let (code, events) = bare("Europe/Berln");
    assert_eq!(code, 2);
    assert!(
        events.contains("--tz `Europe/Berln` is not a time zone; did you mean `Europe/Berlin`?"),
        "{events}"
    );
    let (code, events) = export(folder.path(), &[&range[..], &["--by", "day"]].concat());
    assert!(code == 2 && events.contains("--group"), "periods need groups: {events}");
}
