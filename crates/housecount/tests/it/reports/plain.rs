//! The figures of a report, by a plain and slow program. It knows nothing but the rows of
//! `export --intervals`, and the definitions in docs/API.md.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

const MINUTE_MS: u64 = 60_000;

/// An interval: stage, viewer, start and end.
pub type Interval = (String, String, u64, u64);

/// Request of a report.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub stage: Option<&'a str>,
    pub from: u64,
    pub to: u64,
    pub step_ms: u64,
    pub cohort_ms: u64,
    pub before_ms: u64,
    pub ttl_ms: u64,
    /// Time up to which everything is known.
    pub known_to: u64,
}

/// Parses the CSV of `export --intervals --csv raw`, whose ids have no commas and quotes.
pub fn parse(csv: &str) -> Vec<Interval> {
    let mut lines = csv.lines();
    assert!(lines.next().unwrap().starts_with("stage,viewer,watch_ms,first_at_ms,last_at_ms"));
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let (from, to) = (cells[3].parse().unwrap(), cells[4].parse().unwrap());
        assert_eq!(cells[2].parse::<u64>().unwrap(), to - from, "{line}");
        (cells[0].to_string(), cells[1].to_string(), from, to)
    });
    rows.collect()
}

/// Time that an interval and a range share.
fn shared_ms((from, to): (u64, u64), range: (u64, u64)) -> u64 {
    to.min(range.1).saturating_sub(from.max(range.0))
}

/// Views by stage and viewer: intervals, joined where at most a ttl is between them.
fn views(intervals: &[&Interval], ttl_ms: u64) -> BTreeMap<(String, String), Vec<(u64, u64)>> {
    let mut views: BTreeMap<_, Vec<(u64, u64)>> = BTreeMap::new();
    let mut sorted = intervals.to_vec();
    sorted.sort_by_key(|(stage, viewer, from, _)| (stage, viewer, *from));
    for (stage, viewer, from, to) in sorted {
        let of = views.entry((stage.clone(), viewer.clone())).or_default();
        match of.last_mut() {
            Some(last) if *from <= last.1 + ttl_ms => last.1 = last.1.max(*to),
            _ => of.push((*from, *to)),
        }
    }
    views
}

/// Computes the report, as JSON.
pub fn report(all: &[Interval], asked: &Asked<'_>) -> Value {
    let range = (asked.from, asked.to);
    let selected: Vec<&Interval> =
        all.iter().filter(|(stage, ..)| asked.stage.is_none_or(|of| of == stage)).collect();
    let within: Vec<(&str, (u64, u64))> = selected
        .iter()
        .map(|(_, viewer, from, to)| (&**viewer, (*from, *to)))
        .filter(|(_, span)| shared_ms(*span, range) > 0)
        .collect();
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    for (viewer, span) in &within {
        *times.entry(*viewer).or_default() += shared_ms(*span, range);
    }
    let mut sorted: Vec<u64> = times.values().copied().collect();
    sorted.sort_unstable();
    let watch_ms: u64 = sorted.iter().sum();
    let quantile = |tenths: usize| {
        let covers = |n: usize| (n + 1) * 10 >= sorted.len() * tenths;
        (0..sorted.len()).find(|n| covers(*n)).map_or(0, |n| sorted[n])
    };
    let before = (asked.from - asked.before_ms, asked.from);
    let earlier: BTreeSet<&str> = selected
        .iter()
        .filter(|(_, _, from, to)| shared_ms((*from, *to), before) > 0)
        .map(|(_, viewer, ..)| &**viewer)
        .collect();
    let returning = times.keys().filter(|viewer| earlier.contains(*viewer)).count();
    let at_once = |at: u64| within.iter().filter(|(_, (from, to))| *from <= at && at < *to).count();
    let starts = within.iter().map(|(_, (from, _))| (*from).max(asked.from)).chain([asked.from]);
    let moments: BTreeSet<u64> = starts.collect();
    let peak = moments.iter().map(|at| at_once(*at)).max().unwrap_or(0);
    let peak_at = moments.iter().find(|at| at_once(**at) == peak).filter(|_| peak > 0);

    let views = views(&selected, asked.ttl_ms);
    let in_range = || views.values().flatten().filter(|view| shared_ms(**view, range) > 0);
    let joins =
        |from: u64, to: u64| in_range().filter(|view| from <= view.0 && view.0 < to).count();
    let leaves = |from: u64, to: u64| {
        let is_certain = |view: &&(u64, u64)| view.1 + asked.ttl_ms < asked.known_to;
        in_range().filter(is_certain).filter(|view| from < view.1 && view.1 <= to).count()
    };
    let mut steps = Vec::new();
    let mut from = asked.from;
    while from < asked.to {
        let to = ((from / asked.step_ms + 1) * asked.step_ms).min(asked.to);
        let sum: u64 = within.iter().map(|(_, span)| shared_ms(*span, (from, to))).sum();
        let ends = within.iter().map(|(_, (_, to))| *to);
        let changes: BTreeSet<u64> = moments.iter().copied().chain(ends).collect();
        let levels: Vec<usize> = changes
            .into_iter()
            .filter(|at| from < *at && *at < to)
            .chain([from])
            .map(at_once)
            .collect();
        steps.push(json!({
            "at": from,
            "avg": sum as f64 / (to - from) as f64,
            "min": levels.iter().min(),
            "max": levels.iter().max(),
            "joins": joins(from, to),
            "leaves": leaves(from, to),
            "joinsPerMinute": joins(from, to) as f64 * 60_000.0 / (to - from) as f64,
            "leavesPerMinute": leaves(from, to) as f64 * 60_000.0 / (to - from) as f64,
        }));
        from = to;
    }
    let mut report = json!({
        "uniqueViewers": times.len(),
        "watchMs": watch_ms,
        "averageWatchMs": watch_ms as f64 / times.len().max(1) as f64,
        "medianWatchMs": quantile(5),
        "p90WatchMs": quantile(9),
        "peakViewers": peak,
        "averageViewers": watch_ms as f64 / (asked.to - asked.from) as f64,
        "joins": joins(asked.from, asked.to),
        "leaves": leaves(asked.from, asked.to),
        "views": in_range().count(),
        "returningViewers": returning,
        "newViewers": times.len() - returning,
        "stepMs": asked.step_ms,
        "steps": steps,
        "histogram": histogram(&sorted),
    });
    if let Some(at) = peak_at {
        report["peakAt"] = json!(at);
    }
    let started_at = within.iter().map(|(_, (from, _))| (*from).max(asked.from)).min();
    if let Some(started_at) = started_at.filter(|_| asked.stage.is_some()) {
        let by_viewer: Vec<Vec<(u64, u64)>> = views
            .values()
            .map(|views| views.iter().copied().filter(|view| shared_ms(*view, range) > 0).collect())
            .collect();
        report["retention"] = retention(&by_viewer, started_at, asked);
    }
    report
}

