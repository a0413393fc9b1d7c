//! The plot for the README: what a command costs, by pipelining and by number of connections.

use std::fmt::Write;

use serde::Serialize;

use crate::load::Failure;
use crate::report::{Machine, figure, median};
use crate::rows::{closed, cost};
use crate::system::{Bench, CLIENTS, Measure};

/// Commands in flight on each of 16 connections.
const DEPTHS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Connections with one command in flight on each.
const CONNECTIONS: [usize; 6] = [1, 4, 16, 64, 256, 1000];

/// One measured point.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Which system.
    pub system: &'static str,
    /// Connections.
    pub connections: usize,
    /// Commands in flight on each connection.
    pub depth: usize,
    /// CPU microseconds of the server per command.
    pub cost_us: f64,
}

/// Measures all points.
pub fn sweep(bench: &Bench) -> Result<Vec<Point>, Failure> {
    let mut systems = vec![bench.herd_alone()?];
    systems.extend(cost::redises(bench)?);
    cost::fill(&mut systems, CLIENTS)?;
    let pipelined = DEPTHS.iter().map(|depth| (16, *depth));
    let single = CONNECTIONS.iter().filter(|count| **count != 16).map(|count| (*count, 1));
    let mut points = Vec::new();
    for (connections, depth) in pipelined.chain(single) {
        let measures = closed(bench, &systems, connections, depth)?;
        for (system, runs) in systems.iter().zip(measures) {
            let costs: Vec<f64> = runs.iter().map(Measure::cost_us).collect();
            let cost_us = median(&costs).unwrap_or_default();
            points.push(Point { system: system.label, connections, depth, cost_us });
        }
    }
    Ok(points)
}

/// One line of the plot: its system, its name, its colour, and which end its name is at.
const LINES: [(&str, &str, &str); 3] = [
    ("herd", "herd IAMAT", "#0b6e4f"),
    ("SET", "Redis SET", "#c0392b"),
    ("GEOADD", "Redis GEOADD", "#d98880"),
];

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 400.0;
/// Pixels of a panel's drawing area.
const PANEL: (f64, f64) = (330.0, 260.0);
const TOP: f64 = 62.0;

/// One half of the plot.
struct Panel<'a> {
    left: f64,
    title: &'a str,
    axis: &'a str,
    /// Labelled positions along the horizontal axis.
    ticks: &'a [usize],
    /// Decades of the vertical axis, as powers of ten.
    decades: (i32, i32),
}

/// Draws the plot.
pub fn draw(points: &[Point], machine: &Machine) -> String {
    let costs = points.iter().map(|point| point.cost_us.log10());
    let low = costs.clone().fold(f64::INFINITY, f64::min).floor();
    let high = costs.fold(f64::NEG_INFINITY, f64::max).ceil();
    let decades = (decade(low), decade(high).max(decade(low) + 1));
    let depths = Panel {
        left: 62.0,
        title: "16 connections",
        axis: "commands in flight on each connection",
        ticks: &DEPTHS,
        decades,
    };
    let connections = Panel {
        left: 62.0 + PANEL.0 + 70.0,
        title: "one command at a time",
        axis: "connections",
        ticks: &CONNECTIONS,
        decades,
    };
    let mut svg = opening(machine);
    depths.draw(&mut svg, points, |point| (point.connections == 16).then_some(point.depth));
    connections.draw(&mut svg, points, |point| (point.depth == 1).then_some(point.connections));
    legend(&mut svg);
    svg.push_str("</svg>\n");
    svg
}

/// A power of ten; costs are between nanoseconds and seconds.
#[expect(clippy::cast_possible_truncation)]
fn decade(power: f64) -> i32 {
    power.clamp(-6.0, 6.0) as i32
}

fn opening(machine: &Machine) -> String {
    let (middle, bottom) = (WIDTH / 2.0, HEIGHT - 8.0);
    let line = machine.line().replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>What a command costs the server</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"62\" y=\"20\" font-size=\"15\" font-weight=\"bold\" fill=\"#222222\">\
         CPU time of the server per command, in µs</text>\n\
         <text x=\"{middle}\" y=\"{bottom}\" font-size=\"10\" fill=\"#777777\" text-anchor=\"middle\">{line}</text>\n"
    )
}

