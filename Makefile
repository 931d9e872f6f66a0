# netmon: the commands a person needs. `make run` and `make test` set up what is missing.

# What it takes to build, by Debian package; other systems get a line that names them.
PACKAGES := clang libelf-dev zlib1g-dev pkg-config gcc libc6-dev iproute2
# What some tests look with. Where one cannot be had, they say so by name.
TEST_PACKAGES := chromium chromium-driver ethtool nftables python3 python3-venv tcpdump

ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PREFIX ?= /usr/local
CARGO ?= cargo
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')

# Only the finished test programs run as root, so that the build leaves no files of root's.
ifneq ($(ROOT),)
export CARGO_TARGET_$(HOST)_RUNNER := sudo -E
endif

# What `install` puts in place; the same directory's prefix stands in the unit.
BINARY ?= target/release/netmon
UNITS := /lib/systemd/system
USERS := /usr/lib/sysusers.d

.PHONY: run test bench asan fuzz install install-files uninstall audit setup setup-tests test-kernels test-service

run: setup
	$(CARGO) build --release
	$(ROOT) target/release/netmon

test: setup setup-tests
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps
	$(CARGO) test
	$(MAKE) asan
	$(CARGO) test --benches -- --test

# Criterion's figures of the hot paths, what hooks cost others, what netmon costs itself.
bench: setup
	$(CARGO) bench

# The ring's pointers (a thread plays the kernel) and hostile bytes under AddressSanitizer;
# tests/asan/Cargo.toml says of what it is made. The stable toolchain does, told so.
asan: setup
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address $(CARGO) test \
		--manifest-path tests/asan/Cargo.toml --target-dir target/asan \
		--target $$(rustc -vV | sed -n 's/^host: //p')

# Arbitrary bytes to the packet parser and to the walk over a capture ring's block, under
# AddressSanitizer; new inputs stay below target. The stable toolchain does, told so.
FUZZ_SECONDS ?= 180
fuzz: setup
	@command -v cargo-fuzz >/dev/null || { \
		echo "cargo-fuzz is missing; get it by: cargo install --locked cargo-fuzz" >&2; exit 1; }
	@for target in packet block; do \
		mkdir -p target/fuzz/corpus/$$target || exit 1; \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz $$target \
			target/fuzz/corpus/$$target tests/fuzz/corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=2048 -print_final_stats=1 || exit 1; \
	done

install: setup
	$(CARGO) build --release
	$(MAKE) install-files

# The binary, the service and its user, and the configuration file, which is written once:
# what a person has changed stays, in `uninstall` too, as does the history.
install-files:
	$(ROOT) install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/netmon
	sed 's|/usr/local/bin/|$(PREFIX)/bin/|' packaging/systemd/netmon.service \
		| $(ROOT) install -D -m 644 /dev/stdin $(DESTDIR)$(UNITS)/netmon.service
	$(ROOT) install -D -m 644 packaging/systemd/netmon.sysusers $(DESTDIR)$(USERS)/netmon.conf
	[ -e $(DESTDIR)/etc/netmon.toml ] \
		|| $(ROOT) install -D -m 644 packaging/netmon.toml $(DESTDIR)/etc/netmon.toml
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then \
		$(ROOT) systemd-sysusers netmon.conf && $(ROOT) systemctl daemon-reload \
			&& echo "start it by: systemctl enable --now netmon"; \
	fi

uninstall:
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then \
		$(ROOT) systemctl disable --now netmon || true; \
	fi
	$(ROOT) rm -f $(DESTDIR)$(PREFIX)/bin/netmon $(DESTDIR)$(UNITS)/netmon.service \
		$(DESTDIR)$(USERS)/netmon.conf
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then $(ROOT) systemctl daemon-reload; fi
	@echo "left in place: $(DESTDIR)/etc/netmon.toml and $(DESTDIR)/var/lib/netmon"

# Licences, bans and sources always; advisories where their database can be had.
audit:
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check licenses bans sources
	-$(CARGO) deny check advisories

# The selftest on this kernel and on Debian's 6.1 and 6.12 in an emulator, and the refusal
# by 5.10; see tests/kernels/run, whose --full runs all kernel tests there.
test-kernels: setup
	tests/kernels/run

# The unit as it is installed, in an emulator under this machine's systemd; see
# tests/service/guest.
test-service: setup
	$(CARGO) build
	tests/service/guest target/kernels/service

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

setup-tests: setup
	@missing=; \
	if command -v dpkg-query >/dev/null; then \
		for package in $(TEST_PACKAGES); do \
			dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q ' installed' \
				|| missing="$$missing $$package"; \
		done; \
		[ -z "$$missing" ] || $(ROOT) apt-get update -qq || true; \
		for package in $$missing; do \
			echo "installing $$package"; \
			$(ROOT) apt-get install -y -qq --no-install-recommends $$package \
				|| echo "tests that need $$package will say so"; \
		done; \
	fi
