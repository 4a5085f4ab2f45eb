#!/usr/bin/env bash
# Two nodes with a network between them, on this machine: a command under mpirun, one rank on each.
#
#   two_nodes.sh check                               says what this machine lacks for it (exit code 77), or nothing
#   two_nodes.sh run [-r RATE] [-d DELAY] [-c CORES] CMD...
#                                                    RATE as tc has it (1gbit), 0: as fast as it goes; DELAY each way
#                                                    (50us), where the kernel has netem, else none and it says so;
#                                                    CORES: "0;1": what each node's processes may run on
#
# A node is a namespace of network, hostname, processes, shared memory and /tmp; a veth pair joins the two, and Open MPI
# goes over TCP. Nothing of the host is changed; what it writes is in a folder of its own below the working directory, and
# everything ends with this process. Needs root.
set -euo pipefail

program=$(realpath "${BASH_SOURCE[0]}")

lacking() {
  printf 'no network of two nodes here: %s\n' "$*"
  exit 77
}

fail() {
  printf 'two_nodes.sh: %s\n' "$*" >&2
  exit 1
}

check() {
  local tool message
  ((EUID == 0)) || lacking "it needs root (for namespaces)"
  for tool in ip tc unshare nsenter mpirun taskset; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || lacking "there is no $tool (Debian: iproute2 util-linux openmpi-bin)"
  done
  # shellcheck disable=SC2016
  message=$(unshare --mount --net --uts --ipc --pid --fork --mount-proc --kill-child bash -c \
    'PATH=$PATH:/usr/sbin:/sbin; ip link add eth0 type veth peer name eth1 && mount -t tmpfs none /dev/shm &&
     tc qdisc add dev eth0 root tbf rate 1gbit burst 256kb latency 50ms' 2>&1) ||
    lacking "no namespaces with veth pairs and rates (CAP_SYS_ADMIN, CAP_NET_ADMIN): $message"
}

# What goes out of this node.
shape() {
  local root=root
  if [[ $delay != 0 ]]; then
    if tc qdisc add dev eth0 root handle 1: netem delay "$delay" limit 100000 2>/dev/null; then
      root="parent 1:"
    elif [[ $1 == n1 ]]; then
      echo "two_nodes.sh: this kernel has no netem: no delay of $delay is added" >&2
    fi
  fi
  # shellcheck disable=SC2086
  if [[ $rate != 0 ]]; then tc qdisc add dev eth0 $root tbf rate "$rate" burst 256kb latency 100ms; fi
}

# within WHAT CMD...: waits until CMD succeeds.
within() {
  local limit=$((SECONDS + 10)) what=$1
  shift
  until "$@" 2>/dev/null; do
    ((SECONDS < limit)) || fail "waited 10 s for $what"
    sleep 0.02
  done
}

# What both nodes do first: their own /tmp, in which the working directory and what is below it stay seen.
own_folders() {
  hostname "$1"
  mount -t tmpfs none /dev/shm
  mount --bind "$state/hosts" /etc/hosts
  if [[ $PWD == /tmp/* ]]; then
    mkdir -p "$state/$1-tmp"
    mount -t tmpfs none "$state/$1-tmp"
    mkdir -p "$state/$1-tmp/${PWD#/tmp/}"
    mount --bind "$PWD" "$state/$1-tmp/${PWD#/tmp/}"
    mount --move "$state/$1-tmp" /tmp
  elif [[ $1 == n2 ]]; then
    export TMPDIR=$state/n2-tmp
    mkdir -p "$TMPDIR"
  fi
  ip link set lo up
}

# The second node waits for daemons that the first one starts in it.
second() {
  own_folders n2
  within "the cable" ip link show eth0 >/dev/null
  ip address add 10.79.0.2/24 dev eth0
  ip link set eth0 up
  shape n2
  touch "$state/ready"
  exec sleep infinity
}

# Called by mpirun as a remote shell: agent NODE COMMAND...
agent() {
  local pid cores
  shift
  pid=$(cat "$state/n2.pid")
  cores=$(cat "$state/cores2")
  exec nsenter --mount="/proc/$pid/ns/mnt" --net="/proc/$pid/ns/net" --uts="/proc/$pid/ns/uts" --ipc="/proc/$pid/ns/ipc" \
    --pid="/proc/$pid/ns/pid_for_children" taskset -c "$cores" \
    env TMPDIR="$([[ -d $state/n2-tmp ]] && [[ $PWD != /tmp/* ]] && echo "$state/n2-tmp" || echo /tmp)" \
    bash -c "cd '$PWD'; $*"
}

first() {
  local pid
  unshare --mount --net --uts --ipc --pid --fork --mount-proc --kill-child bash "$program" second "$state" "$rate" "$delay" &
  pid=$!
  within "the second node" test -e "/proc/$pid/ns/net"
  # unshare's child is the node's first process.
  within "the second node" pgrep -P "$pid" >/dev/null
  pgrep -P "$pid" >"$state/n2.pid"
  within "its network" own_network "$(cat "$state/n2.pid")"
  own_folders n1
  ip link add eth0 type veth peer name eth0 netns "$(cat "$state/n2.pid")"
  ip address add 10.79.0.1/24 dev eth0
  ip link set eth0 up
  within "the second node" test -e "$state/ready"
  shape n1
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  # shellcheck disable=SC2054
  local -r options=(--bind-to none --oversubscribe --quiet -H n1:1,n2:1 -n 2 --mca plm_rsh_agent "$state/agent"
    --mca btl tcp,self --mca pml ob1 --mca btl_tcp_if_include 10.79.0.0/24 --mca oob_tcp_if_include 10.79.0.0/24)
  taskset -c "${cores%%;*}" mpirun "${options[@]}" "$@"
}
own_network() { [[ $(readlink "/proc/$1/ns/net") != "$(readlink /proc/self/ns/net)" ]]; }

PATH=$PATH:/usr/sbin:/sbin
verb=${1:-help}
(($# == 0)) || shift
rate=1gbit delay=0 cores="0-$(($(nproc) - 1));0-$(($(nproc) - 1))"
case "$verb" in
  check) check ;;
  second)
    state=$1 rate=$2 delay=$3
    second
    ;;
  agent)
    state=$1
    shift
    agent "$@"
    ;;
  first)
    state=$1 rate=$2 delay=$3 cores=$4
    shift 4
    first "$@"
    ;;
  run)
    while getopts :r:d:c: option; do
      case "$option" in
        r) rate=$OPTARG ;;
        d) delay=$OPTARG ;;
        c) cores=$OPTARG ;;
        *) fail "unknown option -$OPTARG; see two_nodes.sh --help" ;;
      esac
    done
    shift $((OPTIND - 1))
    (($# > 0)) || fail "run takes a command"
    check >&2
    state=$(mktemp -d "$PWD/.two-nodes-XXXXXX")
    trap 'rm -rf "$state"' EXIT
    printf '127.0.0.1 localhost\n10.79.0.1 n1\n10.79.0.2 n2\n' >"$state/hosts"
    echo "${cores##*;}" >"$state/cores2"
    printf '#!/usr/bin/env bash\nexec bash %q agent %q "$@"\n' "$program" "$state" >"$state/agent"
    chmod 755 "$state" "$state/agent"
    unshare --mount --net --uts --ipc --pid --fork --mount-proc --kill-child \
      bash "$program" first "$state" "$rate" "$delay" "$cores" "$@"
    ;;
  *) sed -n '2,14s/^# \{0,1\}//p' "$program" ;;
esac
