//! `housecount load` against a node that requires tokens. The command signs its viewers' tokens and
//! reads the counts with a key.

use housecount_access::auth::Scope;
use housecount_access::auth::operators::new_key;
use housecount_test::timed_test;
use serde_json::Value;

use super::{SECRET, node};
use crate::support::node::housecount;

#[timed_test(flavor = "multi_thread")]
async fn load_brings_tokens_and_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (key, entry) = new_key("load", &[Scope::Read, Scope::Beats]);
    let keys = format!("auth.operator_keys={}", file("keys.toml", &entry));
    let viewers = format!("auth.viewer_keys=secret:{SECRET}");
    let node = node(&[&keys, "auth.viewer=required", &viewers, "auth.audience=players"]).await;
    let (secret, wrong) = (
        file("secret", &format!("secret:{SECRET}\n")),
        file("wrong", "secret:another secret, which the node does not know"),
    );
    let key = file("load.key", &key);
    let played = |more: &[&str]| {
        let plan = [
            "load",
            "--viewers",
            "40",
            "--stages",
            "3",
            "--interval",
            "500ms",
            "--duration",
            "2s",
            "--json",
        ];
        let output =
            housecount().args(plan).args(["--url", &node.address]).args(more).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code().unwrap(), report, String::from_utf8(output.stderr).unwrap())
    };
    for transport in ["http", "ws", "batch"] {
        let tokens = [
            "--token-key",
            &secret,
            "--audience",
            "players",
            "--key-file",
            &key,
            "--transport",
            transport,
        ];
        let (code, report, printed) = played(&tokens);
        assert!(code == 0 && report["failed"] == 0, "{transport}: {report:#} {printed}");
        assert!(
            report["acknowledged"].as_u64() > Some(80) && report["polls"].as_u64() > Some(3),
            "{report:#}"
        );
    }
    for (without, why) in [
        (vec!["--key-file", &key], "answered 401"),
        (vec!["--key-file", &key, "--token-key", &wrong, "--audience", "players"], "answered 401"),
        (vec!["--key-file", &key, "--token-key", &secret], "answered 401"),
    ] {
        let (code, report, _) = played(&without);
        assert!(code == 1 && report["acknowledged"] == 0, "{without:?}: {report:#}");
        assert!(report["problems"].to_string().contains(why), "{report:#}");
    }
    for (text, why) in [("secret:x", "at least 32"), (SECRET, "write a secret as secret:TEXT")] {
        let (code, _, printed) = played(&["--token-key", &file("bad", text)]);
        assert!(
            code == 2 && printed.contains("--token-key: ") && printed.contains(why),
            "{printed}"
        );
        assert!(!printed.contains(SECRET), "{printed}");
    }
}
