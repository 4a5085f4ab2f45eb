#!/usr/bin/env bash
# Installs what Weft needs to build and run from Debian 12's own packages. Idempotent; a second run takes a second.
#
#   ./setup.sh           installs what is missing (as root, or through sudo)
#   ./setup.sh --check   changes nothing; lists what is missing; exits 1 when something is
#
# Without root it says what is missing and succeeds: CMake may find the same things elsewhere (environment modules,
# Spack, CMAKE_PREFIX_PATH), and names what it does not find.
set -euo pipefail

# Package lists by purpose. All names are Debian 12's (bookworm, main).
build=(g++ cmake ninja-build ccache git pkg-config)
mpi=(openmpi-bin libopenmpi-dev libpmix-dev)
compute=(libdnnl-dev llvm-19-dev opencl-headers ocl-icd-opencl-dev pocl-opencl-icd)
files=(libhdf5-openmpi-dev hdf5-tools libprotobuf-dev protobuf-compiler libonnx-dev libyaml-cpp-dev nlohmann-json3-dev
  libjpeg-dev libpng-dev zlib1g-dev)
program=(libboost-program-options-dev libfmt-dev libspdlog-dev)
tests=(libgtest-dev libgmock-dev libbenchmark-dev libonnx-testdata dataset-fashion-mnist)
slurm=(munge slurmctld slurmd slurm-client iproute2)
examples=(python3)
lint=(clang-format clang-tidy shellcheck)
packages=("${build[@]}" "${mpi[@]}" "${compute[@]}" "${files[@]}" "${program[@]}" "${tests[@]}" "${slurm[@]}" "${examples[@]}" "${lint[@]}")

say() { printf 'setup: %s\n' "$*"; }

# Prints the packages of the list that dpkg does not know as installed.
missing_packages() {
  local installed package
  installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
  for package in "${packages[@]}"; do
    grep --quiet --line-regexp --fixed-strings -- "$package" <<<"$installed" || printf '%s\n' "$package"
  done
}

# Runs apt-get unattended, as root, waiting for another apt to finish; its output goes to $log.
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
    apt-get --quiet --yes -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >>"$log" 2>&1 </dev/null
}

fail() {
  say "$1 failed; the last lines of $log:" >&2
  tail -n 25 "$log" >&2
  exit 1
}

install_packages() {
  log=$(mktemp "${TMPDIR:-/tmp}/weft-setup.XXXXXX.log")
  say "installing ${#missing[@]} packages (apt's output: $log):"
  printf '  %s\n' "${missing[*]}" | fold --spaces --width=100
  # The package index is fetched only when it is absent, or too old to name or to deliver a package.
  local update=false
  apt-cache show "${missing[@]}" >/dev/null 2>&1 || update=true
  if ! $update && apt install --no-install-recommends "${missing[@]}"; then return; fi
  say "fetching the package index"
  apt update || fail "apt-get update"
  apt install --no-install-recommends "${missing[@]}" || fail "apt-get install"
}

# Tests start daemons of their own; the packages' services stay off, now and after the next start of the machine.
policy=/usr/sbin/policy-rc.d
forbid_services() {
  policy_is_ours=false
  if [[ -e $policy || -L $policy ]]; then return; fi
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  policy_is_ours=true
  trap allow_services EXIT
  trap 'exit 130' INT TERM
  "${as_root[@]}" chmod 755 "$policy"
}
allow_services() {
  if $policy_is_ours; then "${as_root[@]}" rm -f "$policy"; fi
  policy_is_ours=false
}
disable_services() {
  local service
  for service in munge slurmctld slurmd; do
    if [[ " ${missing[*]} " == *" $service "* ]] && command -v systemctl >/dev/null; then
      "${as_root[@]}" systemctl disable "$service" >>"$log" 2>&1 </dev/null || true # no harm where there is no systemd
    fi
  done
}

case "${1:-}" in
  '' | --check) ;;
  -h | --help)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *)
    say "unknown option '$1'; there is --check and --help" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
  say "not a Debian system, so nothing can be checked here. What Weft needs, by its Debian names:"
  printf '  %s\n' "${packages[*]}" | fold --spaces --width=100
  say "going on: CMake names what it does not find (set CMAKE_PREFIX_PATH, load modules, or use Spack)."
  exit 0
fi

mapfile -t missing < <(missing_packages)
if ((${#missing[@]} == 0)); then
  say "all ${#packages[@]} packages are installed."
  exit 0
fi
if [[ "${1:-}" == --check ]]; then
  say "missing: ${missing[*]}"
  exit 1
fi

# sudo may ask for a password only where somebody can answer.
as_root=()
if ((EUID != 0)); then
  if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 && -t 2 ]]; }; then
    as_root=(sudo)
  else
    say "not root and no sudo, so these ${#missing[@]} packages stay uninstalled:"
    printf '  %s\n' "${missing[*]}" | fold --spaces --width=100
    say "ask an administrator for: apt-get install ${missing[*]}"
    say "going on: the build works if CMake finds them elsewhere (modules, Spack, CMAKE_PREFIX_PATH)."
    exit 0
  fi
fi

start=$SECONDS
forbid_services
install_packages
disable_services
allow_services
mapfile -t missing < <(missing_packages)
if ((${#missing[@]} > 0)); then fail "installing ${missing[*]}"; fi
say "all ${#packages[@]} packages are installed, in $((SECONDS - start)) s."
