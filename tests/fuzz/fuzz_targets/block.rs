//! The walk over a ring's block on arbitrary bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../src/collect/ring/block.rs"]
mod block;
#[path = "../../../src/model/packet.rs"]
mod packet;
#[path = "../properties.rs"]
mod properties;

fuzz_target!(|input: &[u8]| properties::block(input));
