//! The tables: time, CPU time and memory of each tool, berth's beside the others', in Markdown and in JSON.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::measure::{Sample, median};

/// What is wanted of a figure.
pub enum Goal {
    /// berth's time is at most this part of the fastest other tool's.
    OfFastest(f64),
    /// At most this part of a time that was measured before, of what the name says.
    Of(&'static str, Duration, f64),
    /// At most so much time.
    Time(Duration),
    /// At most so much memory, in bytes.
    Memory(u64),
}

/// What was measured of one tool.
pub struct Measured {
    /// Its name.
    pub name: &'static str,
    /// Its runs.
    pub samples: Vec<Sample>,
}

impl Measured {
    /// The middle of its times.
    pub fn wall(&self) -> Duration {
        median(self.samples.iter().map(|sample| sample.wall).collect())
    }

    fn cpu(&self) -> Duration {
        median(self.samples.iter().map(|sample| sample.cpu).collect())
    }

    /// Its largest peak of memory.
    pub fn peak(&self) -> u64 {
        self.samples.iter().map(|sample| sample.peak).max().unwrap_or(0)
    }
}

/// The report so far.
#[derive(Default)]
pub struct Table {
    text: String,
    json: Vec<Value>,
    missed: usize,
}

impl Table {
    /// A line of its own.
    pub fn say(&mut self, line: &str) {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Begins the table.
    pub fn head(&mut self) {
        self.say(
            "| figure | tool | time | fastest | slowest | CPU time | peak memory | berth ÷ it: time | CPU | goal | |",
        );
        self.say("|---|---|---|---|---|---|---|---|---|---|---|");
    }

    /// One figure of all tools; the first of them is berth.
    pub fn row(&mut self, figure: &str, measured: &[Measured], goals: &[Goal]) {
        let Some(berth) = measured.iter().find(|tool| tool.name == "berth") else { return };
        let (own, own_cpu) = (berth.wall(), berth.cpu());
        for tool in measured {
            let walls = tool.samples.iter().map(|sample| sample.wall);
            let (fastest, slowest) = (walls.clone().min(), walls.max());
            let ratio = |own: Duration, other: Duration| {
                format!("{:.2}", own.as_secs_f64() / other.as_secs_f64().max(1e-9))
            };
            let verdict = match tool.name {
                "berth" => self.verdicts(goals, berth, measured),
                _ => String::from(" | "),
            };
            self.say(&format!(
                "| {figure} | {} | {} | {} | {} | {} | {:.0} MiB | {} | {} | {verdict} |",
                tool.name,
                shown(tool.wall()),
                shown(fastest.unwrap_or_default()),
                shown(slowest.unwrap_or_default()),
                shown(tool.cpu()),
                tool.peak() as f64 / f64::from(1 << 20),
                ratio(own, tool.wall()),
                ratio(own_cpu, tool.cpu()),
            ));
            let seconds = |time: fn(&Sample) -> Duration| -> Vec<f64> {
                tool.samples.iter().map(|sample| time(sample).as_secs_f64()).collect()
            };
            self.json.push(json!({
                "figure": figure,
                "tool": tool.name,
                "wall": seconds(|sample| sample.wall),
                "cpu": seconds(|sample| sample.cpu),
                "peak": tool.samples.iter().map(|sample| sample.peak).collect::<Vec<_>>(),
            }));
        }
    }

    fn verdicts(&mut self, goals: &[Goal], berth: &Measured, all: &[Measured]) -> String {
        let own = berth.wall();
        let part = |of: Duration| own.as_secs_f64() / of.as_secs_f64().max(1e-9);
        let (mut wanted, mut verdicts) = (Vec::new(), Vec::new());
        for goal in goals {
            let (text, holds) = match goal {
                Goal::OfFastest(most) => {
                    let others = all.iter().filter(|tool| tool.name != "berth" && tool.name != "floor");
                    let Some(fastest) = others.min_by_key(|tool| tool.wall()) else { continue };
                    let part = part(fastest.wall());
                    (format!("≤ {most:.2} of {} ({part:.2})", fastest.name), part <= *most)
                }
                Goal::Of(name, time, most) => {
                    (format!("≤ {most:.2} of {name} ({:.2})", part(*time)), part(*time) <= *most)
                }
                Goal::Time(most) => (format!("≤ {}", shown(*most)), own <= *most),
                Goal::Memory(most) => (format!("≤ {} MiB", most >> 20), berth.peak() <= *most),
            };
            self.missed += usize::from(!holds);
            wanted.push(text);
            verdicts.push(if holds { "holds" } else { "missed" });
        }
        format!("{} | {}", wanted.join("; "), verdicts.join("; "))
    }

    /// Says how many goals were missed, and writes the files.
    pub fn finish(self, markdown: Option<&Path>, to_json: Option<&Path>) -> Result<(), String> {
        println!("\n{} goals missed", self.missed);
        let document = json!({ "missed": self.missed, "figures": self.json }).to_string();
        for (path, text) in [(markdown, &self.text), (to_json, &document)] {
            let Some(path) = path else { continue };
            std::fs::write(path, text).map_err(|error| format!("write {}: {error}", path.display()))?;
        }
        Ok(())
    }
}

fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}
