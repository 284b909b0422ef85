//! `housecount cost`: it prints what docs/COST.md shows, and names the errors in prices.

use std::path::Path;
use std::process::Output;

use housecount_cost::prices::DEFAULT_PRICES;
use serde_json::Value;

use crate::support::node::housecount;

fn cost(arguments: &[&str]) -> Output {
    housecount().arg("cost").args(arguments).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn docs_are_what_it_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/COST.md");
    let written = std::fs::read_to_string(path).unwrap();
    let printed = printed(&cost(&["--markdown"]));
    assert!(
        written == printed,
        "docs/COST.md differs from the program's output; update it with\n  cargo run -q -p housecount -- cost --markdown > docs/COST.md"
    );
}

#[test]
fn figures_are_those_of_the_audience_that_was_asked_for() {
    let figures =
        |arguments: &[&str]| -> Value { serde_json::from_str(&printed(&cost(arguments))).unwrap() };
    let usual = figures(&["--json"]);
    assert_eq!(usual["audience"]["heartbeats"], 876_000_000);
    let plan = |figures: &Value, n: usize| figures["plans"][n].clone();
    assert_eq!(plan(&usual, 0)["plan"], "pure-dynamodb");
    assert_eq!(plan(&usual, 0)["requestsBeforeUsd"], 1314.0);
    assert_eq!(plan(&usual, 0)["monthUsd"], 657.0);
    let larger = figures(&["--json", "--viewers", "20000", "--interval", "60s"]);
    assert_eq!(plan(&larger, 0)["monthUsd"], 657.0);
    assert!(plan(&larger, 4)["monthUsd"].as_f64() > plan(&usual, 4)["monthUsd"].as_f64());
    let text = printed(&cost(&["--stay", "2h"]));
    assert!(
        text.contains("each for 2h") && text.contains("pure DynamoDB") && text.contains("$657.00"),
        "{text}"
    );
    let help = printed(&cost(&["--help"]));
    assert!(help.contains("Examples:\n  housecount cost"), "{help}");
}

#[test]
fn prices_can_be_replaced_and_what_is_wrong_with_them_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    let name = file.to_str().unwrap();
    let with = |from: &str, to: &str| {
        let ours = printed(&cost(&["--print-prices"]));
        assert_eq!(ours.trim_end(), DEFAULT_PRICES.trim_end());
        assert!(ours.contains(from));
        std::fs::write(&file, ours.replacen(from, to, 1)).unwrap();
    };
    with("write_million = 0.625", "write_million = 1.25");
    let figures: Value =
        serde_json::from_str(&printed(&cost(&["--json", "--prices", name]))).unwrap();
    assert_eq!(figures["plans"][0]["monthUsd"], 1204.5);
    let setting = format!("prices={name}");
    let figures: Value =
        serde_json::from_str(&printed(&cost(&["--json", "--set", &setting]))).unwrap();
    assert_eq!(figures["plans"][0]["monthUsd"], 1204.5);

    let refused = |named: &[&str]| {
        let output = cost(&["--prices", name]);
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), shown.trim_end().lines().count()),
            (Some(2), 1),
            "{shown}"
        );
        for named in named {
            assert!(shown.contains(named), "{shown:?} does not name {named:?}");
        }
        let output = housecount()
            .args(["serve", "--listen", "127.0.0.1:0", "--set", &setting])
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{shown}");
        assert!(shown.contains("`prices`") && shown.contains(name), "{shown}");
    };
    let line =
        |text: &str| 1 + DEFAULT_PRICES[..DEFAULT_PRICES.find(text).unwrap()].matches('\n').count();
    with("write_hour = 0.00065", "write_hour = \"a lot\"");
    refused(&[name, &format!("line {}", line("write_hour")), "`write_hour`", "decimal number"]);
    with("gb_month = 0.25\n", "");
    refused(&[name, &format!("line {}", line("[storage]")), "`gb_month`"]);
    with("gb_free = ", "gb_fre = ");
    refused(&[name, &format!("line {}", line("gb_free = ")), "`gb_fre`"]);
    with("engine = \"redis\"", "engine = \"memcached\"");
    refused(&[name, "`engine`", "memcached"]);
    std::fs::remove_file(&file).unwrap();
    refused(&[name, "No such file"]);
}
