//! The parts of netmon that read memory by pointers and offsets, by the names that they
//! have there. Owns nothing else; see `Cargo.toml`.

#[path = "../../src/collect"]
pub mod collect {
    #[allow(dead_code, reason = "the command line uses the rest")]
    pub mod ring;
}

#[path = "../../src/model"]
pub mod model {
    pub mod packet;
}
