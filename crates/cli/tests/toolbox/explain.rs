//! `berth explain`.

use crate::support::{Sleeper, berth, failure, json, stdout};

fn verdicts(page: &serde_json::Value, verdict: &str) -> Vec<String> {
    let findings =
        page["findings"].as_array().unwrap().iter().filter(|finding| finding["verdict"] == verdict);
    findings.map(|finding| finding["what"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_unshare_isolates_is_said_to_be_isolated() {
    let sleeper = Sleeper::new("unshare", &["-n", "-u"]);
    let page = json(berth(&["explain", "--json", &sleeper.pid()]));
    let isolated = verdicts(&page, "isolated").join("\n");
    assert!(isolated.contains("net:[") && isolated.contains("uts:["), "{isolated}");
    let open = verdicts(&page, "open").join("\n");
    assert!(open.contains("System V IPC and message queues: shared with the host"), "{open}");
    assert!(open.contains("system calls are not filtered"), "{open}");
}

#[test]
fn powers_are_named_with_the_flag_that_takes_them() {
    let sleeper = Sleeper::new("setpriv", &["--bounding-set=-all,+sys_admin"]);
    let text = stdout(berth(&["explain", &sleeper.pid()]));
    assert!(
        text.contains("CAP_SYS_ADMIN lets it") && text.contains("changed by: --cap-drop=SYS_ADMIN"),
        "{text}"
    );
    let ordinary = Sleeper::new("setpriv", &["--reuid=65534", "--clear-groups", "--no-new-privs"]);
    let page = json(berth(&["explain", "--json", &ordinary.pid()]));
    assert!(verdicts(&page, "power").is_empty(), "{page}");
    assert!(verdicts(&page, "isolated").iter().any(|what| what.starts_with("exec gives no privileges")));
}

#[test]
fn limits_that_are_near_are_said() {
    let root = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
        .into_iter()
        .find(|path| std::path::Path::new(path).is_dir());
    let cgroup = format!("{}/toolbox-explain-{}", root.unwrap(), std::process::id());
    std::fs::create_dir(&cgroup).unwrap();
    std::fs::write(format!("{cgroup}/pids.max"), "1").unwrap();
    let sleeper = Sleeper::new("env", &[]);
    std::fs::write(format!("{cgroup}/cgroup.procs"), sleeper.pid()).unwrap();
    let page = json(berth(&["explain", "--json", &sleeper.pid()]));
    drop(sleeper);
    std::fs::remove_dir(&cgroup).unwrap();
    assert_eq!(verdicts(&page, "near"), ["processes: 100% of the limit is used"]);
}

#[test]
fn the_page_is_html_too() {
    let sleeper = Sleeper::new("env", &[]);
    assert!(stdout(berth(&["explain", "--html", &sleeper.pid()])).ends_with("</body></html>"));
    assert!(failure(berth(&["explain", "2147483647"])).contains("there is no process"));
}
