//! Networks beside those of podman (netavark) and docker, in a network namespace of their own: what they cost a start, how
//! fast data and requests go through them, how names are looked up, and how many containers one takes.

mod talk;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sys::process::NamespaceFlags;

use self::talk::{Bulk, Space};
use crate::Options;
use crate::bundle::Scratch;
use crate::engine::peers::{self, Engine, IMAGE};
use crate::image::tools;
use crate::measure::{Contestant, Figure, race, summary, time, time_silent};
use crate::report::{Goal, Report};

const WARM_UP: usize = 2;
/// Where requests, and bulk, are served; and the first of the host's ports that lead there, a hundred for each engine.
const REQUESTS: u16 = 7000;
const BULK: u16 = 5201;
const HOST_PORTS: u16 = 21_000;
/// The user-defined network.
const NETWORK: &str = "bench-net";
/// Of throughput and requests: at least 0.98 times as fast.
const AS_FAST: f64 = 1.0 / 0.98;

/// Two containers of an engine on one network, the first of which serves.
struct Pair<'a> {
    engine: &'a Engine,
    server: Space,
    client: Space,
    address: IpAddr,
    /// The host's port for requests; the next is that for bulk.
    port: u16,
    /// Who is asked for names.
    resolver: IpAddr,
    _bulk: Bulk,
}

/// Measures everything and prints the tables.
pub fn run(options: &Options) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("make a network namespace: {error}");
    // Nothing of this host's networks, rules and mounts is touched.
    sys::process::unshare(NamespaceFlags::NET | NamespaceFlags::MOUNT).map_err(failed)?;
    rustix::mount::mount_change(
        "/",
        rustix::mount::MountPropagationFlags::REC | rustix::mount::MountPropagationFlags::PRIVATE,
    )
    .map_err(|errno| format!("make mounts private: {errno}"))?;
    sys::net::loopback_up().map_err(failed)?;
    if !options.cpus.is_empty() {
        sys::sched::set_affinity(&options.cpus).map_err(|error| error.to_string())?;
    }
    let directory = options.scratch.clone().unwrap_or_else(|| PathBuf::from("/var/tmp"));
    let directory = directory.join(format!("berth-bench-network-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| format!("make {}: {error}", directory.display()))?;
    let _removed = Scratch(directory.clone());
    let (engines, failures) = peers::all(options, &directory, tools::dockerd_with_bridge)?;
    let mut report = Report::new(options);
    for engine in &engines {
        report.note(&format!("- {}: {}", engine.name, engine.version()));
    }
    for failure in failures {
        report.note(&format!("- left out: {failure}"));
    }
    let wanted = |figure: &str| {
        options.figures.as_ref().is_none_or(|figures| figures.iter().any(|wanted| wanted == figure))
    };
    report.section("Networks");
    if wanted("run") {
        starts(options, &engines, &mut report);
    }
    if wanted("traffic") || wanted("names") {
        let pairs = pairs(&engines, &mut report);
        if wanted("traffic") {
            traffic(options, &pairs, &mut report);
        }
        if wanted("names") {
            names(options, &pairs, &mut report);
        }
        for pair in &pairs {
            take_down(pair.engine);
        }
    }
    if wanted("many") {
        many(options, &engines, &mut report)?;
    }
    report.finish()
}

/// A start with a published port on the bridge, beside one without network.
fn starts(options: &Options, engines: &[Engine], report: &mut Report) {
    let runs = options.runs.unwrap_or(if options.quick { 10 } else { 50 });
    let run = |engine: &Engine, flags: &[&str]| {
        time(engine.command("run").arg("--rm").args(flags).args([IMAGE, "/nothing"]))
    };
    let mut contestants: Vec<Contestant<'_>> = Vec::new();
    for engine in engines {
        let published = move || run(engine, &["-p", "18080:80"]);
        contestants.push(Contestant { name: engine.name.into(), run: Box::new(published) });
        if engine.name == "berth" {
            let without = move || run(engine, &["--network", "none"]);
            contestants.push(Contestant { name: "berth, no network".into(), run: Box::new(without) });
        }
    }
    let (figures, failures) = race(contestants, WARM_UP, runs);
    let goals = [("berth, no network", 1.8), ("podman", 0.05), ("docker", 0.04)];
    let goals = goals.map(|(name, ratio)| Goal { name, ratio });
    report.row("run --rm -p 18080:80 on the bridge", &figures, &failures, &goals);
}

/// Two containers of each engine; an engine that can't have them is left out, and said so.
fn pairs<'a>(engines: &'a [Engine], report: &mut Report) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    for (number, engine) in (0..).zip(engines) {
        match pair(engine, HOST_PORTS + number * 100) {
            Ok(pair) => pairs.push(pair),
            Err(problem) => {
                report.failure(&format!("{}: {problem}", engine.name));
                take_down(engine);
            }
        }
    }
    pairs
}

