//! Control groups of others.

use serde_json::json;
use testkit::Testbed;

use crate::{add_mount, run, without_mount};

/// Defence: where the kernel lets root of a user namespace mount no cgroup file system, for there is no cgroup
/// namespace, the container gets binds of its own groups and not of the host's hierarchies. So what it can write, where
/// the configuration says so, is its own. The kernel shows processes of other pid namespaces as 0; and the container has
/// no group below its own.
#[test]
fn cve_2023_25809_a_writable_cgroup_mount_shows_the_containers_own_groups() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.edit(|spec| {
        without_mount(spec, "/sys/fs/cgroup");
        add_mount(spec, json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}));
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        for ids in ["uidMappings", "gidMappings"] {
            spec["linux"][ids] = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        }
    });
    bundle.script(
        "cd /sys/fs/cgroup
        cat cgroup.procs */cgroup.procs 2> /dev/null > /tmp/members || :
        grep -qx 1 /tmp/members
        if grep -x 0 /tmp/members; then echo; fi
        ls -d */*/ 2> /dev/null || :",
    );
    assert_eq!(run(&bed, &bundle).expect_success().stdout(), "");
}
