//! Goals of the figures, and whether they are reached.

use crate::contender::{BRISK, CALM, Load, LogShape};
use crate::results::{Median, Results, figure};

/// housecount's default `linger`: the time for which an answer may wait to share an append with
/// others.
const LINGER_MS: f64 = 10.0;

/// A line of the table of goals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Name of the figure.
    pub what: String,
    /// Measured value, if there is one.
    pub measured: Option<String>,
    /// Limit of the figure.
    pub limit: String,
    /// Whether the median is within the limit.
    pub is_reached: Option<bool>,
}

/// A contender's figure under a load.
#[derive(Clone, Copy)]
struct Of(&'static str, Load, &'static str);

/// Returns the whole table, with goals that were not measured.
pub fn judge(results: &Results) -> Vec<Goal> {
    let judge = Judge(results);
    let mut goals = Vec::new();
    let (few, many) = (Load::Saturated(64), Load::Saturated(512));
    for (name, ack, limit) in [("redis", "log", 1.25), ("redis-ack-memory", "memory", 1.15)] {
        for load in [few, many] {
            let what = format!("`redis:`, `ack = \"{ack}\"`, {load}: server CPU a heartbeat");
            let floor = Of("floor", load, figure::SERVER_US);
            goals.push(judge.times(
                what,
                Of(name, load, figure::SERVER_US),
                floor,
                limit,
                "the floor",
            ));
        }
    }
    for load in [few, many] {
        let of = Of("redis", load, figure::REDIS_US);
        goals.push(judge.at_most(format!("Redis CPU a heartbeat, {load}"), of, 0.15, "us"));
    }
    goals.push(judge.times(
        format!("{CALM} (100,000 viewers at 30 s), 256 connections: server + Redis"),
        Of("redis", CALM, figure::ALL_US),
        Of("floor", CALM, figure::SERVER_US),
        1.4,
        "the floor",
    ));
    for (name, framework, part) in
        [("express-usual", "Express", 18.0), ("fastify-usual", "Fastify", 7.0)]
    {
        for load in [few, many] {
            let what = format!("all CPU against {framework} with Redis, {load}");
            goals.push(judge.part(
                what,
                Of("redis", load, figure::ALL_US),
                Of(name, load, figure::ALL_US),
                part,
            ));
        }
    }
    let p99 = results.row("redis", &BRISK.to_string()).and_then(|row| row.median(figure::P99_MS));
    let beyond = p99.map(|p| Median {
        median: p.median - LINGER_MS,
        min: p.min - LINGER_MS,
        max: p.max - LINGER_MS,
    });
    goals.push(goal(format!("p99 beyond `linger` (10 ms), {BRISK}"), beyond, 2.0, "ms"));
    goals.push(judge.at_most(
        format!("p99, {many} (15 ms + linger)"),
        Of("redis", many, figure::P99_MS),
        15.0 + LINGER_MS,
        "ms",
    ));
    goals.push(judge.times(
        "WebSocket heartbeat with replies: server CPU".to_string(),
        Of("ws", Load::WebSocket, figure::SERVER_US),
        Of("ws-echo", Load::WebSocket, figure::SERVER_US),
        1.2,
        "raw echo",
    ));
    for (what, name, load, limit) in [
        ("memory an idle WebSocket", "ws", Load::IdleWebSocket, 8.0),
        ("memory an idle keep-alive HTTP connection", "redis", Load::IdleHttp, 11.0),
    ] {
        let kib =
            judge.median(Of(name, load, figure::CONNECTION_BYTES)).map(|m| m.scaled(1.0 / 1024.0));
        goals.push(goal(what.to_string(), kib, limit, "KiB"));
    }
    goals.push(judge.at_most(
        "batch of 1,000: server CPU a heartbeat".to_string(),
        Of("redis", Load::Batch, figure::SERVER_US),
        0.5,
        "us",
    ));
    for (name, alg) in [("redis-hs256", "HS256"), ("redis-eddsa", "EdDSA")] {
        for load in [few, many] {
            let what = format!("`auth.viewer = required`, {alg}, {load}: server CPU a heartbeat");
            let without = Of("redis", load, figure::SERVER_US);
            goals.push(judge.times(
                what,
                Of(name, load, figure::SERVER_US),
                without,
                1.1,
                "without",
            ));
        }
    }
    goals.push(Goal {
        what: "fold: a beat of a known viewer, in batches, 1 M viewers on one stage; joining"
            .to_string(),
        measured: Some("`cargo bench -p housecount-core`".to_string()),
        limit: "60 ns; 300 ns".to_string(),
        is_reached: None,
    });
    goals.push(judge.times(
        "cost a beat at 1 M viewers against 10,000, one stage (whole server, batches)".to_string(),
        Of("crowd", Load::Crowd, figure::MANY_US),
        Of("crowd", Load::Crowd, figure::FEW_US),
        1.3,
        "",
    ));
    for shape in
        [LogShape::Single { stages: 1 }, LogShape::Single { stages: 10 }, LogShape::Batches]
    {
        let load = Load::LogBytes(shape);
        let of = Of("log", load, figure::STEADY_BYTES);
        goals.push(judge.at_most(format!("{load}: a steady beat"), of, 12.0, "B"));
    }
    goals.push(judge.at_most(
        "node memory a viewer (36-character ids, 1 M, one stage)".to_string(),
        Of("crowd", Load::Crowd, figure::VIEWER_BYTES),
        120.0,
        "B",
    ));
    goals
}

struct Judge<'a>(&'a Results);

impl Judge<'_> {
    fn median(&self, Of(name, load, figure): Of) -> Option<Median> {
        self.0.row(name, &load.to_string())?.median(figure)
    }

    fn at_most(&self, what: String, of: Of, limit: f64, unit: &str) -> Goal {
        goal(what, self.median(of), limit, unit)
    }

    fn ratio(
        &self,
        Of(name, load, figure): Of,
        Of(base, base_load, base_figure): Of,
    ) -> Option<Median> {
        let row = self.0.row(name, &load.to_string())?;
        row.ratio(figure, self.0.row(base, &base_load.to_string())?, base_figure)
    }

    fn times(&self, what: String, of: Of, base: Of, limit: f64, unit: &str) -> Goal {
        goal(what, self.ratio(of, base), limit, format!("x {unit}").trim_end())
    }

    /// Judges a goal such as "at most the 18th part".
    fn part(&self, what: String, of: Of, base: Of, least: f64) -> Goal {
        // The inverse ratio: how many times as much the base costs.
        let times = self.ratio(base, of);
        Goal {
            what,
            measured: times.map(|t| format!("1/{:.1}{}", t.median, t.range(1))),
            limit: format!("1/{least}"),
            is_reached: times.map(|t| t.median >= least),
        }
    }
}

fn goal(what: String, measured: Option<Median>, limit: f64, unit: &str) -> Goal {
    Goal {
        what,
        measured: measured.map(|m| format!("{:.2} {unit}{}", m.median, m.range(2))),
        limit: format!("{limit} {unit}"),
        is_reached: measured.map(|m| m.median <= limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_by_the_median() {
        let measured = Median { median: 1.25, min: 1.0, max: 2.0 };
        let kept = goal("x".to_string(), Some(measured), 1.25, "us");
        assert_eq!(kept.is_reached, Some(true));
        assert_eq!(kept.measured.unwrap(), "1.25 us (1.00–2.00)");
        assert_eq!(goal("x".to_string(), Some(measured), 1.24, "us").is_reached, Some(false));
        assert_eq!(goal("x".to_string(), None, 1.0, "us").is_reached, None);
    }
}
