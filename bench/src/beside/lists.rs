//! Rows 0, 1, 5 and 6, and row 2 without a ledger: one stage with all viewers.

use std::time::Duration;

use super::crowd::Bodies;
use super::outcomes::Goal;
use super::probe::unix_ms;
use super::readers::{self, Pages};
use super::scene::{BEAT_EVERY, BEAT_OFTEN, INTERVAL_S, Scene, rate};
use crate::viewers;

/// Rows of this scene.
pub const ROWS: [u8; 5] = [0, 1, 2, 5, 6];
/// Milliseconds by which a heartbeat may be slower than in the quiet phase.
const LATER_MS_MAX: f64 = 5.0;
/// Length of uncommitted time that is read, ms.
const UNCOMMITTED_MS: f64 = 600_000.0;

/// Minimum size of a large record, bytes.
const LARGE_BYTES: u64 = 16 * 1024;
/// Number of batches to try until the last record is a large one.
const LARGE_TRIES: usize = 10;
/// Number of viewers that join in each of these batches.
const JOINERS: usize = 10_000;
/// Time for which polls are counted.
const IDLE: Duration = Duration::from_secs(1);

/// Runs the scene.
///
/// # Errors
/// Returns an error if a node fails or refuses a call.
pub fn run(mut scene: Scene<'_>) -> anyhow::Result<()> {
    let plan = scene.plan;
    let rate = rate(plan.viewers, INTERVAL_S);
    let crowd = scene.gather(1, rate)?;
    std::thread::sleep(Duration::from_secs(2));

    let (_, quiet, _) = scene.phase("nothing", BEAT_EVERY, |_| {
        std::thread::sleep(plan.phase);
        Ok(())
    })?;
    let later = quiet.heartbeats.quantile(0.99).map(|p99| p99 + LATER_MS_MAX);
    if plan.has(&[0]) {
        scene.outcomes.beats(scene.place(0), "nothing", &quiet, Goal::none());
    }
    if plan.has(&[1]) {
        pages(&mut scene, later)?;
    }
    if plan.has(&[2]) {
        uncommitted(&mut scene)?;
    }
    if plan.has(&[6]) {
        let what = "FLUSHALL of Redis, a heartbeat each 10 ms";
        let (_, phase, _) = scene.phase(what, BEAT_OFTEN, |ground| {
            std::thread::sleep(plan.phase / 4);
            ground.redis()?.flush()?;
            std::thread::sleep(plan.phase * 3 / 4);
            Ok(())
        })?;
        let stall = phase.heartbeats.quantile(1.0);
        scene.outcomes.beats(scene.place(6), what, &phase, Goal::none());
        scene.figure(6, "longest stall of a heartbeat, ms", stall, 1, Goal::at_most(50.0));
    }
    scene.end(crowd, "one stage")?;
    if plan.has(&[5]) {
        idle_polls(&mut scene)?;
    }
    Ok(())
}

/// Measures the polls of an idle node while the last record is a large one.
///
/// Two things depend on chance. The log may cut a batch anywhere, and a node without players
/// sometimes writes small records. The measurement therefore repeats until a large record stays the
/// last one for a second.
fn idle_polls(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    eprintln!("     idle polls");
    let address = scene.ground.node()?.address;
    for batch in 0..LARGE_TRIES {
        let from = scene.plan.viewers + batch * JOINERS;
        Bodies::of_size(from..from + JOINERS, 1, JOINERS).fill(address)?;
        std::thread::sleep(Duration::from_millis(200));
        let redis = scene.ground.redis()?;
        let large = redis.last_record_bytes()?;
        if large < LARGE_BYTES {
            continue;
        }
        // Reading the counters is traffic, too. Two readings in a row measure how much.
        let asking = redis.traffic()?;
        let before = redis.traffic()?;
        let asking = before.bytes.saturating_sub(asking.bytes);
        std::thread::sleep(IDLE);
        let after = redis.traffic()?;
        if redis.last_record_bytes()? != large {
            continue;
        }
        let bytes = after.bytes.saturating_sub(before.bytes + asking) as f64;
        let polls = after.polls.saturating_sub(before.polls).max(1) as f64;
        let a_second = 1.0 / IDLE.as_secs_f64();
        scene.figure(5, "the last record, bytes", Some(large as f64), 0, Goal::none());
        scene.figure(
            5,
            "bytes in and out of Redis, an idle poll",
            Some(bytes / polls),
            0,
            Goal::at_most(300.0),
        );
        scene.figure(5, "polls a second of an idle node", Some(polls * a_second), 1, Goal::none());
        scene.figure(
            5,
            "kB/s of Redis, an idle node",
            Some(bytes * a_second / 1e3),
            1,
            Goal::none(),
        );
        return Ok(());
    }
    let name = scene.plan.builds.get(scene.build).map_or("", |build| build.name);
    scene
        .outcomes
        .failures
        .push(format!("{name}, row 5: the last record was never a large one for a second"));
    Ok(())
}

