//! Many at once.

use testkit::Testbed;

use crate::Berth;

#[test]
fn parallel_runs_disturb_nobody() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let start = |number: i32| {
        let script = format!("echo {number}; exit {number}");
        (number, berth.script(&["--rm"], &script).start())
    };
    let runs: Vec<_> = (0..12).map(start).collect();
    // Whoever looks meanwhile sees no half of anything.
    for _ in 0..5 {
        berth.run(&["ps", "-a"]);
        berth.run(&["container", "prune", "-f", "--filter", "label=none"]);
    }
    for (number, running) in runs {
        assert_eq!(running.wait().expect_code(number).stdout(), format!("{number}\n"));
    }
    assert_eq!(berth.run(&["ps", "-aq"]), "");
}
