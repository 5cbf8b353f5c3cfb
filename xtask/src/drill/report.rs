//! What a drill found: figures beside their limits, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::checker::Findings;

/// Ids that are shown of a figure that missed its limit.
const SHOWN: usize = 10;

/// One figure.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    name: String,
    value: String,
    limit: String,
    /// None where it is only told.
    holds: Option<bool>,
    look_at: Vec<String>,
}

/// The figures of one drill.
#[derive(Debug, Clone)]
pub(super) struct Report {
    drill: String,
    seed: u64,
    figures: Vec<Figure>,
}

impl Report {
    pub(super) fn new(drill: &str, seed: u64) -> Self {
        Self {
            drill: drill.to_owned(),
            seed,
            figures: Vec::new(),
        }
    }

    /// A figure that is only told.
    #[expect(clippy::needless_pass_by_value, reason = "a figure is handed over, whatever it is")]
    pub(super) fn tell(&mut self, name: &str, value: impl ToString) {
        self.add(name, value.to_string(), "", None, Vec::new());
    }

    /// A figure with its limit in words.
    #[expect(clippy::needless_pass_by_value, reason = "a figure is handed over, whatever it is")]
    pub(super) fn hold(&mut self, name: &str, value: impl ToString, limit: &str, holds: bool) {
        self.add(name, value.to_string(), limit, Some(holds), Vec::new());
    }

    /// A list that has to be empty.
    pub(super) fn none_of(&mut self, name: &str, found: &[String]) {
        self.add(name, found.len().to_string(), "0", Some(found.is_empty()), found.to_vec());
    }

    /// A time that may not be longer.
    pub(super) fn within(&mut self, name: &str, took: Duration, most: Duration) {
        self.add(name, seconds(took), &format!("≤ {}", seconds(most)), Some(took <= most), Vec::new());
    }

    /// What the judge found.
    pub(super) fn judged(&mut self, findings: &Findings) {
        self.tell("messages promised", findings.acks);
        self.tell("rows in the store", findings.rows);
        self.tell("arrivals at providers", findings.arrivals);
        self.none_of("lost", &findings.lost);
        self.none_of("stuck", &findings.stuck);
        self.add(
            "duplicates, explained",
            findings.explained.len().to_string(),
            "",
            None,
            findings.explained.clone(),
        );
        self.none_of("duplicates, unexplained", &findings.unexplained);
        self.none_of("said to be sent, never arrived", &findings.never_contacted);
        self.none_of("arrived, not told by the store", &findings.untold);
        self.none_of("messages with the same key", &findings.doubled_rows);
        self.add(
            "rows that nobody was promised",
            findings.unpromised.len().to_string(),
            "",
            None,
            findings.unpromised.clone(),
        );
    }

    fn add(&mut self, name: &str, value: String, limit: &str, holds: Option<bool>, look_at: Vec<String>) {
        self.figures.push(Figure {
            name: name.to_owned(),
            value,
            limit: limit.to_owned(),
            holds,
            look_at,
        });
    }

    /// The names of the figures that miss their limits.
    pub(super) fn misses(&self) -> Vec<&str> {
        let missed = self.figures.iter().filter(|figure| figure.holds == Some(false));
        missed.map(|figure| figure.name.as_str()).collect()
    }

    pub(super) fn table(&self) -> String {
        let width = |of: fn(&Figure) -> &str, title: &str| {
            let widths = self.figures.iter().map(|figure| of(figure).chars().count());
            widths.chain([title.len()]).max().unwrap_or_default()
        };
        let name = width(|figure| &figure.name, "figure");
        let value = width(|figure| &figure.value, "found");
        let limit = width(|figure| &figure.limit, "limit");
        let mut text = format!("\n{}, seed {}\n", self.drill, self.seed);
        let head = format!(
            "  {:name$}  {:>value$}  {:limit$}  verdict
",
            "figure", "found", "limit"
        );
        text.push_str(&head);
        for figure in &self.figures {
            let verdict = match figure.holds {
                None => "",
                Some(true) => "holds",
                Some(false) => "MISSED",
            };
            let line = format!(
                "  {:name$}  {:>value$}  {:limit$}  {verdict}",
                figure.name, figure.value, figure.limit
            );
            text.push_str(line.trim_end());
            text.push('\n');
            if figure.holds == Some(false) {
                for found in figure.look_at.iter().take(SHOWN) {
                    text.extend(["      ", found, "\n"]);
                }
                if figure.look_at.len() > SHOWN {
                    let more = format!("      … and {} more\n", figure.look_at.len() - SHOWN);
                    text.push_str(&more);
                }
            }
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|figure| {
                json!({
                    "name": figure.name, "value": figure.value, "limit": figure.limit,
                    "holds": figure.holds, "look_at": figure.look_at,
                })
            })
            .collect();
        json!({"drill": self.drill, "seed": self.seed, "holds": self.misses().is_empty(), "figures": figures})
    }
}

pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

/// The value below which so many of a hundred lie; nothing of nothing.
pub(super) fn percentile(durations: &[Duration], percent: usize) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort();
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Report, percentile};

    #[test]
    fn a_miss_is_named_with_what_to_look_at() {
        let mut report = Report::new("crash on sqlite", 7);
        report.tell("rounds", 3);
        report.none_of("stuck", &[]);
        report.none_of("lost", &["id-1".to_owned(), "id-2".to_owned()]);
        report.within("ready", Duration::from_millis(1_500), Duration::from_secs(3));
        assert_eq!(report.misses(), ["lost"]);
        let table = report.table();
        assert!(table.contains("seed 7") && table.contains("id-2"), "{table}");
        assert!(table.contains("1.50 s") && table.contains("≤ 3.00 s"), "{table}");
        assert_eq!(report.json()["holds"], false);
        assert_eq!(report.json()["figures"][2]["look_at"][0], "id-1");
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(100));
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(200));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