fn pair(engine: &Engine, port: u16) -> Result<Pair<'_>, String> {
    time_silent(engine.command("network").args(["create", NETWORK]))?;
    let published = [format!("{port}:{REQUESTS}"), format!("{}:{BULK}", port + 1)];
    for (name, ports) in [("bench-server", &published[..]), ("bench-client", &[])] {
        let mut command = engine.command("run");
        command.args(["-d", "--name", name, "--network", NETWORK]);
        for port in ports {
            command.args(["-p", port]);
        }
        time_silent(command.args([IMAGE, "/bin/busybox", "sleep", "100000"]))?;
    }
    let ask = |name: &str, template: &str| {
        let output = engine.command("inspect").args(["--format", template, name]).output();
        let output = output.map_err(|error| error.to_string())?;
        Ok::<_, String>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let pid = |name: &str| -> Result<u32, String> {
        ask(name, "{{.State.Pid}}")?.parse().map_err(|_| format!("inspect names no pid of {name}"))
    };
    let (server, client) = (pid("bench-server")?, pid("bench-client")?);
    let address = ask("bench-server", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")?;
    let address = address.parse().map_err(|_| format!("inspect names no address, but {address:?}"))?;
    let path = format!("/proc/{client}/root/etc/resolv.conf");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let server_line = text.lines().find_map(|line| line.strip_prefix("nameserver "));
    let resolver = server_line.and_then(|address| address.trim().parse().ok());
    let resolver = resolver.ok_or_else(|| format!("{path} names no server"))?;
    let (server, client) = (Space::Of(server), Space::Of(client));
    talk::serve(server, REQUESTS)?;
    let bulk = Bulk::serve(server, BULK)?;
    // Until it listens.
    let ready = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        talk::transfer(client, SocketAddr::new(address, BULK), 1 << 20).is_ok()
    });
    if !ready {
        return Err("iperf3 does not listen".to_owned());
    }
    Ok(Pair { engine, server, client, address, port, resolver, _bulk: bulk })
}

fn take_down(engine: &Engine) {
    for name in ["bench-server", "bench-client"] {
        // What was not made can't be removed.
        let _ = time_silent(engine.command("rm").args(["-f", name]));
    }
    let _ = time_silent(engine.command("network").args(["rm", NETWORK]));
}

fn contestants<'b>(
    pairs: &'b [Pair<'_>],
    run: impl Fn(&Pair<'_>) -> Result<Duration, String> + Copy + 'b,
) -> Vec<Contestant<'b>> {
    let one =
        |pair: &'b Pair<'_>| Contestant { name: pair.engine.name.into(), run: Box::new(move || run(pair)) };
    pairs.iter().map(one).collect()
}

