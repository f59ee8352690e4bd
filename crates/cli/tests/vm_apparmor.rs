//! AppArmor profiles: applied at exec, for the first process and for those that join.

use std::fs;
use std::process::Command;

use serde_json::json;
use testkit::{Invocation, Testbed};

/// A loaded profile that allows everything but writing below /tmp; unloaded when dropped.
struct Profile<'bed> {
    bed: &'bed Testbed,
    name: String,
}

impl<'bed> Profile<'bed> {
    fn load(bed: &'bed Testbed) -> Self {
        let name = format!("profile-{}", bed.name());
        let profile = Self { bed, name };
        profile.parser("--replace");
        profile
    }

    fn parser(&self, action: &str) {
        let name = &self.name;
        let text = format!(
            "profile {name} flags=(attach_disconnected,mediate_deleted) {{\n\
             file, capability, network, mount, signal, ptrace, unix, deny /tmp/** w,\n}}\n"
        );
        let path = self.bed.path().join(name);
        fs::write(&path, text).unwrap();
        Invocation::new(self.bed, "/sbin/apparmor_parser").arg(action).arg(path).output().expect_success();
    }
}

impl Drop for Profile<'_> {
    fn drop(&mut self) {
        self.parser("--remove");
    }
}

#[test]
#[ignore = "needs the VM: AppArmor"]
fn the_profile_confines_the_first_process_and_every_other() {
    let bed = Testbed::new();
    let profile = Profile::load(&bed);
    let mut bundle = bed.bundle();
    bundle.script("cat /proc/self/attr/current; touch /tmp/x || echo denied; touch /y && sleep 1000");
    bundle.edit(|spec| spec["process"]["apparmorProfile"] = json!(profile.name));
    let (runtime, id) = (bed.runtime(), bed.id());
    let run = runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    testkit::eventually("the script gets to sleep", || bundle.rootfs().join("y").exists().then_some(()));
    assert_eq!(run.stdout(), format!("{} (enforce)\ndenied\n", profile.name));

    let exec = runtime.command(["exec", &id, "cat", "/proc/self/attr/current"]).output().expect_success();
    assert_eq!(exec.stdout(), format!("{} (enforce)\n", profile.name));
    let exec = runtime.command(["exec", "--apparmor", "unconfined", &id, "touch", "/tmp/x"]).output();
    drop(exec.expect_success());
    runtime.command(["delete", "--force", &id]).output().expect_success();
}

#[test]
#[ignore = "needs the VM: AppArmor"]
fn a_profile_that_is_not_loaded_is_named() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.edit(|spec| spec["process"]["apparmorProfile"] = json!("no-such-profile"));
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output();
    assert!(!run.status.success());
    assert!(run.stderr().contains("no-such-profile"), "{}", run.stderr());
    assert!(run.stderr().to_lowercase().contains("apparmor"), "{}", run.stderr());
}

#[test]
#[ignore = "needs the VM: AppArmor"]
fn without_a_profile_there_is_none() {
    assert!(Command::new("systemctl").args(["is-active", "--quiet", "apparmor"]).status().unwrap().success());
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.script("cat /proc/self/attr/current");
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output().expect_success();
    assert_eq!(run.stdout(), "unconfined\n");
}
