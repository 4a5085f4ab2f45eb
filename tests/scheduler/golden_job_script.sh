#!/bin/bash
# Written by `weft submit` for the job fashion on the site cluster.
#SBATCH --job-name=fashion
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --hint=nomultithread
#SBATCH --mem=3072M
#SBATCH --time=02:00:00
#SBATCH --partition=batch
#SBATCH --account=phys-1
#SBATCH --signal=USR1@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output="/home/a/runs/fashion/slurm-%j.out"
set -eu

run='/home/a/runs/fashion'

set +eu
if ! type module >/dev/null 2>&1; then
  for init in /etc/profile.d/lmod.sh /etc/profile.d/modules.sh /usr/share/lmod/lmod/init/bash \
    /usr/share/modules/init/bash; do
    # shellcheck source=/dev/null
    if [ -r "$init" ]; then . "$init" && break; fi
  done
fi
module load 'gcc/12' || { echo 'cannot load the module gcc/12' >&2; exit 3; }
module load 'openmpi/4.1.4' || { echo 'cannot load the module openmpi/4.1.4' >&2; exit 3; }
set -eu

export OMP_NUM_THREADS=8
export OMP_PLACES=cores
export OMP_PROC_BIND=false
export UCX_TLS='rc,self'

# How an earlier start ended says nothing about this one.
rm -f -- "$run/exit.json"
began=$(date +%s)

# A request to stop that comes to this shell, as from scancel --batch or --full, is the ranks' to answer.
step=
trap 'signalled=yes; [ -z "$step" ] || kill -USR1 "$step" || true' USR1
srun --mpi=pmix --cpus-per-task=8 --cpu-bind=cores --kill-on-bad-exit=1 \
  '/opt/weft/bin/weft' train '/home/a/runs/fashion/job.yaml' --site '/home/a/cluster.yaml' &
step=$!
signalled=yes
while [ "$signalled" = yes ]; do
  signalled=no
  code=0
  wait "$step" || code=$?
done

# 75: stopped early with a good checkpoint. srun may report another rank's code: exit.json decides.
stopped=no
if [ "$code" -eq 75 ]; then
  stopped=yes
elif [ "$code" -ne 0 ] && grep -q '"reason": *"stopped' "$run/exit.json" 2>/dev/null; then
  stopped=yes
fi
if [ "$stopped" = no ]; then
  if [ "$code" -ne 0 ]; then
    # Says why, also where all ranks were killed before one of them could.
    '/opt/weft/bin/weft' inspect "$run/exit.json" --ended-since "$began" >&2 || true
  fi
  exit "$code"
fi
if [ "${SLURM_RESTART_COUNT:-0}" -ge 5 ]; then
  echo 'weft: stopped early for the last of 5 restarts; submit again to go on' >&2
  exit 75
fi
if ! scontrol requeue "$SLURM_JOB_ID"; then
  echo 'weft: stopped early with a good checkpoint, and cannot be put back into the queue; submit again to go on' >&2
fi
exit 75
