#!/usr/bin/env bash
# A Slurm cluster of this one machine, for tests: munged, slurmctld and slurmd on the loopback, without systemd.
#   scripts/slurm_one_node.sh start DIR   DIR (new, its path short) gets configuration, key, logs, state
#   export SLURM_CONF=DIR/slurm.conf      then sbatch, srun, squeue, scancel work
#   scripts/slurm_one_node.sh stop DIR    cancels the jobs and ends the processes that start began
# Needs Debian's slurm-wlm and munge. Nothing outside DIR is read or written; what is forgotten ends after an hour.
set -euo pipefail

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 64; }

# Two ports in a row that nobody listens on.
free_ports() {
  local port
  while :; do
    port=$((20000 + RANDOM % 10000))
    (: < /dev/tcp/127.0.0.1/$port) 2> /dev/null || (: < /dev/tcp/127.0.0.1/$((port + 1))) 2> /dev/null || break
  done
  echo $port
}

write_configuration() {
  local dir=$1 host port
  host=$(hostname -s) port=$(free_ports)
  cat > "$dir/slurm.conf" << CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
PluginDir=$(dirname "$(find /usr/lib -path '*slurm*' -name auth_munge.so -print -quit)")
PlugStackConfig=$dir/plugstack.conf
MailProg=/bin/true
MpiDefault=none
# By process group: no cgroups in containers, and linuxproc loses the children of a batch shell that dies first.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
# SIGTERM, so many seconds, SIGKILL. Slurm's default is 30.
KillWait=5
InactiveLimit=0
MinJobAge=3600
ReturnToService=2
JobRequeue=1
# A job that stopped early goes back to the queue.
RequeueExit=75
# As many jobs as a test likes, whatever the machine has.
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=16 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
  : > "$dir/plugstack.conf"
}

# wait_until SECONDS COMMAND…
wait_until() {
  local end=$((SECONDS + $1)); shift
  until "$@" > /dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

# spawn DIR NAME COMMAND…: in the background and a session of its own. Its process group is remembered.
spawn() {
  local dir=$1 name=$2; shift 2
  setsid timeout --kill-after=10 3600 "$@" < /dev/null >> "$dir/$name.out" 2>&1 &
  echo $! > "$dir/$name.group"
}

node_is_idle() { [[ $(sinfo --noheader --format=%T) == idle ]]; }

begin() {
  local dir=$1
  export SLURM_CONF=$dir/slurm.conf
  spawn "$dir" munged munged --foreground --force --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
    --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munged.seed" --num-threads=2
  wait_until 10 munge --socket="$dir/munge.socket" --no-input || return 1
  spawn "$dir" slurmctld slurmctld -D -i -f "$SLURM_CONF"
  wait_until 30 scontrol ping || return 1
  spawn "$dir" slurmd slurmd -D -f "$SLURM_CONF"
  wait_until 60 node_is_idle
}

start() {
  mkdir -p "$1"
  local dir
  dir=$(cd "$1" && pwd)
  mkdir -p "$dir/state" "$dir/spool"
  chmod 0755 "$dir"
  (umask 077; head -c 128 /dev/urandom > "$dir/munge.key")
  write_configuration "$dir"
  begin "$dir" && return
  echo "the cluster did not come up; what its processes said:" >&2
  tail -n 20 "$dir"/*.out "$dir"/*.log >&2
  stop "$dir"
  return 1
}

alive() { kill -0 -- "-$1" 2> /dev/null; }
gone() { ! alive "$1"; }
queue_is_empty() { [[ -z $(squeue --noheader) ]]; }

stop() {
  local dir name group
  dir=$(cd "$1" && pwd)
  export SLURM_CONF=$dir/slurm.conf
  if [[ -s $dir/slurmctld.group ]] && scontrol ping > /dev/null 2>&1; then
    scancel --user="$(id -un)" || true
    wait_until 30 queue_is_empty || echo "jobs were left in the queue" >&2
  fi
  for name in slurmd slurmctld munged; do
    [[ -s $dir/$name.group ]] || continue
    group=$(< "$dir/$name.group")
    if alive "$group"; then
      kill -TERM -- "-$group"
      wait_until 20 gone "$group" || kill -KILL -- "-$group" || true
    fi
    rm -f "$dir/$name.group"
  done
}

[[ $# == 2 ]] || usage
case $1 in
  start) start "$2" ;;
  stop) stop "$2" ;;
  *) usage ;;
esac
