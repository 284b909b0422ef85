//! `GET /v1/usage` of a real node, beside `export --group customer`.

use housecount_core::limits::{HISTORY_STEPS_MAX, PAGE_ROWS_MAX};
use housecount_core::span::Span;
use housecount_core::time::UnixMs;
use housecount_server::calendar::{self, PeriodUnit, Zone};
use housecount_test::timed_test;
use hyper::Method;
use serde_json::{Value, json};

use crate::history::served::{QUICK, ms, watch_until};
use crate::http::ask;
use crate::support::node::{Node, housecount};

/// A node with four stages of three customers, whose viewers watched. Also returns a committed
/// range of it.
async fn played() -> (Node, u64, u64) {
    let node = Node::ready(&QUICK).await;
    let mut from = 0;
    for (stage, customer) in [("a", "ACME"), ("b", "=Evil, \"Ltd\""), ("c", "ACME")] {
        let config = json!({ "stage": stage, "customer": customer });
        let (status, made) = node.call(Method::POST, "/v1/stages", config).await;
        assert_eq!(status, 201, "{made}");
        from = from.max(ms(&made, "effectiveFrom"));
    }
    let who = [("a", "ann"), ("b", "ann"), ("c", "bob"), ("a", "eve"), ("bare", "ann")];
    watch_until(&node, &who, from + 6_000).await;
    (node, from, from + 6_000)
}

/// Rows of `export --group customer`: customer, period, stages and watch time.
fn exported(node: &Node, from: u64, to: u64, by: &str) -> Vec<Value> {
    let (from, to, data) = (from.to_string(), to.to_string(), node.data().display().to_string());
    let output = housecount()
        .args(["export", "--from", &from, "--to", &to, "--data", &data, "--out", "-"])
        .args(["--group", "customer", "--format", "ndjson", "--by", by])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        json!([row["customer"], row[by], row["stages"], row["watch_ms"]])
    };
    text.lines().map(row).collect()
}

fn shown(page: &Value) -> Vec<Value> {
    let row = |row: &Value| json!([row["customer"], row["period"], row["stages"], row["watchMs"]]);
    page["usage"].as_array().unwrap().iter().map(row).collect()
}

#[timed_test(flavor = "multi_thread")]
async fn usage_is_that_of_the_invoice() {
    let (node, from, to) = played().await;
    let range = format!("from={from}&to={to}");
    for by in ["month", "day"] {
        let page = node.get(&format!("/v1/usage?{range}&by={by}")).await;
        let expected = exported(&node, from, to, by);
        assert!(expected.len() >= 3, "{expected:?}");
        assert_eq!(shown(&page), expected, "by {by}");
        assert_eq!((ms(&page, "from"), ms(&page, "to")), (from, to));
        assert_eq!((&page["complete"], page.get("cursor")), (&json!(true), None));
        assert!(ms(&page, "committedTo") >= to);
        for row in page["usage"].as_array().unwrap() {
            assert!(from <= ms(row, "from") && ms(row, "to") <= to && ms(row, "watchMs") > 0);
        }
        // Page by page, the same rows.
        let (mut rows, mut next) = (Vec::new(), Some(String::new()));
        while let Some(cursor) = next {
            let page = node.get(&format!("/v1/usage?{range}&by={by}&limit=1{cursor}")).await;
            rows.extend(shown(&page));
            next = page["cursor"].as_str().map(|cursor| format!("&cursor={}", encoded(cursor)));
        }
        assert_eq!(rows, expected, "by {by}");
    }
    assert_eq!(
        node.get(&format!("/v1/usage?{range}")).await["usage"],
        node.get(&format!("/v1/usage?{range}&by=month")).await["usage"]
    );
    let expected = exported(&node, from, to, "month");
    for customer in ["ACME", "", "none of them"] {
        let path = format!("/v1/usage?{range}&customer={}", encoded(customer));
        let mut of_one = expected.clone();
        of_one.retain(|row| row[0] == customer);
        assert_eq!(shown(&node.get(&path).await), of_one, "{customer}");
    }
    // All watch time is of some customer, or of none.
    let total = |rows: &Value, name: &str| -> u64 {
        rows.as_array().unwrap().iter().map(|row| ms(row, name)).sum()
    };
    let watch = node.get(&format!("/v1/watch?{range}")).await;
    let usage = node.get(&format!("/v1/usage?{range}")).await;
    assert_eq!(total(&usage["usage"], "watchMs"), total(&watch["watch"], "watchMs"));
    // Without a range, the last day is listed, with the time since the last commit.
    let day = node.get("/v1/usage").await;
    assert_eq!((&day["complete"], ms(&day, "to") - ms(&day, "from")), (&json!(false), 86_400_000));
    assert!(total(&day["usage"], "watchMs") > total(&usage["usage"], "watchMs"));
}

