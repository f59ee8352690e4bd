//! `berth netns` beside ip netns. Every test has a mount namespace of its own with an empty /run.

use crate::support::{Sleeper, berth, json, run, stdout};

/// Runs a script whose `$berth` is ours, with an empty /run and a network namespace in the place of the host's.
fn in_an_empty_world(script: &str) -> String {
    let prelude = "set -e; mount -t tmpfs t /run; mkdir /run/netns; berth=$0; ";
    let words = ["-m", "-n", "sh", "-c", &format!("{prelude}{script}"), env!("CARGO_BIN_EXE_berth")];
    stdout(run("unshare", &words))
}

#[test]
fn names_are_those_of_ip_netns() {
    let script = "
        $berth netns add one
        ip netns add two
        ip netns list | cut -d' ' -f1 | sort
        $berth netns ls --json | grep -A1 names | grep -o '\"[a-z]*\"$' | sort
        $berth netns del one
        ip netns del two
        ls /run/netns
    ";
    assert_eq!(in_an_empty_world(script), "one\ntwo\n\"one\"\n\"two\"");
}

#[test]
fn peers_are_found_across_namespaces() {
    let script = "
        ip netns add left; ip netns add right
        ip -n left link add v0 type veth peer name v1 netns right
        ip link add h0 type veth peer name h1
        ip link add r0 type veth peer name r1 netns right
        $berth netns ls
        ip netns del left; ip netns del right
    ";
    let table = in_an_empty_world(script);
    for expected in ["lo v0→v1@right", "v1→v0@left", "h0→h1", "r0→r1@right"] {
        assert!(table.contains(expected), "{expected}: {table}");
    }
}

#[test]
fn exec_runs_where_ip_netns_exec_runs() {
    let script = "
        $berth netns add one
        ours=$($berth netns exec one readlink /proc/self/ns/net)
        theirs=$(ip netns exec one readlink /proc/self/ns/net)
        test \"$ours\" = \"$theirs\"
        mkdir -p /run/etc; cp /etc/hosts /run/etc/hosts
        $berth netns exec one ls /sys/class/net
        $berth netns exec one ip link show lo | grep -c UP
        $berth netns exec --all true
        $berth netns exec one sh -c 'exit 5' || echo $?
        $berth netns del one
    ";
    assert_eq!(in_an_empty_world(script), "lo\n1\nnetns: one\n5");
}

#[test]
fn processes_lead_to_names_and_back() {
    let script = "
        $berth netns add one
        ip netns exec one sleep 60 & pid=$!
        until [ \"$($berth netns identify $pid)\" = one ]; do :; done
        test \"$($berth netns pids one)\" = $pid
        test \"$(ip netns identify $pid)\" = one
        $berth netns attach again $pid
        $berth netns identify $pid
        kill $pid
        $berth netns del -a
        ls /run/netns
    ";
    assert_eq!(in_an_empty_world(script), "again\none");
}

#[test]
fn monitor_tells_of_names() {
    let script = "
        $berth netns monitor > /run/told & pid=$!
        until grep -q inotify /proc/$pid/fdinfo/*; do :; done
        ip netns add one; ip netns del one
        until grep -q delete /run/told; do :; done
        kill $pid
        cat /run/told
    ";
    assert_eq!(in_an_empty_world(script), "add one\ndelete one");
}

#[test]
fn nameless_namespaces_are_listed_too() {
    let sleeper = Sleeper::new("unshare", &["-n"]);
    let listed = json(berth(&["netns", "ls", "--json"]));
    let own = listed.as_array().unwrap().iter().find(|network| network["pid"] == sleeper.0.id()).unwrap();
    assert_eq!(own["names"].as_array().unwrap().len(), 0);
    assert_eq!(own["links"][0]["name"], "lo");
}

#[test]
fn errors_say_what_is_wrong() {
    let script = "
        $berth netns add one
        ! $berth netns add one 2>&1
        ! $berth netns del two 2>&1
        ! $berth netns add a/b 2>&1
        ! $berth netns exec nothing true 2>&1
        $berth netns del one
    ";
    let told = in_an_empty_world(script);
    for expected in
        ["the name is taken", "there is no such name", "can't be a name", "is no network namespace"]
    {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}
