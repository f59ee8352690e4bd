//! The engine in the hands of an ordinary user: one who is thrown away, with subordinate ids of his own, in a mount and a
//! network namespace where the host's accounts are copies.

use testkit::{Finished, Invocation, Testbed, berth_binary, eventually};

use crate::host::{IMAGE, entries};

/// Makes the host: accounts, a device for taps that everybody may open, a network with a way out.
const HOST: &str = r#"
set -e
bed=$1 berth=$2 id=$3 first=$4 script=$5
mkdir -p "$bed/etc" "$bed/bin" "$bed/home" "$bed/run"
chown "$id:$id" "$bed/home" "$bed/run"
mount -t tmpfs -o mode=755 tmpfs "$bed/etc"
cp /etc/passwd /etc/group "$bed/etc"
echo "user$id:x:$id:$id::$bed/home:/bin/sh" >>"$bed/etc/passwd"
for file in subuid subgid; do
    touch "$bed/etc/$file"
    [ "$first" = 0 ] || echo "user$id:$first:65536" >"$bed/etc/$file"
done
for file in passwd group subuid subgid; do mount --bind "$bed/etc/$file" "/etc/$file"; done
mknod -m "${TUN:-666}" "$bed/etc/tun" c 10 200
mount --bind "$bed/etc/tun" /dev/net/tun
touch "$bed/bin/berth"
mount --bind "$berth" "$bed/bin/berth"
ip link set lo up
ip link add out type veth peer name far
ip link set far up
ip address add 192.0.2.2/24 dev out
ip link set out up
ip route add default via 192.0.2.1
ip address add 2001:db8::2/64 dev out nodad
ip route add default via 2001:db8::1
cd "$bed/home"
exec setpriv --reuid "$id" --regid "$id" --clear-groups env -i TESTBED="$TESTBED" HOME="$bed/home" \
    XDG_RUNTIME_DIR="$bed/run" PATH="$bed/bin:/usr/sbin:/usr/bin:/sbin:/bin" sh -c "set -e; $script"
"#;

struct User {
    bed: Testbed,
    id: u32,
    first: u32,
}

impl User {
    /// One whose ids no other test's user has.
    fn new() -> Self {
        let number = std::process::id() % 10_000;
        Self { bed: Testbed::new(), id: 2_000_000 + number, first: 100_000_000 + number * 65_536 }
    }

    /// One without subordinate ids.
    fn without_ids() -> Self {
        Self { first: 0, ..Self::new() }
    }

    /// A shell script of this user's on a host of its own, which ends with what it leaves running.
    fn script(&self, script: &str) -> Finished {
        self.command(script).output()
    }

    fn command(&self, script: &str) -> Invocation {
        let archive = self.bed.path().join("image.tar");
        if !archive.exists() {
            let rootfs = self.bed.bundle().rootfs();
            let pack = "mkdir -p $1/home/user && chown 1000:1000 $1/home/user && tar -C $1 -cf $2 .";
            let packed = Invocation::new(&self.bed, "sh").args(["-c", pack, "sh"]).arg(rootfs).arg(&archive);
            packed.output().expect_success();
        }
        let script = format!("berth import {} {IMAGE} >/dev/null; {script}", archive.display());
        let numbers = [self.id, self.first].map(|number| number.to_string());
        Invocation::new(&self.bed, "unshare")
            .args(["--mount", "--net", "sh", "-c", HOST, "sh"])
            .arg(self.bed.path())
            .arg(berth_binary())
            .args(numbers)
            .arg(script)
    }

    /// The lines that a script prints, which must succeed.
    #[track_caller]
    fn lines(&self, script: &str) -> Vec<String> {
        self.script(script).expect_success().stdout().lines().map(str::to_owned).collect()
    }

    /// Fails where a container has left something.
    #[track_caller]
    fn has_left_nothing(&self) {
        let (root, run) =
            (self.bed.path().join("home/.local/share/berth"), self.bed.path().join("run/berth"));
        for directory in ["containers", "names", "snapshots", "stage", "trash"].map(|name| root.join(name)) {
            eventually(&format!("{} is empty", directory.display()), || {
                entries(&directory).is_empty().then_some(())
            });
        }
        for directory in ["containers", "oci", "network/users", "network/ports/tcp"] {
            assert_eq!(entries(&run.join(directory)), Vec::<String>::new(), "{directory}");
        }
    }
}

