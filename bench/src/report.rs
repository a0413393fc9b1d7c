//! What was measured, against what was wanted: the table, and the same as JSON.

use std::fmt::Write;

use serde::Serialize;

/// On which side of its target a figure must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
    /// There is no target: the figure explains others.
    None,
}

/// One figure of a row.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The row of the table of targets.
    pub row: u8,
    /// What the figure says.
    pub what: String,
    /// The median; `None` where it was not measured.
    pub measured: Option<f64>,
    /// All runs.
    pub runs: Vec<f64>,
    /// The unit, `×` for ratios.
    pub unit: &'static str,
    /// The target.
    pub bound: Bound,
    /// Absolute figures behind a ratio, or why nothing was measured.
    pub note: String,
    /// Whether nothing was measured because something went wrong.
    pub failed: bool,
}

impl Finding {
    /// The median of some runs against a target.
    pub fn new(row: u8, what: impl Into<String>, runs: Vec<f64>, unit: &'static str, bound: Bound) -> Self {
        let measured = median(&runs);
        Self { row, what: what.into(), measured, runs, unit, bound, note: String::new(), failed: false }
    }

    /// Something that could not be measured, and why.
    pub fn skipped(row: u8, what: impl Into<String>, why: impl Into<String>) -> Self {
        let what = what.into();
        Self {
            row,
            what,
            measured: None,
            runs: Vec::new(),
            unit: "",
            bound: Bound::None,
            note: why.into(),
            failed: false,
        }
    }

    /// A row during which something went wrong: a wrong reply above all.
    pub fn failed(row: u8, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { failed: true, ..Self::skipped(row, what, why) }
    }

    /// Adds a remark.
    #[must_use]
    pub fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// `pass`, `short`, or what stands for neither. The figure is judged as it is shown.
    pub fn verdict(&self) -> &'static str {
        match (self.measured, self.bound) {
            (None, _) if self.failed => "**failed**",
            (None, _) => "skipped",
            (Some(_), Bound::None) => "",
            (Some(measured), Bound::AtLeast(target)) if rounded(measured) >= target => "pass",
            (Some(measured), Bound::AtMost(target)) if rounded(measured) <= target => "pass",
            _ => "**short**",
        }
    }

    fn target(&self) -> String {
        match self.bound {
            Bound::AtLeast(target) => format!("≥ {}", figure(target, self.unit)),
            Bound::AtMost(target) => format!("≤ {}", figure(target, self.unit)),
            Bound::None => String::new(),
        }
    }

    /// The least and the most of all runs, or nothing where there is only one figure to show.
    fn range(&self) -> String {
        let shown = |number: f64| figure(number, "");
        let (least, most) =
            (self.runs.iter().copied().reduce(f64::min), self.runs.iter().copied().reduce(f64::max));
        let range = least.map(shown).zip(most.map(shown)).filter(|(least, most)| least != most);
        range.map_or_else(String::new, |(least, most)| format!("{least}–{most}"))
    }

    fn shown(&self) -> String {
        self.measured.map_or_else(|| "–".to_owned(), |measured| figure(measured, self.unit))
    }
}

/// Where and when it was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Cores that the bench may use.
    pub cores: usize,
    /// The kernel's version.
    pub kernel: String,
    /// The kind of file system that servers write to.
    pub file_system: String,
    /// The day, in UTC.
    pub date: String,
    /// Versions of what was compared.
    pub versions: Vec<String>,
}

impl Machine {
    /// One line for people.
    pub fn line(&self) -> String {
        let Self { processor, cores, kernel, file_system, date, versions } = self;
        format!("{processor}, {cores} cores, Linux {kernel}, {file_system}; {}; {date}", versions.join(", "))
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(runs: &[f64]) -> Option<f64> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[half]),
        _ => Some(f64::midpoint(sorted[half - 1], sorted[half])),
    }
}

/// Three digits, and the unit.
pub fn figure(number: f64, unit: &str) -> String {
    let space = if matches!(unit, "×" | "") { "" } else { " " };
    format!("{number:.decimals$}{space}{unit}", decimals = decimals(number))
}

/// How many decimals a number is shown with: three digits in all, or as many as it has before the point.
fn decimals(number: f64) -> usize {
    match number.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    }
}

/// A number as it is shown.
fn rounded(number: f64) -> f64 {
    let decimals = decimals(number);
    format!("{number:.decimals$}").parse().unwrap_or(number)
}

/// The table in Markdown.
pub fn table(findings: &[Finding]) -> String {
    let mut table = String::from("| # | what | target | measured | runs | |\n|---|---|---|---|---|---|\n");
    for finding in findings {
        let Finding { row, what, note, .. } = finding;
        let remark = if note.is_empty() { String::new() } else { format!(" ({note})") };
        let (target, shown, verdict) = (finding.target(), finding.shown(), finding.verdict());
        let range = finding.range();
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| {row} | {what} | {target} | {shown}{remark} | {range} | {verdict} |");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_run_whatever_their_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_target_that_is_just_met_is_a_pass_and_one_missed_is_short() {
        let finding = |bound| Finding::new(1, "x", vec![3.0], "×", bound).verdict();
        assert_eq!(finding(Bound::AtLeast(3.0)), "pass");
        assert_eq!(finding(Bound::AtMost(3.0)), "pass");
        assert_eq!(finding(Bound::AtLeast(3.1)), "**short**");
        assert_eq!(finding(Bound::AtMost(2.9)), "**short**");
        let nearly = |most| Finding::new(8, "x", vec![most], "", Bound::AtMost(4.0)).verdict();
        assert_eq!([4.004, 4.006].map(nearly), ["pass", "**short**"]);
        assert_eq!(Finding::skipped(1, "x", "why").verdict(), "skipped");
        assert_eq!(Finding::failed(1, "x", "why").verdict(), "**failed**");
    }

    #[test]
    fn a_row_of_the_table_has_the_target_the_figure_the_range_of_the_runs_and_the_verdict() {
        let row = |runs| table(&[Finding::new(3, "IAMAT", runs, "×", Bound::AtLeast(2.0)).noted("1 to 2")]);
        let (three, equal) = (row(vec![2.345, 11.52, 1.9]), row(vec![2.001, 2.002]));
        assert!(three.ends_with("| 3 | IAMAT | ≥ 2.00× | 2.35× (1 to 2) | 1.90–11.5 | pass |\n"), "{three}");
        assert!(equal.ends_with("| 2.00× (1 to 2) |  | pass |\n"), "{equal}");
    }
}
