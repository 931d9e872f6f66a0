//! Modules of the kernel that a case would load: a socket of a family, or an
//! algorithm, that is not there yet. They stay loaded after the case.
//!
//! Owns which case needs what and how one sees that it is there, without asking
//! the kernel for it. Loads nothing.

use std::fs;
use std::path::Path;

use super::generator::needs_ipv6;

/// Something of the kernel that may be a module, and how to see it.
struct Part {
    /// As `modprobe` calls it.
    module: &'static str,
    is_there: fn() -> bool,
}

const IPV6: Part = Part {
    module: "ipv6",
    // It has parameters, so the directory is there if it is built in, too.
    is_there: || Path::new("/sys/module/ipv6").exists(),
};
const SCTP: Part = Part {
    module: "sctp",
    is_there: || has_protocol("SCTP"),
};
const VSOCK: Part = Part {
    module: "vsock",
    is_there: || has_protocol("AF_VSOCK"),
};
const PACKET: Part = Part {
    module: "af_packet",
    is_there: || has_protocol("PACKET"),
};
const TLS: Part = Part {
    module: "tls",
    is_there: || is_listed("/proc/sys/net/ipv4/tcp_available_ulp", "tls"),
};
const GCM: Part = Part {
    module: "gcm(aes)",
    is_there: || has_algorithm("gcm(aes)"),
};
const CRYPTO_SOCKETS: Part = Part {
    module: "af_alg",
    is_there: || has_protocol("ALG"),
};
const HASH_SOCKETS: Part = Part {
    module: "algif_hash",
    // The name of one of its functions: built in, it has no directory.
    is_there: || is_listed("/proc/kallsyms", "hash_accept_parent"),
};
const SHA256: Part = Part {
    module: "sha256",
    is_there: || has_algorithm("sha256"),
};

/// True if that word stands in the file.
fn is_listed(path: &str, word: &str) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_ascii_whitespace().any(|found| found == word)
}

/// True if sockets of that protocol can be made.
fn has_protocol(name: &str) -> bool {
    let text = fs::read_to_string("/proc/net/protocols").unwrap_or_default();
    text.lines()
        .any(|line| line.split(' ').next() == Some(name))
}

fn has_algorithm(name: &str) -> bool {
    let text = fs::read_to_string("/proc/crypto").unwrap_or_default();
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.any(|(field, value)| field.trim() == "name" && value.trim() == name)
}

/// What the case needs that is a module in some kernels.
fn needed(case: &str) -> Vec<&'static Part> {
    let mut parts = Vec::new();
    let mut add = |is_needed: bool, some: &[&'static Part]| {
        if is_needed {
            parts.extend_from_slice(some);
        }
    };
    add(needs_ipv6(case), &[&IPV6]);
    add(case.starts_with("sctp"), &[&SCTP]);
    add(case.starts_with("vsock"), &[&VSOCK]);
    add(case.starts_with("packet"), &[&PACKET]);
    add(case.contains("::tls::"), &[&TLS, &GCM]);
    let crypto: [&'static Part; 3] = [&CRYPTO_SOCKETS, &HASH_SOCKETS, &SHA256];
    add(case.starts_with("uncounted::crypto"), &crypto);
    parts
}

/// Why the case would have the kernel load a module; none if all of it is there.
pub fn missing(case: &str) -> Option<String> {
    let part = needed(case).into_iter().find(|part| !(part.is_there)())?;
    Some(format!("{} is not loaded; --modules loads it", part.module))
}

#[cfg(test)]
mod tests {
    use super::super::suite;
    use super::*;

    fn modules(case: &str) -> Vec<&'static str> {
        needed(case).iter().map(|part| part.module).collect()
    }

    #[test]
    fn each_case_by_what_its_name_begins_with() {
        for (case, of) in [
            ("tcp4::send::plain", &[][..]),
            ("tcp6::send::plain", &["ipv6"]),
            ("udp_mapped_unconnected::sendto::plain", &["ipv6"]),
            ("sctp4::stream::send", &["sctp"]),
            ("sctp6::one_to_many::sendmsg", &["ipv6", "sctp"]),
            ("vsock::stream::all_paths", &["vsock"]),
            ("packet::raw::sendto", &["af_packet"]),
            ("tcp6::tls::send_recv", &["ipv6", "tls", "gcm(aes)"]),
            (
                "uncounted::crypto::hash",
                &["af_alg", "algif_hash", "sha256"],
            ),
            ("uncounted::netlink::dump", &[]),
            ("process::short_lives", &[]),
        ] {
            assert_eq!(modules(case), of, "{case}");
            assert!(suite::names().iter().any(|name| name == case), "{case}");
        }
    }

    #[test]
    fn what_this_kernel_has_is_there() {
        assert!(has_protocol("TCP") && has_protocol("UDP"));
        assert!(!has_protocol("TC") && !has_protocol("protocol "));
        assert_eq!(missing("tcp4::send::plain"), None);
    }
}