fn pages(scene: &mut Scene<'_>, later: Option<f64>) -> anyhow::Result<()> {
    let plan = scene.plan;
    let path = format!("/v1/stages/{}/viewers?limit=1000", viewers::stage(0, 1));
    for clients in [1, 4] {
        let what = format!("{clients} clients read pages of 1,000 viewers")
            .replace("1 clients read", "1 client reads");
        let goal = Goal::at_most_by(later, "5 more than beside nothing");
        let pages = scene.beside(1, &what, BEAT_EVERY, goal, |ground| {
            readers::read(ground.node()?.address, &path, clients, plan.phase)
        })?;
        let of = |what: &str| format!("{what}, {clients} clients").replace("1 clients", "1 client");
        scene.figure(1, &of("a page of 1,000, p50 ms"), pages.quantile(0.5), 2, Goal::at_most(2.0));
        scene.figure(1, &of("a page of 1,000, worst ms"), pages.quantile(1.0), 1, Goal::none());
        // 3 s for a million viewers, and proportional for fewer.
        let limit = 3.0 * plan.viewers as f64 / 1e6;
        whole(
            scene,
            1,
            &of("all pages, s"),
            &pages,
            plan.viewers.div_ceil(1_000),
            Goal::at_most(limit),
        );
        refused(scene, 1, &of("pages refused, or not answered in 30 s"), &pages);
    }
    Ok(())
}

/// Records the time of the whole list, or how many pages were read.
pub fn whole(scene: &mut Scene<'_>, row: u8, what: &str, pages: &Pages, all: usize, goal: Goal) {
    if let Some(shortest) = pages.shortest.filter(|shortest| *shortest < all) {
        let name = scene.plan.builds.get(scene.build).map_or("", |build| build.name);
        let failure =
            format!("{name}, row {row}, {what}: a list ended after {shortest} of {all} pages");
        scene.outcomes.failures.push(failure);
    }
    match pages.whole {
        Some((seconds, _)) => scene.figure(row, what, Some(seconds), 3, goal),
        None => {
            let (read, place) = (pages.first_list, scene.place(row));
            let text = format!("{read} of {all} pages in {} s", scene.plan.phase.as_secs());
            let is_beyond = goal.limit.is_none_or(|limit| scene.plan.phase.as_secs_f64() >= limit);
            let goal = if is_beyond { goal } else { Goal::at_most_by(None, &goal.text) };
            scene.outcomes.text(place, what, text, goal);
        }
    }
}

/// Records the answers that were not a success, if any.
pub fn refused(scene: &mut Scene<'_>, row: u8, what: &str, pages: &Pages) {
    let refused = (pages.errors > 0).then_some(pages.errors as f64);
    scene.figure(row, what, refused, 0, Goal::none());
}

/// Measures reads of time that no chunk covers yet, which the fold answers.
fn uncommitted(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let plan = scene.plan;
    let to = unix_ms();
    let range = format!("from={:.0}&to={to:.0}", to - UNCOMMITTED_MS);
    let stage = viewers::stage(0, 1);
    let paths = [
        ("/v1/stages/{s}/watch", format!("/v1/stages/{stage}/watch?{range}&limit=1000")),
        ("/v1/watch", format!("/v1/watch?{range}&limit=1000")),
        ("/v1/history", format!("/v1/history?{range}&step=1m")),
    ];
    for (name, path) in paths {
        let what = format!("1 reader of {name}, empty ledger");
        let pages = scene.beside(2, &what, BEAT_EVERY, Goal::at_most(20.0), |ground| {
            readers::read(ground.node()?.address, &path, 1, plan.phase / 2)
        })?;
        let of = |what: &str| format!("{name}, empty ledger, {what}");
        scene.figure(2, &of("first page, p50 ms"), pages.first(), 2, Goal::at_most(5.0));
        scene.figure(2, &of("next page, p50 ms"), pages.next(), 2, Goal::at_most(5.0));
        refused(scene, 2, &of("pages refused, or not answered in 30 s"), &pages);
    }
    Ok(())
}
