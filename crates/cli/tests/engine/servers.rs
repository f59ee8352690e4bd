//! Real servers from Debian's packages, on volumes and published ports: they get healthy, answer, stop when they are asked to, and
//! have their data when they are started again.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::{Invocation, Testbed, eventually};

use crate::host::{Host, IMAGE};
use crate::network::{await_no_links, host};

/// What is unpacked, without being installed: dependencies come along.
const PACKAGES: &str = "base-files,coreutils,dash,grep,libc-bin,sed,nginx-light,redis-server,postgresql-15";

/// What no server needs; LLVM is there to compile queries.
const TRIM: &str = r#"cd "$1" && lib=usr/lib/x86_64-linux-gnu pg=usr/lib/postgresql/15/lib &&
rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/i18n usr/share/perl var/cache/apt var/lib/apt \
    $lib/perl $lib/perl-base $lib/libLLVM* $lib/libz3* $lib/gconv $pg/bitcode $pg/llvmjit* &&
mkdir -p redis postgres && chown 71:71 redis && chown 70:70 postgres && chmod 700 postgres &&
printf '%s\n' root:x:0:0::/:/bin/sh www-data:x:33:33::/:/bin/sh postgres:x:70:70::/:/bin/sh >etc/passwd &&
printf '%s\n' root:x:0: www-data:x:33: postgres:x:70: >etc/group"#;

/// The archive of an image with the three servers, made once.
fn archive() -> PathBuf {
    let bed = Testbed::new();
    let archive = Path::new(env!("CARGO_TARGET_TMPDIR")).join("servers-bookworm.tar");
    if !archive.exists() {
        let (root, made) = (bed.path().join("servers"), bed.path().join("servers.tar"));
        let unpack =
            Invocation::new(&bed, "mmdebstrap").args(["--quiet", "--variant=extract", "--mode=root"]);
        let unpack = unpack.arg(format!("--include={PACKAGES}")).arg("bookworm").arg(&root);
        unpack.deadline(testkit::patience() * 5).output().expect_success();
        Invocation::new(&bed, "sh").args(["-ec", TRIM, "sh"]).arg(&root).output().expect_success();
        Invocation::new(&bed, "tar")
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&made)
            .arg(".")
            .output()
            .expect_success();
        // Into its place at once, whatever file systems these are.
        let staged = archive.with_extension(bed.name());
        fs::copy(&made, &staged).unwrap();
        fs::rename(staged, &archive).unwrap();
    }
    archive
}

/// A server in a container, and where it is reached.
struct Server<'a> {
    host: &'a Host,
    name: &'a str,
    port: u16,
}

impl<'a> Server<'a> {
    /// `run` with these flags, and the command after the image.
    fn run(host: &'a Host, name: &'a str, ports: (u16, u16), flags: &[&str], command: &[&str]) -> Self {
        let publish = format!("{}:{}", ports.0, ports.1);
        let health = ["--health-interval", "200ms", "--health-retries", "300", "--stop-timeout", "50"];
        let run = [&["run", "-d", "--name", name, "-p", &publish], &health[..], flags, &["servers"], command];
        host.ok(run.concat());
        let server = Server { host, name, port: ports.0 };
        server.await_health();
        server
    }

    fn await_health(&self) {
        eventually(&format!("{} is healthy", self.name), || {
            let status = self.host.inspect(self.name, "/State/Health/Status");
            assert_ne!(status, "unhealthy", "{}", self.host.ok(["logs", self.name]));
            (status == "healthy").then_some(())
        });
    }

    /// What it says to `words` before `end`.
    fn ask(&self, words: &[u8], end: &str) -> String {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        stream.set_read_timeout(Some(testkit::patience())).unwrap();
        stream.write_all(words).unwrap();
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&answer).ends_with(end) && stream.read(&mut byte).unwrap() > 0 {
            answer.push(byte[0]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// It ends by itself when it is asked to, and comes back.
    fn stop_and_start(&self) {
        self.host.ok(["stop", self.name]);
        assert_eq!(self.host.inspect(self.name, "/State/ExitCode"), 0, "{} was not killed", self.name);
        self.host.ok(["start", self.name]);
        self.await_health();
    }
}

fn nginx(host: &Host) {
    let flags = ["--health-cmd", "test -s /run/nginx.pid", "-v", "pages:/var/www/html"];
    // What its installation would have done.
    let script = "ln -sf ../sites-available/default /etc/nginx/sites-enabled; exec nginx -g 'daemon off;'";
    let server = Server::run(host, "web", (18_080, 80), &flags, &["sh", "-c", script]);
    host.ok(["exec", "web", "sh", "-c", "echo kept page >/var/www/html/index.html"]);
    let page = || server.ask(b"GET / HTTP/1.0\r\n\r\n", "kept page\n");
    assert!(page().starts_with("HTTP/1.1 200 OK\r\n"));
    server.stop_and_start();
    assert!(page().ends_with("kept page\n"));
}

fn redis(host: &Host) {
    let flags = ["-u", "71:71", "-v", "keys:/redis", "--health-cmd", "redis-cli ping", "--read-only"];
    let command = ["redis-server", "--dir", "/redis", "--appendonly", "yes", "--protected-mode", "no"];
    let server = Server::run(host, "cache", (16_379, 6379), &flags, &command);
    assert_eq!(server.ask(b"SET name value\r\n", "\n"), "+OK\r\n");
    server.stop_and_start();
    assert_eq!(server.ask(b"GET name\r\n", "value\r\n"), "$5\r\nvalue\r\n");
}

fn postgres(host: &Host) {
    let script = "PATH=/usr/lib/postgresql/15/bin:$PATH; cd /postgres
                  test -e data/PG_VERSION || initdb --no-sync -A trust -D data >&2 || exit
                  exec postgres -D data -k /tmp -c 'listen_addresses=*'";
    let health = "/usr/lib/postgresql/15/bin/pg_isready -q -h /tmp";
    let flags = ["-u", "postgres", "-v", "tables:/postgres", "--health-cmd", health, "--stop-signal", "INT"];
    let server = Server::run(host, "db", (15_432, 5432), &flags, &["sh", "-c", script]);
    let sql = |text: &str| {
        host.ok(["exec", "db", "/usr/lib/postgresql/15/bin/psql", "-h", "/tmp", "-Atc", text, "postgres"])
    };
    sql("create table kept as select generate_series(1, 1000) as number");
    // SSLRequest of the protocol: it has none.
    let request = [0, 0, 0, 8, 4, 210, 22, 47];
    assert_eq!(server.ask(&request, "N"), "N");
    server.stop_and_start();
    assert_eq!(sql("select sum(number) from kept"), "500500");
}

#[test]
fn real_servers_keep_their_data_and_end_when_they_are_asked_to() {
    // Before there is no network but the test's own.
    let archive = archive();
    let host = host();
    host.ok(["rmi", IMAGE]);
    let import =
        ["import", "-c", "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin", archive.to_str().unwrap(), "servers"];
    host.berth(import).deadline(testkit::patience() * 5).output().expect_success();
    nginx(&host);
    redis(&host);
    postgres(&host);
    assert_eq!(host.ok(["ps", "-q"]).lines().count(), 3);
    host.leave_nothing();
    await_no_links();
}
