#!/usr/bin/env bash
# A real Slurm cluster of namespaces on this machine: one controller ("head") and a few nodes ("n1", "n2", …), each with
# its own network, hostname, processes, /tmp and /dev/shm; munged, slurmctld and slurmd are Debian's own (setup.sh installs
# them). Needs root. Nothing of the host is changed: its network, /etc/slurm and /etc/hosts stay as they are, everything
# written is in FOLDER, and all ends with one process. Below /tmp all nodes see FOLDER and this repository only.
#
#   cluster.sh check                               says what this machine lacks for it (exit code 77), or nothing
#   cluster.sh up   [-f FOLDER] [-n NODES] [-c CORES] [-b] [-o PID]
#                                                  starts it; -b: ranks are bound to cores, the same ones on every node;
#                                                  -o: it ends with process PID
#   cluster.sh run  [-f FOLDER] [-w NODE] CMD...   runs a command on the head or on a node, as after a login
#   cluster.sh cut  [-f FOLDER] -w NODE            cuts the node's power: all that runs there is gone, Slurm is not told
#   cluster.sh logs [-f FOLDER]                    the ends of the daemons' logs
#   cluster.sh down [-f FOLDER]                    ends it, with every job, and removes FOLDER
#
# By hand:  tests/slurm/cluster.sh up && tests/slurm/cluster.sh run sinfo
#           tests/slurm/cluster.sh run build/release/weft submit job.yaml --site site.yaml;  tests/slurm/cluster.sh down
# FOLDER is /tmp/weft-slurm unless given; two clusters in two folders do not see each other.
set -euo pipefail

program=$(realpath "${BASH_SOURCE[0]}")
network=10.77.0
mark=.weft-slurm-cluster # in folders that `down` may remove

fail() {
  printf 'cluster.sh: %s\n' "$*" >&2
  exit 1
}

# within SECONDS WHAT CMD...: waits until CMD succeeds; gives up with the name of what it waited for and the logs.
within() {
  local limit=$((SECONDS + $1)) seconds=$1 what=$2
  shift 2
  until "$@"; do
    if ((SECONDS >= limit)); then
      logs >&2
      fail "waited $seconds s for $what"
    fi
    sleep 0.05
  done
}

