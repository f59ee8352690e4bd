//! The toolbox against the kernel, and against the tools of util-linux and libcap.

mod caps;
mod cgroup;
mod explain;
mod mounts;
mod netns;
mod ns;
mod seccomp;
mod support;
mod userns;
