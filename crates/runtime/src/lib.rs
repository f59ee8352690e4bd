//! The OCI runtime core: plan, parent, init, protocol, state.