logs() {
  local log
  for log in "$folder"/log/*; do
    [[ -s "$log" ]] || continue
    printf -- '--- the end of %s\n' "$log"
    tail -n 15 "$log"
  done
}

# --- outside: check, up, run, down ---------------------------------------------------------------------------------

lacking() {
  printf 'no Slurm cluster here: %s\n' "$*"
  exit 77
}

check() {
  local tool message
  ((EUID == 0)) || lacking "it needs root (for namespaces and for slurmd)"
  for tool in munged mungekey slurmctld slurmd srun sbatch scontrol ip unshare nsenter flock; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null ||
      lacking "there is no $tool (Debian: munge slurmctld slurmd slurm-client iproute2; ./setup.sh installs them)"
  done
  [[ -d /etc/slurm ]] || lacking "there is no /etc/slurm"
  message=$(unshare --mount --net --uts --ipc --pid --fork --mount-proc --kill-child bash -c \
    'ip link add br0 type bridge && ip link add veth0 type veth peer name veth1 && mount -t tmpfs none /dev/shm' 2>&1) ||
    lacking "no namespaces with a bridge and veth pairs (CAP_SYS_ADMIN, CAP_NET_ADMIN): $message"
}

# The process that everything else lives under; empty when there is none. A number alone could be another's by now.
holder() {
  local pid
  pid=$(cat "$folder/holder.pid" 2>/dev/null) || return 0
  if grep -qzFx -- "$folder" "/proc/$pid/cmdline" 2>/dev/null; then echo "$pid"; fi
}

up() {
  check >&2
  # Sockets are made below it, and the path of a socket has at most 107 bytes.
  [[ $folder =~ ^/[A-Za-z0-9/._-]{1,50}$ ]] || fail "choose a short folder of plain letters instead of '$folder'"
  mkdir -p "$(dirname "$folder")"
  exec {turn}<"$(dirname "$folder")" # one at a time
  flock --timeout 60 "$turn" || fail "waited 60 s for another cluster.sh up"
  if [[ -n $(holder) ]]; then
    echo "the cluster in $folder is up already"
    return
  fi
  if [[ -e $folder && ! -e $folder/$mark ]]; then
    [[ -d $folder && -z $(ls -A "$folder") ]] || fail "$folder is there and no cluster of ours"
  fi
  trap 'down' EXIT # nothing stays behind when starting fails or is interrupted
  trap 'exit 130' INT TERM
  rm -rf "$folder"
  mkdir -p "$folder"
  touch "$folder/$mark"
  chmod 755 "$folder"
  mkdir "$folder/etc" "$folder/log" "$folder/state" "$folder/munge"
  write_configuration
  local -r clean=(env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8)
  "${clean[@]}" setsid unshare --mount --net --uts --ipc --pid --fork --mount-proc --kill-child \
    bash "$program" init "$folder" "$nodes" </dev/null >"$folder/log/init.log" 2>&1 {turn}<&- &
  echo $! >"$folder/holder.pid"
  if [[ -n $owner ]]; then
    "${clean[@]}" setsid bash "$program" watch "$folder" "$owner" </dev/null >/dev/null 2>&1 {turn}<&- &
  fi
  within 30 "all daemons to start and $nodes idle nodes" answers
  trap - EXIT INT TERM
  echo "$nodes nodes of $cores cores are up in $folder"
}

answers() {
  [[ -n $(holder) ]] || { logs >&2 && fail "the cluster did not start"; }
  [[ -e $folder/started ]]
}

write_configuration() {
  local i
  {
    echo "127.0.0.1 localhost"
    echo "$network.1 head"
    for ((i = 1; i <= nodes; ++i)); do echo "$network.$((10 + i)) n$i"; done
  } >"$folder/etc/hosts"
  # A requeued job waits for cred_expire before it starts again. Nodes may claim more cores than the machine has.
  cat >"$folder/etc/slurm.conf" <<CONF
ClusterName=weft
SlurmctldHost=head
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=$task_plugin
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
ReturnToService=2
SlurmdTimeout=20
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
NodeName=n[1-$nodes] Sockets=1 CoresPerSocket=$cores ThreadsPerCore=1 RealMemory=4096
PartitionName=batch Nodes=ALL Default=YES MaxTime=01:00:00
CONF
  echo "CgroupPlugin=cgroup/v1" >"$folder/etc/cgroup.conf" # nothing here uses it; without the line slurmd looks for v2
}

# A login: a clean environment, but for what sanitizers are told, and the same working directory, in the namespaces of the
# head or of a node. There srun starts MPI, so that AddressSanitizer unwinds as in tests/mpirun.sh.
run_inside() {
  local pid kept
  mapfile -t kept < <(env | grep -E '^(A|L|T|UB)SAN_OPTIONS=' | sed '/^ASAN/s/$/:fast_unwind_on_malloc=0/')
  pid=$(holder)
  [[ -n $pid ]] || fail "no cluster is up in $folder: cluster.sh up -f $folder"
  exec env -i PATH="$PATH:/usr/sbin:/sbin" HOME="${HOME:-/root}" USER=root TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 \
    "${kept[@]}" nsenter --mount="/proc/$pid/ns/mnt" --net="/proc/$pid/ns/net" --uts="/proc/$pid/ns/uts" \
    --ipc="/proc/$pid/ns/ipc" --pid="/proc/$pid/ns/pid_for_children" \
    bash "$program" enter "$folder" "$node" "$PWD" "$@"
}

down() {
  local pid
  pid=$(holder)
  if [[ -n $pid ]]; then
    kill -KILL "$pid" # and its child, the first process of a process namespace, dies with all others in there
    within 10 "the processes of the cluster to end" nobody_holds
  fi
  if [[ -e $folder/$mark ]]; then rm -rf "$folder"; fi
}
nobody_holds() { [[ -z $(holder) ]]; }

# --- inside ----------------------------------------------------------------------------------------------------------

# The first process of the cluster: the head, and the bridge that the nodes are plugged into.
init() {
  local i pid
  hostname head
  mount --bind "$folder/etc/hosts" /etc/hosts
  mount --bind "$folder/etc" /etc/slurm
  ip link set lo up
  ip link add br0 type bridge
  ip address add "$network.1/24" dev br0
  ip link set br0 up
  mungekey --create --bits=1024 --keyfile="$folder/munge/key"
  munged --foreground --force --num-threads=2 --socket="$folder/munge/socket" --key-file="$folder/munge/key" \
    --pid-file="$folder/munge/pid" --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed" &
  within 10 "munged to listen" test -S "$folder/munge/socket"
  slurmctld -D >"$folder/log/slurmctld.err" 2>&1 &
  for ((i = 1; i <= nodes; ++i)); do
    unshare --mount --net --uts --ipc --pid --fork --mount-proc --kill-child \
      bash "$program" node "$folder" "$i" >"$folder/log/n$i.err" 2>&1 &
    pid=$!
    echo "$pid" >"$folder/node-n$i.pid"
    within 10 "the network of n$i" has_own_network "$pid"
    ip link add "n$i" type veth peer name eth0 netns "$pid"
    ip link set "n$i" master br0 up
  done
  within 20 "all nodes to be idle" all_idle
  touch "$folder/started"
  wait # for ever: everything here ends with this process
}
has_own_network() { [[ $(readlink "/proc/$1/ns/net") != "$(readlink /proc/self/ns/net)" ]]; }
all_idle() { [[ $(sinfo --noheader --states=idle --format=%D 2>/dev/null) == "$nodes" ]]; }

# The first process of node I.
start_node() {
  local i=$1
  hostname "n$i"
  mount -t tmpfs none /dev/shm
  own_tmp
  ip link set lo up
  within 10 "the network cable of n$i" has_cable
  ip address add "$network.$((10 + i))/24" dev eth0
  ip link set eth0 up
  mkdir -p "$folder/n$i"
  slurmd -D -N "n$i" &
  wait
}
# A /tmp of the node's own, in which only FOLDER and this repository are still seen, if they lie there.
own_tmp() {
  local new=$folder/tmp shared
  mkdir -p "$new"
  mount -t tmpfs none "$new"
  chmod 1777 "$new"
  for shared in "$folder" "$(realpath "$(dirname "$program")/../..")"; do
    [[ $shared == /tmp/* ]] || continue
    mkdir -p "$new/${shared#/tmp/}"
    mount --bind "$shared" "$new/${shared#/tmp/}"
  done
  mount --move "$new" /tmp
}
has_cable() { ip link show eth0 &>/dev/null; }

enter() {
  local where=$1 directory=$2 pid
  shift 2
  if [[ -n $where ]]; then
    pid=$(cat "$folder/node-$where.pid" 2>/dev/null) || fail "there is no node '$where'"
    exec nsenter --mount="/proc/$pid/ns/mnt" --net="/proc/$pid/ns/net" --uts="/proc/$pid/ns/uts" \
      --ipc="/proc/$pid/ns/ipc" --pid="/proc/$pid/ns/pid_for_children" \
      bash "$program" enter "$folder" "" "$directory" "$@"
  fi
  cd "$directory"
  exec "$@"
}

verb=${1:-help}
(($# == 0)) || shift
folder=/tmp/weft-slurm nodes=2 cores=2 owner='' node='' task_plugin=task/none
case "$verb" in
  init)
    folder=$1 nodes=$2
    init
    exit
    ;;
  node)
    folder=$1
    start_node "$2"
    exit
    ;;
  enter)
    folder=$1
    shift
    enter "$@"
    ;;
  watch)
    folder=$1
    while [[ -e /proc/$2 && -n $(holder) ]]; do sleep 0.5; done
    down
    exit
    ;;
esac
while getopts :bf:n:c:o:w: option; do
  case "$option" in
    f) folder=$(realpath -m "$OPTARG") ;;
    n) nodes=$OPTARG ;;
    b) task_plugin=task/affinity ;;
    c) cores=$OPTARG ;;
    o) owner=$OPTARG ;;
    w) node=$OPTARG ;;
    *) fail "unknown option -$OPTARG; see cluster.sh --help" ;;
  esac
done
shift $((OPTIND - 1))
[[ $nodes =~ ^[1-9][0-9]?$ && $cores =~ ^[1-9][0-9]?$ ]] || fail "-n and -c take numbers from 1 to 99"
[[ -z $owner || -e /proc/$owner/stat ]] || fail "-o takes the number of a process that runs, not '$owner'"
case "$verb" in
  check) check ;;
  up) up ;;
  run)
    (($# > 0)) || fail "run takes a command"
    run_inside "$@"
    ;;
  cut)
    pid=$(cat "$folder/node-$node.pid" 2>/dev/null) || fail "cut needs a node (-w n2) of a cluster that is up"
    node=''
    run_inside kill -KILL "$pid"
    ;;
  logs) logs ;;
  down) down ;;
  help | -h | --help) sed -n '2,20s/^# \{0,1\}//p' "$program" ;;
  *) fail "unknown verb '$verb'; see cluster.sh --help" ;;
esac