fn encoded(text: &str) -> String {
    let encode = |byte: u8| format!("%{byte:02X}");
    text.bytes().map(encode).collect()
}

#[timed_test(flavor = "multi_thread")]
async fn usage_of_stages_adds_up_to_that_of_their_customer() {
    let (node, from, to) = played().await;
    let range = format!("from={from}&to={to}");
    let page = node.get(&format!("/v1/usage?{range}&group=stage")).await;
    let rows = page["usage"].as_array().unwrap();
    let names: Vec<Value> = rows.iter().map(|row| json!([row["customer"], row["stage"]])).collect();
    let expected = json!([["", "bare"], ["=Evil, \"Ltd\"", "b"], ["ACME", "a"], ["ACME", "c"]]);
    assert_eq!(json!(names), expected);
    for customer in node.get(&format!("/v1/usage?{range}")).await["usage"].as_array().unwrap() {
        let of_it = rows.iter().filter(|row| row["customer"] == customer["customer"]);
        let sum: u64 = of_it.clone().map(|row| ms(row, "watchMs")).sum();
        assert_eq!(
            (json!(of_it.count()), sum),
            (customer["stages"].clone(), ms(customer, "watchMs"))
        );
        assert_eq!(customer.get("stage"), None);
    }
    // Each stage is that of `/v1/watch`.
    let watch = node.get(&format!("/v1/watch?{range}")).await;
    for stage in watch["watch"].as_array().unwrap() {
        let row = rows.iter().find(|row| row["stage"] == stage["stage"]).unwrap();
        assert_eq!(row["watchMs"], stage["watchMs"]);
    }
    // Page by page, the same rows.
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = node.get(&format!("/v1/usage?{range}&group=stage&limit=1{cursor}")).await;
        found.extend(page["usage"].as_array().unwrap().clone());
        let Some(next) = page["cursor"].as_str() else { break };
        cursor = format!("&cursor={}", encoded(next));
    }
    assert_eq!(&found, rows);
    let path = format!("/v1/usage?{range}&group=stage&customer=ACME");
    let csv = ask(&node, "GET", &path, &[("accept", "text/csv")], "").body;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "customer,month,from_ms,to_ms,stage,watch_ms,complete");
    let (period, watched) = (rows[2]["period"].as_str().unwrap(), ms(&rows[2], "watchMs"));
    assert_eq!(lines[1], format!("ACME,{period},{from},{to},a,{watched},true"));
    assert_eq!(lines.len(), 3);
    // A late heartbeat may still add to what was committed within the last hour.
    let hour = 3_600_000;
    let final_to = ms(&page, "finalTo");
    assert!(final_to.is_multiple_of(hour) && final_to + hour <= ms(&page, "committedTo"), "{page}");
}

#[timed_test(flavor = "multi_thread")]
async fn months_and_dates_are_those_of_the_time_zone() {
    let (node, from, to) = played().await;
    let at = |text: &str| calendar::parse(text).unwrap().0;
    // Each zone has its own midnight, 14 h apart.
    for (zone, offset) in [("Pacific/Kiritimati", "+14:00"), ("UTC", "Z")] {
        let path = format!("/v1/usage?from=2001-02-01&to=20010301&tz={}", encoded(zone));
        let page = node.get(&path).await;
        let expected =
            ["2001-02-01", "2001-03-01"].map(|day| at(&format!("{day}T00:00:00{offset}")));
        assert_eq!([ms(&page, "from"), ms(&page, "to")], expected, "{zone}");
    }
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        let page =
            node.get(&format!("/v1/usage?from={from}&to={to}&by=day&tz={}", encoded(zone))).await;
        let days = Zone::parse(zone)
            .unwrap()
            .periods(Span::new(UnixMs(from), UnixMs(to)), PeriodUnit::Day);
        let mut shown: Vec<&str> = Vec::new();
        shown.extend(
            page["usage"].as_array().unwrap().iter().filter_map(|row| row["period"].as_str()),
        );
        shown.dedup();
        assert_eq!(shown, days.iter().map(|day| &*day.name).collect::<Vec<_>>(), "{zone}");
    }
}

