//! Rows 2, 3 and 4: a ledger with short windows, its commits, its readers, and the node's memory.

use std::time::{Duration, Instant};

use super::ground::Commit;
use super::lists::refused;
use super::outcomes::{Goal, Phase};
use super::probe::{Sample, Samples, rank};
use super::readers;
use super::scene::{BEAT_EVERY, BEAT_OFTEN, Scene, rate};
use crate::viewers;

/// Rows of this scene.
pub const ROWS: [u8; 3] = [2, 3, 4];
/// Settings of the node.
pub const SETTINGS: [&str; 3] = ["window=10s", "ttl=15s", "interval=5s"];
const WINDOW: Duration = Duration::from_secs(10);
const TTL: Duration = Duration::from_secs(15);
const INTERVAL_S: usize = 5;
/// Number of windows that readers read, and in which commits are observed.
const WINDOWS: u32 = 3;
/// Goal for the median duration of a commit, ms.
const COMMIT_MS_MAX: f64 = 100.0;
/// Memory that all readers together may add, MB.
const READ_MB_MAX: f64 = 64.0;
const COMMITTED: &str = "housecount_committed_timestamp_seconds";
/// Time between the last viewer's leave and the reading of the memory.
const LEFT_WAIT: Duration = Duration::from_secs(45);

/// Runs the scene.
///
/// # Errors
/// Returns an error if a node fails or refuses a call.
pub fn run(mut scene: Scene<'_>) -> anyhow::Result<()> {
    let plan = scene.plan;
    let viewers = plan.viewers as f64;
    let empty = scene.ground.node()?.resident()?;
    let a_viewer = move |bytes: f64| Some((bytes - empty) / viewers);
    let crowd = scene.gather(1, rate(plan.viewers, INTERVAL_S))?;

    let joined = scene.ground.node()?.resident()?;
    scene.figure(4, "B a viewer, before the first commit", a_viewer(joined), 0, Goal::none());
    eprintln!("     the first commit");
    let node = scene.ground.node()?;
    let is_committed =
        node.wait_for(COMMITTED, TTL + 4 * WINDOW, |seconds| seconds > 0.0)?.is_some();
    if !is_committed {
        let name = plan.builds.get(scene.build).map_or("", |build| build.name);
        scene
            .outcomes
            .failures
            .push(format!("{name}, ledger: nothing was committed within {:?}", TTL + 4 * WINDOW));
    }
    std::thread::sleep(Duration::from_secs(1));
    let committed = scene.ground.node()?.resident()?;
    scene.figure(
        4,
        "B a viewer, after the first commit",
        a_viewer(committed),
        0,
        Goal::at_most(160.0),
    );

    commits(&mut scene)?;
    let (kept, peak) = (scene.ground.node()?.resident()?, scene.ground.node()?.resident_peak()?);
    scene.figure(
        4,
        "B a viewer, after three more commits",
        a_viewer(kept),
        0,
        Goal::at_most(160.0),
    );
    scene.figure(
        4,
        "B a viewer, peak of start and commits",
        a_viewer(peak),
        0,
        Goal::at_most(200.0),
    );
    if plan.has(&[2, 4]) {
        reads(&mut scene)?;
        let read = scene.ground.node()?.resident()?;
        scene.figure(
            4,
            "B a viewer, after readers of the ledger",
            a_viewer(read),
            0,
            Goal::at_most(160.0),
        );
    }
    scene.end(crowd, "ledger")?;
    if plan.has(&[4]) {
        eprintln!("     all viewers leave");
        let node = scene.ground.node()?;
        node.wait_for("housecount_viewers", TTL + WINDOW, |viewers| viewers == 0.0)?;
        std::thread::sleep(LEFT_WAIT);
        let (left, peak) = (node.resident()?, node.resident_peak()?);
        let what = format!("MB above an empty node, {} s after all have left", LEFT_WAIT.as_secs());
        scene.figure(4, &what, Some((left - empty) / 1e6), 1, Goal::none());
        let share = 100.0 * (left - empty).max(0.0) / (peak - empty).max(1.0);
        scene.figure(
            4,
            "the same, % of the peak",
            Some(share),
            0,
            Goal::at_most_by(None, "given back"),
        );
    }
    Ok(())
}

