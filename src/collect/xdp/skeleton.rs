//! The generated skeleton of `bpf/xdp.bpf.c`: programs, maps and wire types.
//!
//! Nothing is written here by hand; the layouts come from `bpf/xdp.h`.

#![allow(
    missing_docs,
    dead_code,
    non_snake_case,
    non_camel_case_types,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction
)]

include!(concat!(env!("OUT_DIR"), "/xdp.skel.rs"));