fn histogram(times: &[u64]) -> Value {
    let ends = [1, 2, 5, 10, 15, 30, 60, 120, 240, 480].map(|minutes| minutes * MINUTE_MS);
    let mut classes = Vec::new();
    let mut from = 0;
    for to in ends {
        let viewers = times.iter().filter(|ms| from <= **ms && **ms < to).count();
        classes.push(json!({ "fromMs": from, "toMs": to, "viewers": viewers }));
        from = to;
    }
    let viewers = times.iter().filter(|ms| **ms >= from).count();
    classes.push(json!({ "fromMs": from, "viewers": viewers }));
    json!(classes)
}

/// The retention, given each viewer's views within the range.
fn retention(by_viewer: &[Vec<(u64, u64)>], started_at: u64, asked: &Asked<'_>) -> Value {
    let end = asked.to.min(asked.known_to);
    let came = |views: &[(u64, u64)]| views.first().map(|view| view.0);
    let is_member = |at: u64| started_at <= at && at < started_at + asked.cohort_ms;
    let members: Vec<&Vec<(u64, u64)>> =
        by_viewer.iter().filter(|views| came(views).is_some_and(is_member)).collect();
    let is_watching =
        |views: &[(u64, u64)], at: u64| views.iter().any(|(from, to)| *from <= at && at < *to);
    let mut after = Vec::new();
    for minutes in [1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720] {
        let after_ms = minutes * MINUTE_MS;
        let moment = |views: &[(u64, u64)]| came(views).unwrap() + after_ms;
        let known: Vec<_> = members.iter().filter(|views| moment(views) < end).collect();
        let watching = known.iter().filter(|views| is_watching(views, moment(views))).count();
        if !known.is_empty() {
            after.push(json!({
                "afterMs": after_ms,
                "viewers": known.len(),
                "watching": watching,
                "share": watching as f64 / known.len() as f64,
            }));
        }
    }
    let mut minutes = Vec::new();
    let mut at = started_at;
    while at < end && minutes.len() < 1_440 {
        let minute = (at, at + MINUTE_MS);
        let is_there = |views: &[(u64, u64)]| views.iter().any(|view| shared_ms(*view, minute) > 0);
        let watching = members.iter().filter(|views| is_there(views)).count();
        let share = watching as f64 / members.len().max(1) as f64;
        minutes.push(json!({ "at": at, "watching": watching, "share": share }));
        at += MINUTE_MS;
    }
    json!({
        "startedAt": started_at,
        "cohortMs": asked.cohort_ms,
        "viewers": members.len(),
        "after": after,
        "minutes": minutes,
    })
}
