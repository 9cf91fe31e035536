#!/usr/bin/env bash
# Slurm on this machine alone, as root, from Debian's packages slurm-wlm and munge.
#   one_node_slurm.sh start DIR    daemons with configuration, state and logs in DIR
#   one_node_slurm.sh stop DIR
# Commands then need SLURM_CONF=DIR/slurm.conf.
set -euo pipefail
action=$1 dir=$2

start() {
    mkdir -p "$dir/state" "$dir/spool" "$dir/munge"
    host=$(hostname -s)
    chmod 755 "$dir"
    dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 status=none
    chown -R munge: "$dir/munge" 2>/dev/null || true
    chmod 400 "$dir/munge/key"
    chmod 755 "$dir/munge"
    runuser -u munge -- munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
        --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
    cat > "$dir/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${SLURMCTLD_PORT:-26817}
SlurmdPort=${SLURMD_PORT:-26818}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CryptoType=crypto/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(free --mebi | awk '/Mem/ {print $2 - 200}') State=UNKNOWN
PartitionName=normal Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    export SLURM_CONF="$dir/slurm.conf"
    slurmctld
    slurmd
    for _ in $(seq 60); do
        if sinfo --noheader --states=idle 2>/dev/null | grep --quiet idle; then return; fi
        sleep 0.5
    done
    tail -n 20 "$dir"/*.log >&2
    return 1
}

stop() {
    for pid in "$dir"/slurmd.pid "$dir"/slurmctld.pid "$dir"/munge/pid; do
        if [ -s "$pid" ]; then kill "$(cat "$pid")" || true; fi
    done
}

"$action"
