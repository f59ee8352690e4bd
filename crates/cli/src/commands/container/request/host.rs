//! Flags of what is shared with the host, and of what is allowed.

use super::{Request, RequestFlag};
use crate::commands::container::security;
use crate::commands::flags::Section;

pub const SECTION: Section<Request> = Section {
    heading: "Isolation",
    flags: &[
        RequestFlag::switch("privileged", "Give it all capabilities and devices", |request, on| {
            request.create.host_config.privileged = on;
        }),
        RequestFlag::value(
            "cap-add",
            "CAPABILITY",
            "A capability beyond the default ones, or ALL",
            |request, value| {
                request.create.host_config.cap_add.push(value.to_owned());
                Ok(())
            },
        ),
        RequestFlag::value(
            "cap-drop",
            "CAPABILITY",
            "A capability to take away, or ALL",
            |request, value| {
                request.create.host_config.cap_drop.push(value.to_owned());
                Ok(())
            },
        ),
        RequestFlag::value(
            "security-opt",
            "OPTION",
            "no-new-privileges, seccomp=FILE|nested|unconfined, apparmor=PROFILE, label=…, systempaths=unconfined",
            |request, value| {
                request.security.push(value.to_owned());
                Ok(())
            },
        ),
        RequestFlag::switch(
            "nest",
            "Let it run containers of its own, in a user namespace and without --privileged",
            |request, on| request.nest = on,
        ),
        RequestFlag::switch(
            "explain-denials",
            "Say of each system call that isolation lets fail what denied it and which flag allows it (slows it down)",
            |request, on| {
                request.create.host_config.observe = on.then_some(engine::config::Observe::Denials);
            },
        ),
        RequestFlag::value(
            "userns",
            "MODE",
            "User namespace: host, private, auto[:size=N]",
            |request, value| {
                let (mode, _) = value.split_once(':').unwrap_or((value, ""));
                if !matches!(
                    mode,
                    "" | "host" | "private" | "auto" | "keep-id" | "nomap" | "container" | "ns"
                ) {
                    return Err("invalid USER mode".to_owned());
                }
                value.clone_into(&mut request.create.host_config.userns_mode);
                Ok(())
            },
        ),
        RequestFlag::value(
            "uidmap",
            "CONTAINER:HOST:SIZE",
            "User ids of its own user namespace, and who they are on the host",
            |request, value| {
                let maps = &mut request.create.host_config.id_mappings;
                maps.get_or_insert_default().uid_map.push(value.to_owned());
                Ok(())
            },
        ),
        RequestFlag::value(
            "gidmap",
            "CONTAINER:HOST:SIZE",
            "Group ids of its own user namespace, and who they are on the host",
            |request, value| {
                let maps = &mut request.create.host_config.id_mappings;
                maps.get_or_insert_default().gid_map.push(value.to_owned());
                Ok(())
            },
        ),
        RequestFlag::value(
            "pid",
            "MODE",
            "PID namespace: private, host, container:NAME",
            |request, value| {
                mode(value, &["", "private", "host"]).ok_or("invalid PID mode")?;
                let own = value == "private";
                if own { "" } else { value }.clone_into(&mut request.create.host_config.pid_mode);
                Ok(())
            },
        ),
        RequestFlag::value(
            "ipc",
            "MODE",
            "IPC namespace: private, shareable, none, host, container:NAME",
            |request, value| {
                mode(value, &["", "private", "shareable", "none", "host"]).ok_or("invalid IPC mode")?;
                value.clone_into(&mut request.create.host_config.ipc_mode);
                Ok(())
            },
        ),
        RequestFlag::value("uts", "MODE", "UTS namespace: private, host", |request, value| {
            mode(value, &["", "private", "host"]).ok_or("invalid UTS mode")?;
            let own = value == "private";
            if own { "" } else { value }.clone_into(&mut request.create.host_config.uts_mode);
            Ok(())
        }),
        RequestFlag::value("cgroupns", "MODE", "Cgroup namespace: private, host", |request, value| {
            if !matches!(value, "" | "private" | "host") {
                return Err("invalid CGROUP mode".to_owned());
            }
            value.clone_into(&mut request.create.host_config.cgroupns_mode);
            Ok(())
        }),
        RequestFlag::value("cgroup-parent", "CGROUP", "The cgroup that its own lies in", |request, value| {
            value.clone_into(&mut request.create.host_config.resources.cgroup_parent);
            Ok(())
        }),
        RequestFlag::value(
            "sysctl",
            "NAME=VALUE",
            "A kernel parameter of its namespaces",
            |request, value| {
                let (name, parameter) = value.split_once('=').ok_or("expected NAME=VALUE")?;
                request.create.host_config.sysctls.insert(name.to_owned(), parameter.to_owned());
                Ok(())
            },
        ),
        RequestFlag::value(
            "runtime",
            "RUNTIME",
            "The OCI runtime: berth, or the name or path of another",
            |request, value| {
                value.clone_into(&mut request.create.host_config.runtime);
                Ok(())
            },
        ),
        RequestFlag::value(
            "isolation",
            "KIND",
            "Accepted for scripts: default is all there is on Linux",
            |_, value| match value {
                "" | "default" => Ok(()),
                _ => Err("there is no other isolation than default on Linux".to_owned()),
            },
        )
        .hidden(),
        RequestFlag::value(
            "disable-content-trust",
            "BOOL",
            "Accepted for scripts: policy.json says whom to trust",
            |_, value| security::no_content_trust(value),
        )
        .hidden(),
    ],
};

/// A mode of a namespace: one of `plain`, or another container's.
fn mode(value: &str, plain: &[&str]) -> Option<()> {
    let another = value.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    (plain.contains(&value) || another).then_some(())
}