#[test]
fn a_user_is_root_inside_and_has_all_his_ids() {
    let user = User::new();
    let (id, first) = (user.id, user.first);
    let lines = user.lines(
        "berth run --rm --network none busybox sh -c 'id -u; cat /proc/self/uid_map; stat -c %u /bin/busybox /home/user'
         berth run --rm --network none -u 1000:1000 -v $HOME:/h busybox sh -c 'id -u; touch /home/user/x; touch /h/x || echo no'
         berth run --rm --network none -v $HOME:/h busybox sh -c 'touch /h/made; chown 1000 /h/made'
         stat -c %u:%g made",
    );
    let maps: Vec<String> =
        lines[1..3].iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(maps, [format!("0 {id} 1"), format!("1 {first} 65536")]);
    assert_eq!([&lines[0], &lines[3], &lines[4]], ["0", "0", "1000"]);
    assert_eq!(lines[5..], ["1000", "no", &format!("{}:{id}", first + 999)]);
    user.has_left_nothing();
}

#[test]
fn every_command_works_for_a_user() {
    let user = User::new();
    let lines = user.lines(
        "run() { berth run --network none \"$@\"; }
         run -d --name web busybox sleep 1000 >/dev/null
         berth ps --format '{{.Names}} {{.Image}}'
         berth exec web sh -c 'echo changed >/f; cat /f'
         berth exec -u 1000 web id -u
         echo outside >d; berth cp -q d web:/d; berth cp -q web:/d e; cat e
         berth diff web | tr '\\n' ' '; echo
         berth top web | tail -1 | grep -o 'sleep 1000'
         berth stats --no-stream --format '{{.PIDs}}' web
         berth commit web again >/dev/null; run --rm again cat /f
         berth pause web 2>&1 | cut -d: -f1,2
         run --rm -m 64m busybox true 2>&1 | cut -d: -f1,2
         berth volume create vol >/dev/null; run --rm -v vol:/v busybox touch /v/x; run --rm -v vol:/v busybox ls /v
         run --rm --pid container:web busybox sh -c 'ps | grep -c [s]leep'
         run --rm --device /dev/null:/dev/nothing busybox sh -c 'echo x >/dev/nothing && echo sunk'
         run --rm --privileged busybox sh -c 'mount -t tmpfs none /home && echo mounted'
         berth restart -t 0 web; berth stop -t 0 web; berth start web
         berth inspect --format '{{.State.Status}}' web
         berth save busybox -o s.tar; berth rm -f web; berth rmi -f busybox >/dev/null; berth load -q -i s.tar >/dev/null
         run --rm busybox true; berth system df >/dev/null; berth fsck; berth volume rm vol; berth rmi -f again >/dev/null",
    );
    let no_group = "berth: cannot pause container web";
    let no_limits = "WARNING: Limits of resources discarded, for the container has no control group";
    let expected = [
        "web busybox",
        "changed",
        "1000",
        "outside",
        "A /d A /f ",
        "sleep 1000",
        "1",
        "changed",
        no_group,
        no_limits,
        "x",
        "1",
        "sunk",
        "mounted",
        "web",
        "web",
        "web",
        "running",
        "web",
        "clean",
        "vol",
    ];
    assert_eq!(lines, expected);
    user.has_left_nothing();
}

#[test]
fn who_has_no_subordinate_ids_has_himself() {
    let user = User::without_ids();
    let lines = user.lines(
        "berth run --rm --network none busybox sh -c 'id -u; stat -c %u /home/user; chown 5 /home 2>&1; cat /proc/self/uid_map'
         berth run --rm --network none -u 1000 busybox true 2>&1 || true
         berth run --rm --network none --group-add 7 busybox true 2>&1 || true",
    );
    assert_eq!(lines[..2], ["0", "0"]);
    assert!(lines[2].ends_with("Invalid argument"), "{lines:?}");
    assert!(lines[3].split_whitespace().eq(["0", &user.id.to_string(), "1"]), "{lines:?}");
    assert!(lines[4].contains("has no mapping in the user namespace"), "{lines:?}");
    assert!(lines[5].contains("usermod --add-subuids"), "{lines:?}");
    user.has_left_nothing();
}

