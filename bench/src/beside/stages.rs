//! Row 7 and the open overview of row 2, with the viewers on 10,000 stages.

use std::time::{Duration, Instant};

use super::lists::{refused, whole};
use super::outcomes::Goal;
use super::probe::unix_ms;
use super::readers::{self, Subscribers};
use super::scene::{BEAT_EVERY, BEAT_OFTEN, INTERVAL_S, Scene, rate};
use crate::http::Client;

/// Rows of this scene.
pub const ROWS: [u8; 2] = [2, 7];
/// Stages that the viewers are on.
const STAGES: usize = 10_000;
/// Number of stages on a page.
const PAGE: usize = 100;
/// Subscribers of all stages.
const SUBSCRIBERS: usize = 50;
/// Time limit for one call of the overview.
const CALL_WAIT: Duration = Duration::from_secs(30);
/// Seconds for which the modelled overview stays open. In this time it requests watch time once and
/// its curve four times.
const OVERVIEW_S: f64 = 120.0;

/// Runs the scene.
///
/// # Errors
/// Returns an error if a node fails or refuses a call.
pub fn run(mut scene: Scene<'_>) -> anyhow::Result<()> {
    let plan = scene.plan;
    let stages = STAGES.min(plan.viewers / 2);
    let crowd = scene.gather(stages, rate(plan.viewers, INTERVAL_S))?;
    std::thread::sleep(Duration::from_secs(2));
    if plan.has(&[7]) {
        lists(&mut scene, stages)?;
    }
    if plan.has(&[2]) {
        overview(&mut scene, stages)?;
    }
    scene.end(crowd, "10,000 stages")?;
    Ok(())
}

fn lists(scene: &mut Scene<'_>, stages: usize) -> anyhow::Result<()> {
    let plan = scene.plan;
    let goal = || Goal::at_most(20.0);
    let what = "nothing, 10,000 stages";
    scene.beside(7, what, BEAT_EVERY, Goal::none(), |_| {
        std::thread::sleep(plan.phase);
        Ok(())
    })?;
    let pages =
        scene.beside(7, "1 client reads pages of 100 stages", BEAT_EVERY, goal(), |ground| {
            readers::read(
                ground.node()?.address,
                &format!("/v1/stages?limit={PAGE}"),
                1,
                plan.phase,
            )
        })?;
    scene.figure(7, "a page of 100 stages, p50 ms", pages.quantile(0.5), 2, Goal::at_most(0.2));
    scene.figure(7, "a page of 100 stages, worst ms", pages.quantile(1.0), 1, Goal::none());
    whole(scene, 7, "all stages, s", &pages, stages.div_ceil(PAGE), Goal::none());
    refused(scene, 7, "pages refused, or not answered in 30 s", &pages);

    let what = format!("{SUBSCRIBERS} subscribers of all stages");
    let bytes = scene.beside(7, &what, BEAT_EVERY, goal(), |ground| {
        let subscribers = Subscribers::open(ground.node()?.address, "/v1/live", SUBSCRIBERS)?;
        std::thread::sleep(plan.phase);
        subscribers.close()
    })?;
    scene.figure(7, "MB that 50 subscribers are sent", Some(bytes as f64 / 1e6), 1, Goal::none());

    let took =
        scene.beside(7, "a snapshot, a heartbeat each 10 ms", BEAT_OFTEN, goal(), |ground| {
            let start = Instant::now();
            let request =
                "POST /v1/admin/snapshot HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n";
            Client::connect(ground.node()?.address)?.expect(request.as_bytes())?;
            Ok(start.elapsed())
        })?;
    scene.figure(7, "a snapshot, s", Some(took.as_secs_f64()), 2, Goal::none());
    Ok(())
}

/// Measures the calls of the dashboard's first page: a stream, all stages, watch time of the day
/// and of the last hour, the curve.
fn overview(scene: &mut Scene<'_>, stages: usize) -> anyhow::Result<()> {
    let plan = scene.plan;
    let cpu_a_second = |spent: super::ground::Spent| spent.nodes_s / spent.took_s.max(0.001);
    let (_, _, alone) = scene.phase("nothing, before an overview", BEAT_EVERY, |_| {
        std::thread::sleep(plan.phase);
        Ok(())
    })?;
    let (_, _, streamed) = scene.phase("one stream of all stages", BEAT_EVERY, |ground| {
        let stream = Subscribers::open(ground.node()?.address, "/v1/live?totals=true", 1)?;
        std::thread::sleep(plan.phase);
        stream.close()
    })?;
    let now = unix_ms();
    let (hour, day) = (now - 3_600_000.0, now - now % 86_400_000.0);
    let calls = [
        ("/v1/stages?limit=1000".to_string(), 1.0),
        (format!("/v1/watch?from={day:.0}&limit=1000"), 1.0),
        (format!("/v1/watch?from={hour:.0}&step=2m&limit=1000"), 1.0),
        (format!("/v1/history?from={hour:.0}&step=15s"), OVERVIEW_S / 30.0),
    ];
    let mut spent_s = Vec::new();
    let what = format!("an overview of {stages} stages opens");
    scene.beside(2, &what, BEAT_EVERY, Goal::at_most(20.0), |ground| {
        for (path, times) in &calls {
            let before = ground.used()?;
            readers::read_whole(ground.node()?.address, path, CALL_WAIT)?;
            let spent = ground.spent_since(&before)?;
            spent_s.push((spent.nodes_s - cpu_a_second(alone) * spent.took_s).max(0.0) * times);
        }
        Ok(())
    })?;
    let stream_s = (cpu_a_second(streamed) - cpu_a_second(alone)).max(0.0) * OVERVIEW_S;
    let all_s = spent_s.iter().sum::<f64>() + stream_s;
    scene.figure(
        2,
        "an open overview, node CPU s in 120 s (computed from its calls)",
        Some(all_s),
        2,
        Goal::at_most(1.0),
    );
    Ok(())
}
