//! `housecount export --format stripe` and its like, as users call it.

use std::path::Path;

use housecount_backend::cold::{Cold, KeyedItem};
use housecount_core::keys::Key;
use housecount_core::stage::StageConfig;
use housecount_core::time::UnixMs;
use housecount_core::version::ConfigVersion;
use housecount_stores::cold::SqliteCold;
use housecount_test::timed_test;

use crate::history::zones::{FROM, watched};
use crate::ledger::stage::HOUR_MS;
use crate::support::node::housecount;

/// Stores versions of the stage `s`, each with its customer from an hour on.
async fn configure(folder: &Path, customers: &[(u64, Option<&str>)]) {
    let records = (1..).zip(customers).map(|(number, (hour, customer))| {
        let customer = customer.map(str::to_string);
        let config = StageConfig { stage: "s".into(), customer, ..StageConfig::default() };
        let at = FROM.plus(hour * HOUR_MS);
        let version = ConfigVersion {
            stage: "s".into(),
            number,
            changed_at: at,
            effective_from: at,
            config: Some(config),
        };
        KeyedItem { key: Key::Version { stage: "s".into(), number }, item: version.to_item() }
    });
    SqliteCold::open(folder).unwrap().put(records.collect()).await.unwrap();
}

/// Exports to standard output. Returns the exit code, the output, and the messages.
fn export(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let cold = format!("embedded:{}", folder.display());
    let output = housecount()
        .args(["export", "--cold", &cold, "--out", "-"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const STRIPE: [&str; 4] = ["--group", "customer", "--format", "stripe"];

/// The hour that the frozen examples are of.
const HOUR: [&str; 4] = ["--from", "2026-10-24T22:00:00Z", "--to", "2026-10-24T23:00:00Z"];

#[timed_test(flavor = "multi_thread")]
async fn a_frozen_example_of_each_format() {
    let folder = tempfile::tempdir().unwrap();
    watched(folder.path()).await;
    configure(folder.path(), &[(0, Some("cus_Acme1")), (2, None), (3, Some("123456789012"))]).await;
    let exported = |more: &[&str]| {
        let (code, out, complaint) =
            export(folder.path(), &[&["--group", "customer"], more].concat());
        assert_eq!(code, 0, "{complaint}");
        (out, complaint)
    };
    let of_hour = |more: &[&str]| exported(&[&HOUR[..], more].concat());
    let id = "housecount-2026-10-24T22:00:00Z-3864a92eda35b400279cd752edc2c827";
    let stripe = format!(
        r#"{{"identifier":"{id}","timestamp":1792879200,"event_name":"watch_minutes","payload":{{"stripe_customer_id":"cus_Acme1","value":60}}}}"#
    );
    assert_eq!(of_hour(&["--format", "stripe"]), (stripe + "\n", String::new()));
    let open_meter = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"housecount","type":"watch_minutes","subject":"cus_Acme1","time":"2026-10-24T22:00:00Z","data":{{"stage":"s","value":60,"unit":"minutes"}}}}"#
    );
    assert_eq!(of_hour(&["--format", "openmeter"]), (open_meter + "\n", String::new()));
    let marketplace = r#"{"Timestamp":"2026-10-24T22:00:00Z","CustomerIdentifier":"cus_Acme1","Dimension":"hours","Quantity":1}"#;
    assert_eq!(
        of_hour(&["--format", "aws-marketplace", "--unit", "hours", "--meter", "hours"]).0,
        format!("{marketplace}\n")
    );
    // The hour from 23:00 has no customer, and the next one that of an AWS account.
    let two = ["--from", "2026-10-24T23:00:00Z", "--to", "2026-10-25T01:00:00Z"];
    let (records, complaint) =
        exported(&[&two[..], &["--format", "aws-marketplace", "--unit", "ms"]].concat());
    let account = r#"{"Timestamp":"2026-10-25T00:00:00Z","CustomerAWSAccountId":"123456789012","Dimension":"watch_ms","Quantity":3600000}"#;
    assert_eq!(records, format!("{account}\n"));
    assert_eq!(
        complaint,
        "housecount: left out 3600000 ms in 1 hours of stages without a customer\n"
    );
}

