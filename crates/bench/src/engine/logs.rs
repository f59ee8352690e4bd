//! Logs: how fast a payload may write, and how soon a line of them is found.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::peers::IMAGE;
use super::{Bench, bound, engine_run};
use crate::measure::{Contestant, race, time_silent};
use crate::report::Goal;

/// Measures a payload that writes lines from memory, and reading the end of a large log.
pub fn run(bench: &mut Bench<'_>) -> Result<(), String> {
    let mib = if bench.options.quick { 128 } else { 1024 };
    bench.report.section(&format!("Logs of {mib} MiB"));
    let data = bench.directory.join("data");
    fs::create_dir_all(&data).map_err(|error| error.to_string())?;
    lines(&data.join("lines"), mib).map_err(|error| format!("make lines: {error}"))?;
    written(bench, &data)?;
    found(bench, &data)
}

fn lines(path: &std::path::Path, mib: usize) -> std::io::Result<()> {
    let mut block = Vec::with_capacity(1 << 20);
    let mut number = 0_u64;
    while block.len() < 1 << 20 {
        writeln!(
            block,
            "{number:08} a line of a log, as long as such lines are, of a server that says what it does"
        )?;
        number += 1;
    }
    let mut file = File::create(path)?;
    for _ in 0..mib {
        // Whole lines: what follows them is a line of its own.
        file.write_all(&block)?;
    }
    Ok(())
}

/// `cat` of the lines: to a file, and as a container's output. Detached, or the client would be measured too.
fn written(bench: &mut Bench<'_>, data: &std::path::Path) -> Result<(), String> {
    let volume = bound(data);
    let runs = if bench.options.quick { 3 } else { 5 };
    let copy = data.join("copy");
    let mut contestants = bench.contestants(|engine| {
        let driver = if engine.name == "docker" { "json-file" } else { "" };
        let mut flags = vec!["-d", "--network", "none", "--name", "bench-log", &volume];
        if !driver.is_empty() {
            flags.extend(["--log-driver", driver]);
        }
        let mut command = engine_run(engine, &flags);
        let start = Instant::now();
        time_silent(command.args([IMAGE, "/bin/busybox", "cat", "/out/lines"]))?;
        time_silent(engine.command("wait").arg("bench-log"))?;
        let time = start.elapsed();
        time_silent(engine.command("rm").args(["-f", "bench-log"]))?;
        Ok(time)
    });
    contestants.push(Contestant {
        name: "cat > file".into(),
        run: Box::new(|| {
            let start = Instant::now();
            let out = File::create(&copy).map_err(|error| error.to_string())?;
            let mut cat = Command::new("/bin/busybox");
            cat.arg("cat").arg(data.join("lines")).stdin(Stdio::null()).stdout(out);
            cat.status().map_err(|error| error.to_string())?;
            Ok(start.elapsed())
        }),
    });
    let (figures, failures) = race(contestants, 1, runs);
    // Throughput of at least 0.7 of cat's and 3 times docker's, as times.
    let goals = [Goal { name: "cat > file", ratio: 1.0 / 0.7 }, Goal { name: "docker", ratio: 1.0 / 3.0 }];
    bench.report.row("a payload that writes it", &figures, &failures, &goals);
    Ok(())
}

/// `logs --since` a time shortly before the end.
fn found(bench: &mut Bench<'_>, data: &std::path::Path) -> Result<(), String> {
    let Some(berth) = bench.engines.iter().find(|engine| engine.name == "berth") else { return Ok(()) };
    let volume = bound(data);
    let flags = ["-d", "--network", "none", "--name", "bench-since", "--log-opt", "max-size=-1", &volume];
    let mut command = engine_run(berth, &flags);
    let script =
        "/bin/busybox cat /out/lines; /bin/busybox sleep 2; /bin/busybox date +%s >/out/since; echo the end";
    time_silent(command.args([IMAGE, "/bin/busybox", "sh", "-c", script]))?;
    time_silent(berth.command("wait").arg("bench-since"))?;
    let since = fs::read_to_string(data.join("since")).map_err(|error| error.to_string())?;
    let first_line = || {
        let mut command = berth.command("logs");
        command.args(["--since", since.trim(), "bench-since"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or("no stdout")?;
        BufReader::new(out).read_line(&mut line).map_err(|error| error.to_string())?;
        let time = start.elapsed();
        child.wait().map_err(|error| error.to_string())?;
        if line == "the end\n" { Ok(time) } else { Err(format!("the first line is {line:?}")) }
    };
    let contestant = Contestant { name: "berth".into(), run: Box::new(first_line) };
    let (figures, failures) = race(vec![contestant], 1, 5);
    bench.report.at_most("logs --since, to the first line", &figures, &failures, Duration::from_millis(20));
    let berth = bench.engines.iter().find(|engine| engine.name == "berth").ok_or("berth is gone")?;
    time_silent(berth.command("rm").args(["-f", "bench-since"]))?;
    Ok(())
}