/// The namespace is there as long as somebody is in it, and never twice.
#[test]
fn all_commands_share_a_namespace_that_nobody_keeps() {
    let user = User::new();
    let lines = user.lines(
        "for n in 1 2 3 4 5 6; do
             berth run -d --network none --name c$n -u 1000 busybox sleep 1000 >/dev/null & pids=\"$pids $!\"
         done
         for pid in $pids; do wait $pid; done
         for n in 1 2 3 4 5 6; do berth exec c$n readlink /proc/self/ns/user; done | sort -u | wc -l
         kill -9 $(cat ../run/berth/containers/*/monitor.lock)
         berth exec c1 true 2>/dev/null || true
         berth rm -f c1 c2 c3 c4 c5 c6 | wc -l
         berth run --rm --network none busybox true
         berth ps -aq | wc -l",
    );
    assert_eq!(lines, ["1", "6", "0"]);
    user.has_left_nothing();
}

#[test]
fn ports_lead_into_a_users_container() {
    let user = User::new();
    let lines = user.lines(
        "answer() { berth run --rm --network host busybox nc -w 5 \"$@\" </dev/null; }
         berth run -d --name web -p 18080:80 -p 127.0.0.1:18081:80 busybox nc -ll -p 80 -e echo hello >/dev/null
         answer 127.0.0.1 18080; answer 192.0.2.2 18080; answer ::1 18080; answer 127.0.0.1 18081
         berth port web | wc -l
         berth run --rm -p 18080:80 busybox true 2>&1 | grep -o 'already in use by container' || true
         berth run --rm -p 80:80 busybox true 2>&1 | grep -o 'net.ipv4.ip_unprivileged_port_start=80' || true
         berth exec web sh -c 'ip route | grep -c default'
         berth restart -t 0 web
         answer 127.0.0.1 18080
         berth rm -f web
         answer 127.0.0.1 18080 2>/dev/null || echo gone",
    );
    let expected = [
        "hello",
        "hello",
        "hello",
        "hello",
        "3",
        "already in use by container",
        "net.ipv4.ip_unprivileged_port_start=80",
        "1",
        "web",
        "hello",
        "web",
        "gone",
    ];
    assert_eq!(lines, expected);
    user.has_left_nothing();
}

/// Bridges are in a network namespace of the user's; each container has a way out of its own.
#[test]
fn a_users_containers_find_each_other_by_name() {
    let user = User::new();
    let lines = user.lines(
        "ask() { network=$1; shift; berth run --rm --network $network busybox nc -w 5 \"$@\" </dev/null; }
         berth network create net >/dev/null; berth network create --internal inner >/dev/null
         berth run -d --name web --network net -p 18080:80 busybox nc -ll -p 80 -e echo hello >/dev/null
         ask net web 80; ask host 127.0.0.1 18080; ask host 192.0.2.2 18080
         ask net web. 81 2>/dev/null || echo closed
         berth network connect inner web; ask inner web 80
         berth run --rm --network inner busybox ip route | grep -c default || true
         berth exec web ip route | grep default | cut -d' ' -f1-5
         berth network disconnect inner web; ask inner web 80 2>/dev/null || echo apart
         berth run -d --name alone busybox sleep 1000 >/dev/null
         berth network connect net alone 2>&1 | cut -d: -f2- || true
         berth restart -t 0 web; ask net web 80
         kill -9 $(cat ../run/berth/containers/*/monitor.lock)
         berth rm -f web alone; berth network rm net inner",
    );
    let alone = " container alone has the network pasta alone: make it with --network net to have it in that";
    let expected = [
        "hello",
        "hello",
        "hello",
        "closed",
        "hello",
        "0",
        "default via 192.0.2.1 dev out0",
        "apart",
        alone,
        "web",
        "hello",
        "web",
        "alone",
        "net",
        "inner",
    ];
    assert_eq!(lines, expected);
    user.has_left_nothing();
}

#[test]
fn what_is_missing_is_named_with_its_remedy() {
    let user = User::new();
    let finished = user.script("PATH=$HOME/../bin; berth ps");
    // The import before it had all; now there is nobody inside, and nobody who writes maps.
    assert!(finished.stderr().contains("apt-get install uidmap"), "{}", finished.stderr());
    let refused = user.command("berth run --rm busybox true").env("TUN", "600").output().expect_code(125);
    assert!(refused.stderr().contains("as root, chmod 666 /dev/net/tun"), "{}", refused.stderr());
    user.has_left_nothing();
}
