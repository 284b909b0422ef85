//! A report as one HTML page. It loads nothing, runs nothing, and can be printed.

use std::fmt::Write as _;

use housecount_server::calendar::Zone;

use super::chart::{Frame, band, bar, bars_up_and_down, escaped};
use super::{ReportDocument, facts};

const STYLE: &str = include_str!("page.css");

/// Returns the report as a page.
pub fn render(of: &ReportDocument, zone: &Zone) -> String {
    let (title, range) = (escaped(&facts::title(of)), escaped(&facts::range(of, zone)));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}: audience report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"range\">{range}</p>\n<dl>\n"
    );
    for (name, value) in facts::main(of, zone) {
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(&value));
    }
    page.push_str("</dl>\n");
    steps(&mut page, of, zone);
    retention(&mut page, of);
    by_label(&mut page, of);
    histogram(&mut page, of);
    let _ = write!(
        page,
        "<p class=\"note\">Watch time is exact, from heartbeats. A view is a viewer's watch time without \
         a gap of more than {}. Viewers with a single heartbeat are in no figure. Made by \
         housecount.</p>\n</main>\n</body>\n</html>\n",
        facts::minutes(of.ttl_ms)
    );
    page
}

fn steps(page: &mut String, of: &ReportDocument, zone: &Zone) {
    let steps = &of.report.steps;
    let ends = [facts::short_time(zone, of.from), facts::short_time(zone, of.to)];
    let frame = |label, most, unit| Frame { label, most, unit, ends: [&ends[0], &ends[1]] };
    let viewers: Vec<_> =
        steps.iter().map(|step| (step.min as f64, step.avg, step.max as f64)).collect();
    let label = format!("Viewers at once, at most {}", facts::number(of.report.head.peak_viewers));
    let most = of.report.head.peak_viewers as f64;
    let chart = band(&frame(&label, most, " viewers"), &viewers);
    let _ = write!(page, "<h2>Viewers at once</h2>\n{chart}");
    let moves: Vec<_> =
        steps.iter().map(|step| (step.joins_per_minute, step.leaves_per_minute)).collect();
    let most = moves.iter().fold(0.0_f64, |most, (joins, leaves)| most.max(*joins).max(*leaves));
    let label = format!("Joins and leaves a minute, at most {most:.1}");
    let chart = bars_up_and_down(&frame(&label, most, " a minute"), &moves);
    let _ = write!(
        page,
        "<h2>Joins and leaves</h2>\n<p>Joins are above the middle, leaves below.</p>\n{chart}"
    );
}

fn retention(page: &mut String, of: &ReportDocument) {
    let rows = facts::retention(of);
    if rows.is_empty() {
        return;
    }
    let note = escaped(&facts::retention_note(of));
    let _ = writeln!(page, "<h2>Still watching</h2>\n<p>{note}</p>");
    let rows: Vec<_> = rows
        .iter()
        .map(|(after, share, viewers)| {
            let of = facts::number(*viewers);
            (after.as_str(), *share, format!("{} of {of}", facts::percent(*share)))
        })
        .collect();
    table(page, ["After", "Share", "Watching"], &rows);
}

fn by_label(page: &mut String, of: &ReportDocument) {
    let Some(title) = facts::by_label(of) else { return };
    let heads = facts::VALUE_HEADS.map(|head| format!("<th scope=\"col\">{head}</th>")).concat();
    let _ = writeln!(
        page,
        "<h2>{}</h2>\n<p>{}</p>\n<table>\n<thead><tr><th scope=\"col\">Value</th>{heads}</tr>\
         </thead>\n<tbody>",
        escaped(&title),
        facts::BY_LABEL_NOTE
    );
    for (value, figures) in facts::by_value(of) {
        let cells = figures.map(|figure| format!("<td>{}</td>", escaped(&figure))).concat();
        let _ = writeln!(page, "<tr><th scope=\"row\">{}</th>{cells}</tr>", escaped(&value));
    }
    page.push_str("</tbody>\n</table>\n");
}

fn histogram(page: &mut String, of: &ReportDocument) {
    let classes = facts::histogram(of);
    let most = classes.iter().map(|(_, viewers)| *viewers).max().unwrap_or(0).max(1) as f64;
    let rows: Vec<_> = classes
        .iter()
        .map(|(class, viewers)| (class.as_str(), *viewers as f64 / most, facts::number(*viewers)))
        .collect();
    page.push_str("<h2>Viewers by watch time</h2>\n");
    table(page, ["Watch time", "Part", "Viewers"], &rows);
}

/// Writes a table whose second column is a bar.
fn table(page: &mut String, heads: [&str; 3], rows: &[(&str, f64, String)]) {
    let [name, part, value] = heads;
    let _ = writeln!(
        page,
        "<table>\n<thead><tr><th scope=\"col\">{name}</th><th scope=\"col\">{part}</th>\
         <th scope=\"col\">{value}</th></tr></thead>\n<tbody>"
    );
    for (name, part, value) in rows {
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{name}</th><td>{}</td><td>{value}</td></tr>",
            bar(*part)
        );
    }
    page.push_str("</tbody>\n</table>\n");
}
