//! The commands for images, as people and scripts use them.

mod builtin;
mod chaos;
mod commands;
mod killed;

use std::path::PathBuf;

use testkit::{Invocation, Testbed, berth_binary};

/// `berth` with a state directory, a home and a configuration of its own.
struct Berth<'bed> {
    bed: &'bed Testbed,
    root: PathBuf,
}

impl<'bed> Berth<'bed> {
    fn new(bed: &'bed Testbed, name: &str) -> Self {
        Berth { bed, root: bed.path().join(name) }
    }

    fn command(&self, args: &[&str]) -> Invocation {
        let home = self.bed.path().join("home");
        std::fs::create_dir_all(&home).expect("make a home");
        Invocation::new(self.bed, berth_binary())
            .arg("--root")
            .arg(&self.root)
            .args(args)
            .env("HOME", &home)
            .env("DOCKER_CONFIG", home.join("docker"))
            .with(|command| {
                command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_RUNTIME_DIR");
            })
    }

    /// Runs a command that has to succeed and returns what it prints.
    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        self.command(args).output().expect_success().stdout()
    }

    /// Makes an image of files of `sizes` bytes, a layer.
    fn import(&self, name: &str, sizes: &[usize]) {
        let directory = self.bed.path().join(format!("files{}", sizes.iter().sum::<usize>()));
        std::fs::create_dir_all(&directory).expect("make a directory");
        let archive = directory.join("rootfs.tar");
        for (at, size) in sizes.iter().enumerate() {
            let mut state = *size as u32 + at as u32 + 1;
            // Bytes that don't compress, so that a layer is as large on its way as it is unpacked.
            let content: Vec<u8> = (0..*size)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            std::fs::write(directory.join(format!("file{at}")), content).expect("write a file");
        }
        let packed = Invocation::new(self.bed, "tar")
            .args(["--exclude=rootfs.tar", "-cf"])
            .arg(&archive)
            .arg("-C")
            .arg(&directory)
            .arg(".")
            .output();
        packed.expect_success();
        let path = archive.to_str().expect("a path of the bed is text");
        self.run(&["import", "-c", "CMD [\"/bin/sh\"]", "-c", "LABEL made=here", path, name]);
    }
}
