# netmon: the commands a person needs. `make run` and `make test` set up what is missing.

# What it takes to build, by Debian package; other systems get a line that names them.
PACKAGES := clang libelf-dev zlib1g-dev pkg-config gcc libc6-dev iproute2

ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PREFIX ?= /usr/local
CARGO ?= cargo
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')

# Only the finished test programs run as root, so that the build leaves no files of root's.
ifneq ($(ROOT),)
export CARGO_TARGET_$(HOST)_RUNNER := sudo -E
endif

.PHONY: run test bench install audit setup test-kernels

run: setup
	$(CARGO) build --release
	$(ROOT) target/release/netmon

test: setup
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps
	$(CARGO) test
	$(CARGO) bench -- --test

# Criterion's figures of the hot paths, what hooks cost others, what netmon costs itself.
bench: setup
	$(CARGO) bench

install: setup
	$(CARGO) build --release
	$(ROOT) install -D -m 755 target/release/netmon $(DESTDIR)$(PREFIX)/bin/netmon

# Licences, bans and sources always; advisories where their database can be had.
audit:
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check licenses bans sources
	-$(CARGO) deny check advisories

# The selftest on this kernel and on Debian's 6.1 and 6.12 in an emulator, and the refusal
# by 5.10; see tests/kernels/run, whose --full runs all kernel tests there.
test-kernels: setup
	tests/kernels/run

setup:
	@missing=; \
	if command -v dpkg-query >/dev/null; then \
		for package in $(PACKAGES); do \
			dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q ' installed' \
				|| missing="$$missing $$package"; \
		done; \
		if [ -n "$$missing" ]; then \
			echo "installing$$missing"; \
			$(ROOT) apt-get update -qq && $(ROOT) apt-get install -y -qq --no-install-recommends $$missing; \
		fi; \
	elif ! command -v clang >/dev/null || ! pkg-config --exists libelf zlib; then \
		echo "netmon needs clang (14 or newer), libelf, zlib and pkg-config with their headers:" >&2; \
		echo "  Fedora: dnf install clang elfutils-libelf-devel zlib-devel pkgconf gcc" >&2; \
		echo "  Arch:   pacman -S clang libelf zlib pkgconf gcc" >&2; \
		exit 1; \
	fi
	@command -v $(CARGO) >/dev/null || { \
		echo "netmon needs a Rust toolchain: https://rustup.rs" >&2; exit 1; }
	@$(CARGO) fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@$(CARGO) clippy --version >/dev/null 2>&1 || rustup component add clippy
