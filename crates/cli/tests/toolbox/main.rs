//! The toolbox against the kernel, and against the tools of util-linux and libcap.

mod caps;
mod ns;
mod support;
mod userns;
