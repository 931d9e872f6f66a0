//! What a cgroup path says: the systemd unit and the container.
//!
//! Pure text. Reads no cgroup file system.

/// The innermost systemd unit named by `path`, e.g. `ssh.service`.
pub fn unit(path: &str) -> Option<String> {
    path.rsplit('/')
        .find(|part| {
            [".service", ".scope", ".socket", ".mount", ".swap"]
                .iter()
                .any(|suffix| part.ends_with(suffix))
        })
        .map(ToOwned::to_owned)
}

/// The first 12 digits of the container id named by `path`: Docker, Podman,
/// containerd and CRI-O all put 64 hexadecimal digits into a path component.
pub fn container(path: &str) -> Option<String> {
    path.rsplit('/').find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let id = part.rsplit(['-', ':']).next()?;
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| id[..12].to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_unit_counts() {
        assert_eq!(
            unit("/system.slice/ssh.service").as_deref(),
            Some("ssh.service")
        );
        assert_eq!(
            unit("/user.slice/user-1000.slice/user@1000.service/app.slice/firefox.scope")
                .as_deref(),
            Some("firefox.scope")
        );
        assert_eq!(unit("/"), None);
    }

    #[test]
    fn container_ids_of_the_common_runtimes() {
        let id = "0123456789abcdef".repeat(4);
        for path in [
            format!("/system.slice/docker-{id}.scope"),
            format!("/docker/{id}"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
            format!("/machine.slice/libpod-{id}.scope/container"),
            format!("/kubepods/burstable/pod1/crio:{id}"),
        ] {
            assert_eq!(container(&path).as_deref(), Some("0123456789ab"), "{path}");
        }
        assert_eq!(container("/system.slice/ssh.service"), None);
    }
}
