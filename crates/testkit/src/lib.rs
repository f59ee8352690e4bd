//! What tests share: throw-away bundles, root file systems, leak checks.
