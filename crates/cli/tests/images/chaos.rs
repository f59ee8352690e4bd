//! Eight processes at once that pull, load, remove, prune and collect, each killed at some instant.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::{DockerRegistry, Testbed};

use super::Berth;

/// How many commands are started; `BERTH_KILLS` asks for more.
fn commands() -> usize {
    std::env::var("BERTH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(48)
}

/// A sequence that is the same each time: a failure can be repeated.
struct Dice(u32);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % sides
    }
}

#[test]
fn any_mix_of_killed_commands_leaves_a_store_that_is_clean() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let here = Berth::new(&bed, "here");
    let names: Vec<String> = (0..3).map(|at| format!("{}/app{at}:1", server.address())).collect();
    for (at, name) in names.iter().enumerate() {
        here.import(name, &[(at + 1) << 20]);
        here.run(&["push", "-q", name]);
    }
    let archive = bed.path().join("app.tar");
    let archive = archive.to_str().expect("a path of the bed is text");
    here.run(&["save", "-o", archive, &names[0]]);
    let started = Instant::now();
    Berth::new(&bed, "measured").run(&["pull", "-q", &names[2]]);
    let whole = started.elapsed().as_micros().min(5_000_000) as u32;

    let there = Berth::new(&bed, "there");
    let mut dice = Dice(42);
    let mut running = Vec::new();
    for _ in 0..commands() {
        let name = names[dice.roll(3) as usize].as_str();
        let arguments = match dice.roll(8) {
            0..4 => vec!["pull", "-q", name],
            4 => vec!["load", "-q", "-i", archive],
            5 => vec!["rmi", "-f", name],
            6 => vec!["image", "prune", "-a", "-f"],
            _ => vec!["gc"],
        };
        running.push(there.command(&arguments).start());
        // The instants are what is tested: nothing else is waited for.
        std::thread::sleep(Duration::from_micros(u64::from(dice.roll(whole))) / 4);
        if running.len() == 8 {
            let victim = running.swap_remove(dice.roll(8) as usize);
            victim.signal(Signal::KILL);
            drop(victim.wait());
        }
    }
    for command in running {
        drop(command.wait());
    }
    assert_eq!(there.run(&["fsck"]), "clean\n");
    for name in &names {
        there.run(&["pull", "-q", name]);
    }
    assert_eq!(there.run(&["fsck"]), "clean\n");
    there.run(&["image", "prune", "-a", "-f"]);
    let left =
        std::fs::read_dir(bed.path().join("there/images/blobs/sha256")).expect("list the blobs").count();
    assert_eq!(left, 0, "orphans after a collection");
}
