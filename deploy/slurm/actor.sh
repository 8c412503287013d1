#!/bin/bash
# Keeps actors running until the run is finished: one that dies is started again.
#
#   actor.sh RUN_DIR --env …                        a task of polyak.sbatch
#   sbatch --array=1-32 actor.sh RUN_DIR --env …    more actors, on nodes that may be taken away
#
# Ends with 0 when the run is finished, with 2 when an actor cannot run like this.
#SBATCH --job-name=polyak-actors
#SBATCH --ntasks=1
#SBATCH --output=polyak-actors-%A-%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
set -u
[ $# -gt 0 ] || { echo "usage: actor.sh RUN_DIR --env ENV …" >&2 && exit 2; }
run=$1 && shift
export PATH=${POLYAK_BIN:-${SLURM_SUBMIT_DIR:-.}/build/bin}:$PATH
name=${SLURMD_NODENAME:-$HOSTNAME}/
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then # a run may have several arrays
    name+=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
else
    name+=${SLURM_PROCID:-0}
fi
labels=job=${SLURM_JOB_ID:-0} flags=()
while [ $# -gt 0 ]; do
    case $1 in
    --labels) labels+=,${2-} && shift ;;
    --labels=*) labels+=,${1#*=} ;;
    *) flags+=("$1") ;;
    esac
    shift
done

# A process that this script has just started may lose its first signal, and one that is left behind
# keeps the step from ending.
end() { while kill "$@" 2>/dev/null; do sleep 0.2; done; } # PID…

keep_one() { # NAME FLAGS…
    local actor code pause=1
    trap 'end "${!:-}"; exit 143' TERM # the actor, or a pause
    while true; do
        polyak-actor --connect "@$run/address" --key "$run/keys/fleet.key" \
            --learner-key "$run/keys/learner.pub" --name "$1" \
            --labels "$labels" "${@:2}" &
        actor=$! started=$SECONDS
        wait "$actor" 2>/dev/null # what killed it is said below
        code=$?
        [ $code -ne 0 ] && [ $code -ne 2 ] || exit "$code"
        [ $code -ne 3 ] || continue # its time or its steps are over, as it was told
        [ $((SECONDS - started)) -lt 60 ] || pause=1
        echo "actor $1 ended with $code: it is started again in $pause s" >&2
        sleep $pause &
        wait $!
        pause=$((pause < 30 ? pause * 2 : 60))
    done
}

# A job array may start before the learner has.
until [ -s "$run/address" ]; do sleep 1; done
kept=() over=no
trap 'over=yes && end "${kept[@]}"' TERM
for ((i = 0; i < ${POLYAK_ACTORS_PER_TASK:-1}; i++)); do
    keep_one "$name.$i" "${flags[@]}" &
    kept+=($!)
    [ $over = no ] || end $!
done
code=0
for one in "${kept[@]}"; do
    while kill -0 "$one" 2>/dev/null; do wait "$one" 2>/dev/null; done # a signal ends a wait, too
    wait "$one" 2>/dev/null
    ended=$?
    [ "$ended" -eq 0 ] || code=$ended
done
exit "$code"
