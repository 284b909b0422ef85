//! Times in queries and commands. Seconds in place of milliseconds are an error, never an empty
//! answer.

use housecount_test::timed_test;

use super::{FAST, get};
use crate::support::node::{Node, housecount};

/// Calls that take `from` and `to`.
const CALLS: [&str; 11] = [
    "/v1/stages/s/history?",
    "/v1/stages/s/watch?",
    "/v1/stages/s/snapshots?",
    "/v1/stage/history?stage=s&",
    "/v1/stage/watch?stage=s&",
    "/v1/stage/snapshots?stage=s&",
    "/v1/viewers/v/watch?",
    "/v1/viewer/watch?viewer=v&",
    "/v1/history?",
    "/v1/watch?",
    "/v1/usage?",
];

/// Texts that are not moments, each with a part of its error.
const BAD: [(&str, &str); 8] = [
    ("1795948578", "looks like seconds; send milliseconds, not seconds: 1795948578000"),
    ("0", "is before 2001-01-01; send Unix milliseconds, not seconds"),
    ("978307199999", "is before 2001-01-01"),
    ("2000-12-31T23:59:59Z", "is before 2001-01-01"),
    ("20261301", "is not a date"),
    ("17959485", "is not a date"),
    ("yesterday", "neither RFC 3339"),
    ("2026-11-01T00:00:00+01:00", "write + as %2B"),
];

#[timed_test(flavor = "multi_thread")]
async fn a_time_in_seconds_is_an_error_in_every_call() {
    let node = Node::ready(&FAST).await;
    for call in CALLS {
        for (text, expected) in BAD {
            for name in ["from", "to"] {
                let answer = get(&node, &format!("{call}{name}={text}"));
                let (code, detail) = answer.problem();
                assert_eq!(
                    (answer.status, &*code),
                    (400, "invalid_query"),
                    "{call}{name}={text}: {detail}"
                );
                let named = format!("{name}={}", text.replace('+', " "));
                assert!(detail.contains(&named) && detail.contains(expected), "{call}: {detail}");
            }
        }
        for range in [
            "from=20261101&to=2026-11-02",
            "from=1795948578000&to=1795948579000",
            "from=978307200000&to=2001-01-02",
            "from=2026-11-01T00:00:00%2B01:00&to=2026-11-01T00:00:00.5Z",
        ] {
            let answer = get(&node, &format!("{call}{range}&step=1d").replace("&step=1d", ""));
            assert_eq!(answer.status, 200, "{call}{range}: {}", answer.body);
        }
    }
    // The drop-in API reads times in the same way; its errors have their own shape.
    let answer = get(&node, "/api/viewer/duration?userId=v&stageArn=s&from=1795948578");
    let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_string();
    assert!(answer.status == 400 && message.contains("seconds"), "{}", answer.body);
}

/// Eight digits are a day (UTC), and so are its other forms.
#[timed_test(flavor = "multi_thread")]
async fn a_date_has_two_forms() {
    let node = Node::ready(&FAST).await;
    for day in ["20261101", "2026-11-01", "2026-11-01T00:00:00Z", "1793491200000"] {
        let answer = get(&node, &format!("/v1/watch?from={day}&to=2026-11-02"));
        assert_eq!(answer.json()["from"], 1_793_491_200_000_u64, "{day}: {}", answer.body);
    }
}

/// Both ends of a range of snapshots belong to it. Before, a reversed range was empty.
#[timed_test(flavor = "multi_thread")]
async fn a_range_the_wrong_way_round_is_an_error() {
    let node = Node::ready(&FAST).await;
    for call in CALLS {
        let answer = get(&node, &format!("{call}from=2026-11-02&to=2026-11-01"));
        let (code, detail) = answer.problem();
        assert_eq!((answer.status, &*code), (400, "invalid_query"), "{call}");
        assert!(detail.contains("from=") && detail.contains("to="), "{detail}");
    }
    assert_eq!(get(&node, "/v1/stages/s/snapshots?from=2026-11-01&to=2026-11-01").status, 200);
}

/// Each command exits with 2 and one message that names the flag and the right form. It writes no
/// file.
#[test]
fn commands_read_times_in_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    let out = folder.path().join("out.csv");
    let out_text = out.display().to_string();
    for command in [vec!["export", "--out", &out_text], vec!["verify"], vec!["ivs", "reconcile"]] {
        for (flag, other) in [("--from", "--to"), ("--to", "--from")] {
            for (text, expected) in BAD {
                let expected = if text.contains('+') { continue } else { expected };
                let output = housecount()
                    .args(&command)
                    .args([flag, text, other, "2026-11-15", "--data", &data])
                    .output()
                    .unwrap();
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(output.status.code(), Some(2), "{command:?} {flag} {text}: {error}");
                assert!(
                    error.contains(flag) && error.contains(expected),
                    "{command:?} {flag} {text}: {error}"
                );
            }
        }
    }
    assert!(!out.exists(), "a failed export leaves no file");
}
