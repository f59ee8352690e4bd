//! Tables of figures, ratios and goals, in Markdown.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Options;
use crate::measure::Figure;

/// berth's median over another's is to be at most this.
pub struct Goal {
    /// The other.
    pub name: &'static str,
    /// The ratio.
    pub ratio: f64,
}

/// What has been measured so far.
pub struct Report {
    text: String,
    markdown: Option<std::path::PathBuf>,
    json: Option<std::path::PathBuf>,
    /// The same for programs.
    figures: Vec<serde_json::Value>,
    missed: usize,
}

impl Report {
    /// An empty one, with what is the same for all figures.
    pub fn new(options: &Options) -> Self {
        let mut text = String::new();
        let cpus =
            if options.cpus.is_empty() { "all CPUs".to_owned() } else { format!("CPUs {:?}", options.cpus) };
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "Medians of {} runs that took turns, on {cpus}, in milliseconds.",
            options.many_runs()
        );
        let (markdown, json) = (options.markdown.clone(), options.json.clone());
        Self { text, markdown, json, figures: Vec::new(), missed: 0 }
    }

    /// Says which peers were met.
    pub fn versions<'a>(&mut self, peers: impl Iterator<Item = (&'a str, &'a Path)>) {
        for (name, path) in peers {
            let output =
                Command::new(path).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
            let version = String::from_utf8_lossy(&output);
            self.say(&format!("- {name}: {}", version.lines().next().unwrap_or("does not run")));
        }
    }

    /// Begins a table.
    pub fn section(&mut self, title: &str) {
        self.say(&format!(
            "\n### {title}\n\n| figure | runtime | median | 10 % | 90 % | berth ÷ it | goal | |\n|---|---|---|---|---|---|---|---|"
        ));
    }

    /// One figure of all contestants; berth's beside each goal.
    pub fn row(&mut self, row: &str, figures: &[Figure], failures: &[String], goals: &[Goal]) {
        let berth = figures.iter().find(|figure| figure.name == "berth").map(|figure| figure.median);
        for figure in figures {
            let ratio = berth.map(|berth| berth.as_secs_f64() / figure.median.as_secs_f64());
            let goal = goals.iter().find(|goal| goal.name == figure.name);
            let (goal, verdict) = match (goal, ratio) {
                (Some(goal), Some(ratio)) => {
                    (format!("≤ {:.2}", goal.ratio), self.judge(ratio <= goal.ratio))
                }
                _ => (String::new(), ""),
            };
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            self.figure(row, figure, &ratio, &goal, verdict);
        }
        self.failures(failures);
    }

    /// What berth takes above the first figure.
    pub fn overhead(&mut self, row: &str, figures: &[Figure], failures: &[String], goal: Duration) {
        let base = figures.first().map_or(Duration::ZERO, |figure| figure.median);
        for figure in figures {
            let above = figure.median.saturating_sub(base);
            let verdict = self.judge(above <= goal);
            let goal = format!("≤ {} above", milliseconds(goal));
            self.figure(row, figure, &format!("+{}", milliseconds(above)), &goal, verdict);
        }
        self.failures(failures);
    }

    /// A time that is to be below a bound.
    pub fn at_most(&mut self, row: &str, figures: &[Figure], failures: &[String], goal: Duration) {
        for figure in figures {
            let verdict = self.judge(figure.median <= goal);
            self.figure(row, figure, "", &format!("≤ {}", milliseconds(goal)), verdict);
        }
        self.failures(failures);
    }

    /// What each of several programs weighs, in bytes; the first is berth's.
    pub fn weights(&mut self, row: &str, weights: &[(&str, u64)], goal: u64) {
        let kib = |bytes: u64| bytes / 1024;
        let berth = weights.first().map_or(0, |(_, bytes)| *bytes);
        for (at, (name, bytes)) in weights.iter().enumerate() {
            let (goal, verdict) = match at {
                0 => (format!("≤ {} KiB", kib(goal)), self.judge(berth <= goal)),
                _ => (String::new(), ""),
            };
            let ratio = berth as f64 / *bytes as f64;
            self.say(&format!(
                "| {row} | {name} | {} KiB | | | {ratio:.3} | {goal} | {verdict} |",
                kib(*bytes)
            ));
        }
    }

    /// A line before the tables.
    pub fn note(&mut self, line: &str) {
        self.say(line);
    }

    /// A peak of memory, in bytes.
    pub fn memory(&mut self, row: &str, peak: u64, goal: u64) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let verdict = self.judge(peak <= goal);
        self.say(&format!(
            "| {row} | berth | {:.1} MiB | | | | ≤ {:.0} MiB | {verdict} |",
            mib(peak),
            mib(goal)
        ));
    }

    fn figure(&mut self, row: &str, figure: &Figure, ratio: &str, goal: &str, verdict: &str) {
        let Figure { name, median, tenth, ninetieth } = figure;
        self.figures.push(serde_json::json!({
            "figure": row,
            "of": name,
            "median_ns": nanoseconds(*median),
            "tenth_ns": nanoseconds(*tenth),
            "ninetieth_ns": nanoseconds(*ninetieth),
            "ratio": ratio,
            "goal": goal,
            "verdict": verdict,
        }));
        let [median, tenth, ninetieth] = [median, tenth, ninetieth].map(|time| milliseconds(*time));
        self.say(&format!(
            "| {row} | {name} | {median} | {tenth} | {ninetieth} | {ratio} | {goal} | {verdict} |"
        ));
    }

    fn failures(&mut self, failures: &[String]) {
        for failure in failures {
            self.failure(failure);
        }
    }

    /// A contestant that could not be measured.
    pub fn failure(&mut self, failure: &str) {
        eprintln!("bench: left out: {failure}");
        self.figures.push(serde_json::json!({ "left_out": failure }));
    }

    fn judge(&mut self, holds: bool) -> &'static str {
        if holds {
            return "holds";
        }
        self.missed += 1;
        "missed"
    }

    fn say(&mut self, line: &str) {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Writes the Markdown file and says how many goals were missed.
    pub fn finish(self) -> Result<(), String> {
        if let Some(path) = &self.markdown {
            std::fs::write(path, &self.text).map_err(|error| format!("write {}: {error}", path.display()))?;
        }
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&self.figures).map_err(|error| error.to_string())?;
            std::fs::write(path, text + "\n")
                .map_err(|error| format!("write {}: {error}", path.display()))?;
        }
        println!("\n{} goals missed", self.missed);
        Ok(())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}
