//! The generated skeleton of `bpf/filter.bpf.c`: the program, its maps and wire types.
//!
//! Nothing is written here by hand; the layouts come from `bpf/filter.h`.

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

include!(concat!(env!("OUT_DIR"), "/filter.skel.rs"));