fn commits(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let wait = WINDOW * WINDOWS;
    let (_, phase, _) = scene.phase("commits", BEAT_OFTEN, |_| {
        std::thread::sleep(wait);
        Ok(())
    })?;
    if !scene.plan.has(&[3]) {
        return Ok(());
    }
    let from_ms = phase.heartbeats.0.iter().map(|s| s.due_ms).fold(f64::INFINITY, f64::min);
    let commits = scene.ground.node()?.commits_since(from_ms)?;
    let took: Vec<f64> = commits.iter().map(|commit| commit.took_ms).collect();
    scene.figure(3, "commits seen", Some(commits.len() as f64), 0, Goal::none());
    scene.figure(
        3,
        "a commit as the node logs it, median ms",
        rank(took.clone(), 0.5),
        0,
        Goal::at_most(COMMIT_MS_MAX),
    );
    scene.figure(3, "a commit as the node logs it, worst ms", rank(took, 1.0), 0, Goal::none());

    let (inside, outside) = split(&phase.heartbeats, &commits);
    let (workers_inside, workers_outside) = split(&phase.workers, &commits);
    let limit = outside.quantile(0.99).map(|p99| 2.0 * p99);
    let goal = Goal::at_most_by(limit, "twice the p99 outside");
    let part = |heartbeats, workers| Phase {
        heartbeats,
        workers,
        others: phase.others,
        holds: Vec::new(),
    };
    let inside = part(inside, workers_inside);
    scene.outcomes.beats(
        scene.place(3),
        "a commit (heartbeats under way while it runs)",
        &inside,
        goal,
    );
    let outside = part(outside, workers_outside);
    scene.outcomes.beats(scene.place(3), "no commit, between commits", &outside, Goal::none());
    scene.outcomes.beats(
        scene.place(3),
        "commits, the whole phase, a heartbeat each 10 ms",
        &phase,
        Goal::none(),
    );
    Ok(())
}

/// Splits heartbeats into those under way during a commit, and all others.
fn split(all: &Samples, commits: &[Commit]) -> (Samples, Samples) {
    let is_inside = |sample: &Sample| {
        let answered_ms = sample.due_ms + sample.took_ms;
        commits.iter().any(|c| sample.due_ms <= c.end_ms && answered_ms >= c.end_ms - c.took_ms)
    };
    (all.filter(is_inside), all.filter(|sample| !is_inside(sample)))
}

fn reads(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let plan = scene.plan;
    let committed = scene.ground.node()?.metrics()?.value(COMMITTED).unwrap_or_default() * 1e3;
    let from = committed - f64::from(WINDOWS) * WINDOW.as_secs_f64() * 1e3;
    let range = format!("from={from:.0}&to={committed:.0}");
    let stage = viewers::stage(0, 1);
    let paths = [
        ("/v1/stages/{s}/watch", format!("/v1/stages/{stage}/watch?{range}&limit=1000")),
        ("/v1/watch", format!("/v1/watch?{range}&limit=1000")),
        ("/v1/history", format!("/v1/history?{range}&step=1s")),
    ];
    // Memory after a read needs only one reader of one list.
    let (paths, readers) =
        if plan.has(&[2]) { (&paths[..], &[1, 4][..]) } else { (&paths[..1], &[1][..]) };
    for (name, path) in paths {
        for clients in readers.iter().copied() {
            let who =
                if clients == 1 { "1 reader".to_string() } else { format!("{clients} readers") };
            let what = format!("{who} of {name}, {WINDOWS} windows");
            let before = scene.ground.node()?.resident()?;
            let watch = scene.ground.node()?.watch_memory();
            let start = Instant::now();
            let (pages, phase, _) = scene.phase(&what, BEAT_EVERY, |ground| {
                readers::read(ground.node()?.address, path, clients, plan.phase)
            })?;
            let grown = (watch.finish()? - before).max(0.0) / 1e6;
            if !plan.has(&[2]) {
                continue;
            }
            scene.outcomes.beats(scene.place(2), &what, &phase, Goal::at_most(20.0));
            let of = |what: &str| format!("{name}, {who}, {what}");
            let count = pages.first_ms.len() + pages.next_ms.len();
            scene.figure(2, &of("first page, p50 ms"), pages.first(), 1, Goal::at_most(300.0));
            scene.figure(2, &of("next page, p50 ms"), pages.next(), 1, Goal::at_most(50.0));
            let a_second = count as f64 / start.elapsed().as_secs_f64();
            scene.figure(2, &of("pages a second"), Some(a_second), 1, Goal::none());
            scene.figure(2, &of("memory grows by, MB"), Some(grown), 0, Goal::at_most(READ_MB_MAX));
            refused(scene, 2, &of("pages refused, or not answered in 30 s"), &pages);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_under_way_during_a_commit_are_inside() {
        let sample = |due_ms, took_ms| Sample { due_ms, took_ms, own_ms: None, is_ok: true };
        // The heartbeats, in order: answered before the commit, under way at its begin, due in it,
        // due after it.
        let all = Samples(vec![
            sample(0.0, 10.0),
            sample(90.0, 20.0),
            sample(150.0, 5.0),
            sample(201.0, 5.0),
        ]);
        let (inside, outside) = split(&all, &[Commit { end_ms: 200.0, took_ms: 100.0 }]);
        let due = |samples: &Samples| samples.0.iter().map(|s| s.due_ms).collect::<Vec<_>>();
        assert_eq!((due(&inside), due(&outside)), (vec![90.0, 150.0], vec![0.0, 201.0]));
    }
}