impl Panel<'_> {
    fn draw(&self, svg: &mut String, points: &[Point], along: impl Fn(&Point) -> Option<usize>) {
        self.frame(svg);
        for (system, _, colour) in LINES {
            let mut line: Vec<(usize, f64)> = points
                .iter()
                .filter(|point| point.system == system)
                .filter_map(|point| Some((along(point)?, point.cost_us)))
                .collect();
            line.sort_by_key(|(along, _)| *along);
            self.line(svg, &line, colour);
        }
    }

    fn x(&self, along: usize) -> f64 {
        let (first, last) = (self.ticks[0] as f64, self.ticks[self.ticks.len() - 1] as f64);
        self.left + PANEL.0 * (along as f64 / first).ln() / (last / first).ln()
    }

    fn y(&self, cost_us: f64) -> f64 {
        let (low, high) = (f64::from(self.decades.0), f64::from(self.decades.1));
        TOP + PANEL.1 * (high - cost_us.log10()) / (high - low)
    }

    fn frame(&self, svg: &mut String) {
        let (right, bottom) = (self.left + PANEL.0, TOP + PANEL.1);
        let (middle, above) = (self.left + PANEL.0 / 2.0, TOP - 12.0);
        text(svg, (middle, above), "middle", "#222222", self.title);
        text(svg, (middle, bottom + 36.0), "middle", "#444444", self.axis);
        for decade in self.decades.0..=self.decades.1 {
            for part in [1.0, 2.0, 5.0] {
                let cost = part * 10_f64.powi(decade);
                if decade == self.decades.1 && part > 1.0 {
                    break;
                }
                let (y, shade) = (self.y(cost), if part > 1.0 { "#eeeeee" } else { "#cccccc" });
                rule(svg, (self.left, y), (right, y), shade);
                text(svg, (self.left - 6.0, y + 4.0), "end", "#444444", &plain(cost));
            }
        }
        for tick in self.ticks {
            let x = self.x(*tick);
            rule(svg, (x, bottom), (x, bottom + 4.0), "#888888");
            text(svg, (x, bottom + 18.0), "middle", "#444444", &tick.to_string());
        }
    }

    fn line(&self, svg: &mut String, line: &[(usize, f64)], colour: &str) {
        let spots: Vec<String> =
            line.iter().map(|(along, cost)| format!("{:.1},{:.1}", self.x(*along), self.y(*cost))).collect();
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            spots.join(" ")
        );
        for (along, cost) in line {
            let (x, y) = (self.x(*along), self.y(*cost));
            let shown = figure(*cost, "µs");
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"><title>{along}: {shown}</title></circle>"
            );
        }
    }
}

fn legend(svg: &mut String) {
    for ((_, name, colour), at) in LINES.into_iter().zip(0_u8..) {
        let x = 500.0 + f64::from(at) * 115.0;
        rule(svg, (x, 16.0), (x + 20.0, 16.0), colour);
        text(svg, (x + 25.0, 20.0), "start", "#222222", name);
    }
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, colour: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>",
        at.0, at.1
    );
}

/// A number of the vertical axis, without needless digits.
fn plain(cost: f64) -> String {
    if cost < 0.1 {
        format!("{cost:.2}")
    } else if cost < 1.0 {
        format!("{cost:.1}")
    } else {
        format!("{cost:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let text = || "x<y".to_owned();
        Machine {
            processor: text(),
            cores: 2,
            kernel: text(),
            file_system: text(),
            date: text(),
            versions: vec![text()],
        }
    }

    #[test]
    fn every_point_is_drawn_inside_the_picture() {
        let points: Vec<Point> = DEPTHS
            .iter()
            .flat_map(|depth| {
                LINES.map(|(system, ..)| Point {
                    system,
                    connections: 16,
                    depth: *depth,
                    cost_us: 40.0 / *depth as f64,
                })
            })
            .collect();

        let svg = draw(&points, &machine());

        // Each system has a point per depth, and the one of depth one is in both halves.
        assert_eq!(svg.matches("<circle").count(), 3 * (DEPTHS.len() + 1));
        let inside = |name: &str, limit: f64| {
            svg.split(name).skip(1).all(|rest| {
                let number = rest.split('"').nth(1).and_then(|digits| digits.parse::<f64>().ok());
                number.is_some_and(|at| (0.0..=limit).contains(&at))
            })
        };
        assert!(inside(" cx=", WIDTH) && inside(" cy=", HEIGHT));
        assert!(!svg.contains("x<y"));
    }

    #[test]
    fn a_plot_without_redis_is_a_plot_all_the_same() {
        let points = [Point { system: "herd", connections: 16, depth: 1, cost_us: 5.0 }];
        assert_eq!(draw(&points, &machine()).matches("<circle").count(), 2);
    }
}
