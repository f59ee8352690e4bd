//! The toolbox against the kernel, and against the tools of util-linux and libcap.

mod ns;
mod support;
