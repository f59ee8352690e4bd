//! Debian's `docker-registry` on a free port of loopback.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A running registry, killed when dropped.
pub struct Registry {
    directory: PathBuf,
    running: Option<Child>,
    address: String,
}

impl Registry {
    /// Starts one with its data below `directory`.
    pub fn start(directory: &Path) -> Result<Registry, String> {
        let mut registry =
            Registry { directory: directory.to_owned(), running: None, address: "127.0.0.1:0".to_owned() };
        registry.run()?;
        Ok(registry)
    }

    /// Forgets all that was pushed; the address stays.
    pub fn reset(&mut self) -> Result<(), String> {
        self.stop();
        remove(&self.directory)?;
        self.run()
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    fn run(&mut self) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("docker-registry (a Debian package): {error}");
        fs::create_dir_all(&self.directory).map_err(failed)?;
        let config = self.directory.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{}'}}\n",
            self.directory.join("data").display(),
            self.address
        );
        fs::write(&config, text).map_err(failed)?;
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
        self.running = Some(child);
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest[..rest.find([' ', '"', ',']).unwrap_or(rest.len())].to_owned())
        });
        self.address = address.ok_or("docker-registry does not listen")?;
        // A full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Removes a directory, with what is mounted in it unmounted first.
pub fn remove(directory: &Path) -> Result<(), String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut below: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    below.retain(|target| Path::new(target).starts_with(directory));
    // What was mounted last goes first.
    for target in below.into_iter().rev() {
        let _ = rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH);
    }
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("remove {}: {error}", directory.display()))
        }
        _ => Ok(()),
    }
}
