//! `berth info`

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use clap::Args;
use engine::{ListQuery, Status};
use oci::image::Platform;
use serde_json::{Value, json};

use super::Outcome;
use super::context::Context;
use super::output::{format, print, units};

#[derive(Args)]
pub struct Info {
    /// A Go template, or `json`
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Info {
    pub fn run(self, context: &Context) -> Outcome {
        let info = describe(context)?;
        let text = match &self.format {
            Some(template) => format::one(template, &info)?,
            None => shown(&info),
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Docker's fields, as far as they mean something without a daemon.
fn describe(context: &Context) -> Result<Value, Box<dyn Error>> {
    let engine = context.engine()?;
    let containers = engine.list(&ListQuery { all: true, ..ListQuery::default() })?;
    let count = |wanted: &[Status]| {
        containers.iter().filter(|summary| wanted.contains(&summary.state.status)).count()
    };
    let (running, paused) = (count(&[Status::Running, Status::Restarting]), count(&[Status::Paused]));
    let cgroups = cgroup::Host::detect()?;
    let version = match cgroups.layout() {
        cgroup::Layout::Unified => "2",
        _ => "1",
    };
    let uname = rustix::system::uname();
    let rootless = !rustix::process::geteuid().is_root();
    let mut security = vec!["name=seccomp,profile=builtin", "name=cgroupns"];
    security.extend(rootless.then_some("name=rootless"));
    security.extend(fs::exists("/sys/kernel/security/apparmor")?.then_some("name=apparmor"));
    Ok(json!({
        "ID": "",
        "Containers": containers.len(),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": containers.len() - running - paused,
        "Images": context.images()?.list(&[])?.len(),
        "Driver": context.images()?.snapshots().driver().docker_name(),
        "LoggingDriver": "local",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": version,
        "KernelVersion": uname.release().to_string_lossy(),
        "OperatingSystem": operating_system(),
        "OSType": "linux",
        "Architecture": uname.machine().to_string_lossy(),
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": memory(),
        "DockerRootDir": context.paths().root,
        "RunDir": context.paths().run,
        "Name": uname.nodename().to_string_lossy(),
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Runtimes": { "berth": { "path": "built in" } },
        "DefaultRuntime": "berth",
        "SecurityOptions": security,
        "Platform": Platform::host().to_string(),
        "LiveRestoreEnabled": true,
        "Warnings": Value::Null,
    }))
}

fn operating_system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

fn memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn shown(info: &Value) -> String {
    let text = |name: &str| match &info[name] {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let security: Vec<&str> =
        info["SecurityOptions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let security: String = security
        .iter()
        .map(|option| format!("  {}\n", option.trim_start_matches("name=").replace(",profile=", ": ")))
        .collect();
    format!(
        "Containers: {}\n Running: {}\n Paused: {}\n Stopped: {}\nImages: {}\nVersion: {}\nStorage Driver: {}\n\
         Logging Driver: {}\nCgroup Driver: {}\nCgroup Version: {}\nDefault Runtime: {}\nSecurity Options:\n{security}\
         Kernel Version: {}\nOperating System: {}\nOSType: {}\nArchitecture: {}\nCPUs: {}\nTotal Memory: {}\nName: {}\n\
         Root Dir: {}\nRun Dir: {}\n",
        text("Containers"),
        text("ContainersRunning"),
        text("ContainersPaused"),
        text("ContainersStopped"),
        text("Images"),
        text("ServerVersion"),
        text("Driver"),
        text("LoggingDriver"),
        text("CgroupDriver"),
        text("CgroupVersion"),
        text("DefaultRuntime"),
        text("KernelVersion"),
        text("OperatingSystem"),
        text("OSType"),
        text("Architecture"),
        text("NCPU"),
        units::binary(info["MemTotal"].as_u64().unwrap_or(0)),
        text("Name"),
        text("DockerRootDir"),
        text("RunDir"),
    )
}