#[timed_test(flavor = "multi_thread")]
async fn a_file_for_spreadsheets() {
    let (node, from, to) = played().await;
    let path = format!("/v1/usage?from={from}&to={to}");
    let csv = |path: &str| ask(&node, "GET", path, &[("accept", "text/csv")], "");
    let whole = csv(&path);
    assert_eq!(
        (whole.status, whole.header("content-type")),
        (200, Some("text/csv; charset=utf-8"))
    );
    assert_eq!((whole.header("vary"), whole.header("link")), (Some("accept"), None));
    let page = node.get(&path).await;
    let rows = page["usage"].as_array().unwrap();
    let mut expected = "customer,month,from_ms,to_ms,stages,watch_ms,complete\n".to_string();
    for row in rows {
        let customer = match row["customer"].as_str().unwrap() {
            "=Evil, \"Ltd\"" => "\"'=Evil, \"\"Ltd\"\"\"",
            customer => customer,
        };
        let period = row["period"].as_str().unwrap();
        let [from, to, stages, watch_ms] =
            ["from", "to", "stages", "watchMs"].map(|name| ms(row, name));
        expected += &format!("{customer},{period},{from},{to},{stages},{watch_ms},true\n");
    }
    assert_eq!(whole.body, expected);
    assert!(whole.body.contains("\"'=Evil, \"\"Ltd\"\"\""), "{}", whole.body);

    // The header Link leads through all pages.
    let (mut lines, mut next) = (Vec::new(), Some(format!("{path}&limit=1")));
    while let Some(path) = next {
        let page = csv(&path);
        lines.extend(page.body.lines().skip(1).map(str::to_string));
        next = page.header("link").map(|link| {
            let path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
            path.to_string()
        });
    }
    assert_eq!(lines, whole.body.lines().skip(1).collect::<Vec<_>>());
    let json = ask(&node, "GET", &path, &[("accept", "*/*")], "");
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(
        (json.json()["usage"].clone(), json.header("vary")),
        (page["usage"].clone(), Some("accept"))
    );
    let late = csv(&format!("/v1/usage?from={from}&to={}&by=day", to + 86_400_000));
    assert!(
        late.body.lines().skip(1).all(|line| line.ends_with(",true") || line.ends_with(",false"))
    );
    assert!(late.body.contains(",false\n"), "{}", late.body);
}

#[timed_test(flavor = "multi_thread")]
async fn wrong_wishes_are_refused_by_name() {
    let node = Node::ready(&QUICK).await;
    let rows = PAGE_ROWS_MAX + 1;
    for (query, part) in [
        ("by=week".to_string(), "`week`".to_string()),
        ("group=viewer".into(), "`viewer`".into()),
        ("tz=Mars".into(), "`Mars` is not a time zone".into()),
        (
            "tz=America/New_York&from=2026-10-01&to=2026-10-01T03:00:00Z".into(),
            "is not before".into(),
        ),
        ("stage=s".into(), "`stage` is not a query parameter".into()),
        (format!("limit={rows}"), format!("limit={rows} is not from 1 to {PAGE_ROWS_MAX}")),
        ("cursor=x".into(), "unknown cursor".into()),
        (
            "by=day&from=2001-01-01&to=9999-01-01".into(),
            format!("at most {HISTORY_STEPS_MAX} are allowed"),
        ),
    ] {
        let (status, body) =
            node.call(Method::GET, &format!("/v1/usage?{query}"), Value::Null).await;
        assert_eq!((status, &body["code"]), (400, &json!("invalid_query")), "{query}: {body}");
        assert!(body["detail"].as_str().unwrap().contains(&part), "{query}: {body}");
    }
    let bare = Node::ready(&["log=memory:", "cold=none"]).await;
    let (status, body) = bare.call(Method::GET, "/v1/usage", Value::Null).await;
    assert_eq!((status, &body["code"]), (501, &json!("no_cold_tier")));
}
