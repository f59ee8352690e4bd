//! The types of the OCI specifications, identifiers and references; no I/O.
