//! qemu, from boot to power-off.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::image::Image;
use super::payload::Payload;
use super::report::Report;
use super::{Request, work_dir};
use crate::process::{Context, Failure, Outcome};
use crate::tally::Tally;

const SHORT_DEADLINE: Duration = Duration::from_secs(20 * 60);
const LONG_DEADLINE: Duration = Duration::from_secs(40 * 60);

/// Boots `image` with `payload` and shows the results as they come; then both logs and the payload go.
pub fn run(image: &Image, payload: &Payload, request: &Request) -> Outcome<Tally> {
    let stem = work_dir()?.join(format!("run-{}", std::process::id()));
    let (console, results) = (stem.with_extension("console"), stem.with_extension("results"));
    let mut machine = Machine(boot(image, payload, request, &console, &results)?);
    let outcome = watch(&mut machine, request, &results);
    drop(machine);
    if outcome.is_err() {
        let console = fs::read_to_string(&console).unwrap_or_default();
        eprintln!("the machine's console ends with\n{}", last_lines(&console, 40));
    }
    for file in [&console, &results, &payload.disk] {
        drop(fs::remove_file(file));
    }
    outcome
}

/// Kills qemu when dropped.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only when it has ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn boot(
    image: &Image,
    payload: &Payload,
    request: &Request,
    console: &Path,
    results: &Path,
) -> Outcome<Child> {
    File::create(results).context(results.display())?;
    let console = if request.keep { "mon:stdio".into() } else { format!("file:{}", console.display()) };
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2G"])
        .args(["-nodefaults", "-display", "none", "-no-reboot"])
        .arg("-kernel")
        .arg(image.kernel())
        .arg("-initrd")
        .arg(image.initramfs())
        .args(["-append", "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0 systemd.getty_auto=no"])
        .args(["-drive", &format!("file={},if=virtio,format=raw,snapshot=on", image.disk().display())])
        .args(["-drive", &format!("file={},if=virtio,format=raw,readonly=on", payload.disk.display())])
        .args(["-serial", &console, "-serial", &format!("file:{}", results.display())]);
    if !request.keep {
        qemu.stdin(Stdio::null());
    }
    qemu.spawn().context("start qemu-system-x86_64")
}

/// Reads results until the machine is off; past the deadline, what was not reported has failed.
fn watch(machine: &mut Machine, request: &Request, results: &Path) -> Outcome<Tally> {
    let deadline = Instant::now() + if request.short { SHORT_DEADLINE } else { LONG_DEADLINE };
    let mut follower = Follower::open(results)?;
    let mut report = Report::default();
    loop {
        let status = machine.0.try_wait().context("wait for qemu")?;
        for line in follower.lines()? {
            if let Some(shown) = report.read(&line) {
                println!("{shown}");
            }
        }
        if status.is_some() {
            return report.finish();
        }
        if Instant::now() > deadline && !request.keep {
            return Err(Failure::new(format!("the machine hangs in {}", report.place())));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The lines that come to a growing file.
struct Follower {
    file: File,
    position: u64,
    rest: String,
}

impl Follower {
    fn open(path: &Path) -> Outcome<Self> {
        Ok(Self { file: File::open(path).context(path.display())?, position: 0, rest: String::new() })
    }

    /// Whole lines that are new, without the serial port's carriage returns.
    fn lines(&mut self) -> Outcome<Vec<String>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.position)).context("seek in the results")?;
        self.position += self.file.read_to_end(&mut bytes).context("read the results")? as u64;
        self.rest += &String::from_utf8_lossy(&bytes).replace('\r', "");
        let whole = self.rest.rfind('\n').map_or(0, |end| end + 1);
        let tail = self.rest.split_off(whole);
        let lines = std::mem::replace(&mut self.rest, tail);
        Ok(lines.lines().map(str::to_owned).collect())
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