#[timed_test(flavor = "multi_thread")]
async fn an_hour_that_may_still_grow_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    watched(folder.path()).await;
    configure(folder.path(), &[(0, Some("cus_Acme1"))]).await;
    // The ledger ends at midnight. An hour, a ttl and a window before that, no hour has ended later
    // than at 22:00.
    let last = "2026-10-25T22:00:00Z";
    let range = |to| [&STRIPE[..], &["--from", "2026-10-24", "--to", to]].concat();
    let (code, whole, complaint) = export(folder.path(), &range(last));
    assert_eq!((code, &*complaint), (0, ""));
    assert_eq!(whole.lines().count(), 25, "one record for each hour from 21:00 on");
    for later in ["2026-10-25T23:00:00Z", "2026-10-26"] {
        let (code, out, complaint) = export(folder.path(), &range(later));
        assert_eq!((code, &*out), (2, ""), "{later}");
        assert_eq!(
            complaint,
            format!(
                "housecount: hours that end after {last} can still grow; use --to {last}, or add --partial\n"
            )
        );
        let (code, part, complaint) =
            export(folder.path(), &[&range(later)[..], &["--partial"]].concat());
        assert_eq!((code, part), (0, whole.clone()), "{later}");
        assert_eq!(
            complaint,
            format!("housecount: the export ends at {last}; later hours can still grow\n")
        );
    }
    let future = ["--from", "2026-10-27", "--to", "2026-10-28", "--partial"];
    let (code, out, _) = export(folder.path(), &[&STRIPE[..], &future].concat());
    assert_eq!((code, &*out), (0, ""), "no hour of the range is final");

    // A file has the same records, and the summary is on standard output then.
    let file = folder.path().join("usage.jsonl");
    let cold = format!("embedded:{}", folder.path().display());
    let output = housecount()
        .args(["export", "--cold", &cold, "--out", file.to_str().unwrap()])
        .args(range(last))
        .output()
        .unwrap();
    let summary = String::from_utf8(output.stdout).unwrap();
    assert!(
        summary.ends_with("usage.jsonl: 25 records, 1500 minutes, 90000000 ms watched\n"),
        "{summary}"
    );
    assert_eq!(std::fs::read_to_string(file).unwrap(), whole);
}

#[test]
fn wrong_options_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    drop(SqliteCold::open(folder.path()).unwrap());
    let day = ["--from", "2026-10-24", "--to", "2026-10-25"];
    let long = "m".repeat(101);
    let marketplace = ["--group", "customer", "--format", "aws-marketplace"];
    for (arguments, part) in [
        ([&day[..], &["--format", "stripe"]].concat(), "add --group customer"),
        ([&day[..], &STRIPE, &["--by", "day"]].concat(), "--by does not apply"),
        ([&day[..], &STRIPE, &["--round", "total-minute"]].concat(), "--round does not apply"),
        ([&day[..], &STRIPE, &["--csv", "raw"]].concat(), "--csv does not apply"),
        ([&day[..], &marketplace, &["--stage", "s"]].concat(), "leave out --stage"),
        ([&day[..], &STRIPE, &["--meter", ""]].concat(), "--meter must have 1 to 100 bytes"),
        ([&day[..], &STRIPE, &["--meter", &long]].concat(), "--meter must have 1 to 100 bytes"),
        ([&day[..], &["--unit", "ms"]].concat(), "--unit and --meter are for --format stripe"),
        ([&day[..], &["--meter", "m"]].concat(), "--unit and --meter are for --format stripe"),
        ([&day[..], &["--raw", "--format", "openmeter"]].concat(), "leave out --raw"),
        (
            [&STRIPE[..], &["--from", "2026-10-24T00:30:00Z", "--to", "2026-10-25"]].concat(),
            "--from 2026-10-24T00:30:00Z is not the start of a UTC hour",
        ),
        (
            [&STRIPE[..], &["--tz", "Asia/Kolkata"], &day].concat(),
            "--from 2026-10-23T18:30:00Z is not the start of a UTC hour",
        ),
        ([&day[..], &STRIPE].concat(), "hours that end after 1970-01-01T00:00:00Z"),
    ] {
        let (code, _, complaint) = export(folder.path(), &arguments);
        assert!(code == 2 && complaint.contains(part), "{arguments:?}: {complaint}");
    }
    assert_eq!(FROM, UnixMs(FROM.0 / HOUR_MS * HOUR_MS), "the examples are of whole hours");
}