fn traffic(options: &Options, pairs: &[Pair<'_>], report: &mut Report) {
    let (bytes, rounds) = if options.quick { (256 << 20, 5) } else { (1 << 30, 11) };
    let count = 1000;
    let goals = || ["podman", "docker"].map(|name| Goal { name, ratio: AS_FAST });
    let size = bytes >> 20;
    type Way = fn(&Pair<'_>, u16) -> (Space, SocketAddr);
    let ways: [(&str, Way); 3] = [
        ("container to container", |pair, port| (pair.client, SocketAddr::new(pair.address, port))),
        ("host's 127.0.0.1 to published port", |pair, port| {
            (Space::Own, published(pair, port, [127, 0, 0, 1]))
        }),
        ("container to itself by published port", |pair, port| {
            (pair.server, published(pair, port, gateway(pair)))
        }),
    ];
    for (way, ends) in ways {
        let (figures, failures) = race(
            contestants(pairs, |pair| {
                let (from, to) = ends(pair, BULK);
                talk::transfer(from, to, bytes)
            }),
            1,
            options.runs.unwrap_or(rounds),
        );
        report.row(&format!("{size} MiB, {way}"), &figures, &failures, &goals());
        let (figures, failures) = race(
            contestants(pairs, |pair| {
                let (from, to) = ends(pair, REQUESTS);
                talk::requests(from, to, count)
            }),
            WARM_UP,
            options.runs.unwrap_or(rounds * 3),
        );
        report.row(&format!("{count} requests, {way}"), &figures, &failures, &goals());
    }
}

/// The host's end of a container's port.
fn published(pair: &Pair<'_>, port: u16, host: [u8; 4]) -> SocketAddr {
    SocketAddr::new(host.into(), if port == BULK { pair.port + 1 } else { pair.port })
}

/// The host's address on the network: the first of its subnet, with all three engines.
fn gateway(pair: &Pair<'_>) -> [u8; 4] {
    match pair.address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            [a, b, c, 1]
        }
        IpAddr::V6(_) => [127, 0, 0, 1],
    }
}

fn names(options: &Options, pairs: &[Pair<'_>], report: &mut Report) {
    let count = 100;
    let ask = |pair: &Pair<'_>| talk::questions(pair.client, pair.resolver, "bench-server", count);
    let runs = options.runs.unwrap_or(if options.quick { 10 } else { 50 });
    let (figures, failures) = race(contestants(pairs, ask), WARM_UP, runs);
    let goals = ["podman", "docker"].map(|name| Goal { name, ratio: 0.3 });
    report.row(&format!("{count} lookups of a container's name"), &figures, &failures, &goals);
}

/// berth alone, for the others take minutes: the first and the last to come to a network of many.
fn many(options: &Options, engines: &[Engine], report: &mut Report) -> Result<(), String> {
    let Some(berth) = engines.iter().find(|engine| engine.name == "berth") else { return Ok(()) };
    let count = if options.quick { 100 } else { 1000 };
    let network = "bench-many";
    let subnets = ["create", "--subnet", "10.77.0.0/16", "--subnet", "fd77::/64", network];
    time_silent(berth.command("network").args(subnets))?;
    let mut times = Vec::new();
    for number in 0..count {
        let name = format!("bench-many-{number}");
        let mut run = berth.command("run");
        run.args(["-d", "--name", &name, "--network", network, IMAGE, "/bin/busybox", "sleep", "100000"]);
        times.push(time_silent(&mut run)?);
    }
    let part = (count / 20).max(10);
    let (first, last) = (times[..part].to_vec(), times[count - part..].to_vec());
    let earlier = "berth, the first";
    let figures: Vec<Figure> = vec![summary("berth", last), summary(earlier, first)];
    let goals = [Goal { name: earlier, ratio: 1.5 }];
    report.row(&format!("run -d on one network, the last {part} of {count}"), &figures, &[], &goals);
    for numbers in (0..count).collect::<Vec<_>>().chunks(50) {
        let names = numbers.iter().map(|number| format!("bench-many-{number}"));
        time_silent(berth.command("rm").arg("-f").args(names))?;
    }
    time_silent(berth.command("network").args(["rm", network]))?;
    Ok(())
}
