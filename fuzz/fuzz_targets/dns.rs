//! Any bytes as a question to the resolver, any others as an answer to it: what is said of them holds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|messages: (&[u8], &[u8])| {
    let (message, other) = messages;
    network::dns_messages_hold(message, other);
});
