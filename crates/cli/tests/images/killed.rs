//! SIGKILL at any instant loses nothing: what was complete stays, and the next command goes on.

use std::time::Instant;

use rustix::process::Signal;
use testkit::{DockerRegistry, Testbed};

use super::Berth;

/// How many instants of a pull are tried; `BERTH_KILLS` asks for more.
fn rounds() -> u32 {
    std::env::var("BERTH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// The size of the layer, in bytes.
const SIZE: usize = 8 << 20;

#[test]
fn a_pull_that_is_killed_goes_on() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let name = format!("{}/app:1", server.address());
    let here = Berth::new(&bed, "here");
    here.import(&name, &[SIZE]);
    here.run(&["push", "-q", &name]);
    let started = Instant::now();
    Berth::new(&bed, "measured").run(&["pull", "-q", &name]);
    let whole = started.elapsed();
    for round in 0..rounds() {
        let root = format!("there{round}");
        let there = Berth::new(&bed, &root);
        let pull = there.command(&["pull", "-q", &name]).start();
        let instant = whole.mul_f64(f64::from(round) / f64::from(rounds()));
        // The instant is what is tested: nothing else is waited for.
        std::thread::sleep(instant);
        // Not yet waited for, so that its pidfd is good even where it was faster than we.
        pull.signal(Signal::KILL);
        drop(pull.wait());
        let checked = there.command(&["fsck"]).output();
        assert_eq!(checked.expect_success().stdout(), "clean\n", "after a kill at {instant:?}");
        there.run(&["pull", "-q", &name]);
        assert_eq!(there.run(&["fsck"]), "clean\n");
        there.run(&["gc"]);
        assert_eq!(std::fs::read_dir(bed.path().join(&root).join("stage")).unwrap().count(), 0);
        std::fs::remove_dir_all(bed.path().join(&root)).unwrap();
    }
}

#[test]
fn eight_pulls_at_once_fetch_each_layer_once() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let name = format!("{}/app:1", server.address());
    let here = Berth::new(&bed, "here");
    here.import(&name, &[1 << 20]);
    here.run(&["push", "-q", &name]);
    let there = Berth::new(&bed, "there");
    let pulls: Vec<_> = (0..8).map(|_| there.command(&["pull", "-q", &name]).start()).collect();
    for pull in pulls {
        assert_eq!(pull.wait().expect_success().stdout(), format!("{name}\n"));
    }
    assert_eq!(there.run(&["fsck"]), "clean\n");
    assert_eq!(there.run(&["images", "-q"]).lines().count(), 1);
}
