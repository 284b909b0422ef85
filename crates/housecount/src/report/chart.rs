//! Charts as SVG, without scripts. Colours are the page's.

use std::fmt::Write as _;

use super::facts::number;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;

/// A chart's frame: its label for people who can't see it, and its axes.
pub struct Frame<'a> {
    /// Text that says what the chart shows.
    pub label: &'a str,
    /// Largest value of the upright axis.
    pub most: f64,
    /// Unit of that axis.
    pub unit: &'a str,
    /// First and last place of the other axis.
    pub ends: [&'a str; 2],
}

impl Frame<'_> {
    /// Returns the chart with these shapes in its frame.
    fn around(&self, shapes: &str) -> String {
        let Frame { label, most, unit, ends: [first, last] } = self;
        let (label, unit) = (escaped(label), escaped(unit));
        format!(
            "<figure><svg viewBox=\"0 -20 {WIDTH} {}\" role=\"img\" aria-label=\"{label}\">\
             <line class=\"grid\" x1=\"0\" x2=\"{WIDTH}\" y1=\"1\" y2=\"1\"/>\
             <line class=\"grid\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{HEIGHT}\" y2=\"{HEIGHT}\"/>\
             {shapes}\
             <text x=\"0\" y=\"-6\">{}{unit}</text>\
             <text x=\"0\" y=\"{y}\">{}</text>\
             <text x=\"{WIDTH}\" y=\"{y}\" text-anchor=\"end\">{}</text></svg></figure>\n",
            HEIGHT + 40.0,
            most_text(*most),
            escaped(first),
            escaped(last),
            y = HEIGHT + 16.0,
        )
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - (HEIGHT - 2.0) * value / self.most.max(f64::MIN_POSITIVE)
    }
}

fn x(n: usize, count: usize) -> f64 {
    WIDTH * n as f64 / count.max(1) as f64
}

/// Returns a chart of steps: a band from least to most, and a line of the averages.
pub fn band(frame: &Frame<'_>, steps: &[(f64, f64, f64)]) -> String {
    let count = steps.len();
    let edge = |value: fn(&(f64, f64, f64)) -> f64| {
        let corners = steps.iter().enumerate().map(move |(n, step)| {
            let y = frame.y(value(step));
            format!("{:.1},{y:.1} {:.1},{y:.1}", x(n, count), x(n + 1, count))
        });
        corners.collect::<Vec<_>>()
    };
    let (least, most, average) = (edge(|step| step.0), edge(|step| step.2), edge(|step| step.1));
    let back: Vec<String> = least.iter().rev().map(|pair| swapped(pair)).collect();
    frame.around(&format!(
        "<polygon class=\"band\" points=\"{} {}\"/><polyline class=\"line\" points=\"{}\"/>",
        most.join(" "),
        back.join(" "),
        average.join(" ")
    ))
}

/// Returns two points in the other order.
fn swapped(pair: &str) -> String {
    pair.split_once(' ').map_or(String::new(), |(one, other)| format!("{other} {one}"))
}

/// Returns a chart of bars that go up and down from a line in the middle.
pub fn bars_up_and_down(frame: &Frame<'_>, bars: &[(f64, f64)]) -> String {
    let (count, middle) = (bars.len(), HEIGHT / 2.0);
    let scale = (middle - 2.0) / frame.most.max(f64::MIN_POSITIVE);
    let width = (WIDTH / count.max(1) as f64 * 0.8).max(0.5);
    let mut shapes = String::new();
    for (n, (up, down)) in bars.iter().enumerate() {
        let (x, up, down) = (x(n, count), up * scale, down * scale);
        let _ = write!(
            shapes,
            "<rect class=\"up\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{up:.1}\"/>\
             <rect class=\"down\" x=\"{x:.1}\" y=\"{middle:.1}\" width=\"{width:.1}\" height=\"{down:.1}\"/>",
            middle - up
        );
    }
    frame.around(&shapes)
}

/// Returns the largest value of an axis, as short as it is exact enough.
fn most_text(value: f64) -> String {
    if value < 100.0 && value.fract() != 0.0 { format!("{value:.1}") } else { number(value as u64) }
}

/// Returns a bar for a part from 0 to 1. The text beside it says the value.
pub fn bar(part: f64) -> String {
    let width = part.clamp(0.0, 1.0) * 100.0;
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"rest\" width=\"100\" height=\"1\"/>\
         <rect class=\"up\" width=\"{width:.2}\" height=\"1\"/></svg>"
    )
}

/// Returns a text that HTML shows as it is.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            _ => safe.push(c),
        }
    }
    safe
}
