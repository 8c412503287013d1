#!/usr/bin/env bash
# `polyak train` with a learner and actors that are scripts: they fail in every way there is, and
# each time no process and no socket stays behind.
# shellcheck disable=SC2016  # what is quoted is for the scripts that it writes
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/tmp"
cp "$1" "$work/bin/polyak"
cd "$work" || exit 1
export WORK=$work TMPDIR=$work/tmp
unset XDG_RUNTIME_DIR
failures=0

fail() {
    echo "FAILED: $case: $1"
    sed 's/^/    /' out err
    failures=$((failures + 1))
}

# learner BODY, actor BODY: what the programs do. Each notes its process id first.
write_program() {
    printf '#!/usr/bin/env bash\necho $$ >>"$WORK/pids"\n%s\n' "$2" >"bin/$1"
    chmod +x "bin/$1"
}
learner() { write_program polyak-learner "$1"; }
actor() { write_program polyak-actor "$1"; }

begin() {
    case=$1
    rm -rf pids run starts
    learner 'exec sleep 100'
    actor 'exec sleep 100'
}

train() {
    bin/polyak train --env pendulum --run-dir run --actors 2 "$@" >out 2>err </dev/null
    code=$?
}

says() { grep -qF -- "$1" err || fail "does not say \"$1\""; }

# ended CODE: the exit code, an empty stdout, and nothing left.
ended() {
    [ "$code" = "$1" ] || fail "exit code $code, not $1"
    [ ! -s out ] || fail "something on stdout"
    [ -z "$(ls tmp)" ] || fail "left in the temporary directory: $(ls tmp)"
    while read -r pid; do
        ! kill -0 "$pid" 2>/dev/null || fail "process $pid is left"
    done <pids
}

# Waits until all three kinds of programs have started.
await_starts() {
    for _ in $(seq 100); do
        [ -e pids ] && [ "$(wc -l <pids)" -ge 4 ] && return
        sleep 0.1
    done
    fail "the programs have not started"
}

in_background() {
    # A shell ignores the interrupt for what it starts in the background, and so would polyak.
    env --default-signal=INT bin/polyak train --env pendulum --run-dir run --actors 2 \
        >out 2>err </dev/null &
    train_pid=$!
    await_starts
}

begin "a learner that fails"
learner 'echo "12:00:00 learner: error: no luck" >&2; exit 3'
train
says '12:00:00 learner: error: no luck'
says 'the learner failed with exit code 3'
ended 1

begin "a learner that crashes in a run, whenever it is started"
learner 'mkdir -p run; echo "{}" >run/run.json; kill -SEGV $$'
train
says 'learner was killed by signal 11'
says 'starting it again'
says 'learner fails again and again (5 times within 300 s), at last: it was killed by signal 11'
says 'go on with: polyak train --resume --run-dir run'
ended 1

begin "a learner that is told nonsense"
learner 'exit 2'
train
says 'the learner was started wrongly'
ended 2

begin "an actor that is told nonsense"
actor 'case "$*" in *actor-1*) exit 2 ;; esac; exec sleep 100'
train
says 'actor-1 was started wrongly'
ended 2

begin "an actor that can never work"
actor 'case "$*" in *actor-0*) echo "no display"; exit 1 ;; esac; exec sleep 100'
train
says 'actor-0: no display'
says 'actor-0 failed with exit code 1; starting it again in 0.2 s'
says 'actor-0 failed with exit code 1; starting it again in 1.6 s'
says 'fails again and again'
[ "$(grep -c 'no display' err)" = 5 ] || fail "not five tries"
ended 1

begin "an actor that crashes once, a learner that leaves without a policy"
actor 'case "$*" in *actor-0*)
    echo x >>"$WORK/starts"
    [ "$(wc -l <"$WORK/starts")" -gt 1 ] || kill -KILL $$
    ;; esac
ls -l /proc/$$/fd | grep -c "socket\|eventpoll\|eventfd" >>"$WORK/inherited"
exec sleep 100'
learner 'sleep 1.5; exit 0'
rm -f inherited
train
says 'actor-0 was killed by signal 9 (Killed); starting it again in 0.2 s'
[ "$(wc -l <starts)" = 2 ] || fail "actor-0 was not started twice"
# Its output goes to two sockets; what the parent has open besides is not for it.
! grep -qv '^2$' inherited || fail "an actor inherited sockets"
ended 1

begin "output in pieces, without name, without end"
learner 'printf "12:00:00 learner: ha"; sleep 0.1; printf "lf\nbare line\nlast"; exit 1'
train
grep -qx '12:00:00 learner: half' err || fail "a line in two pieces is not whole"
grep -qx '..:..:.. polyak: learner: bare line' err || fail "a bare line has no name"
says 'learner: last'
ended 1

begin "what the programs are given"
learner 'echo "args $*"; echo "parent $POLYAK_PARENT_PID $PPID"; readlink /proc/$$/fd/0; exit 1'
actor 'echo "args $*"; exec sleep 100'
train --sigma 0.3 --envs-per-actor 2
says '--bind=ipc://'
says '--progress=off'
says '--run-dir=run'
says '--sigma=0.3'
says 'learner: /dev/null'
grep -q 'parent \([0-9]*\) \1$' err || fail "POLYAK_PARENT_PID is not the parent"
ended 1

begin "no evaluations, no evaluator"
learner 'sleep 0.5; exit 1'
actor 'echo "args $*"; exec sleep 100'
train --eval-interval-env-steps 0
! grep -q 'role=evaluator' err || fail "an evaluator was started"
[ "$(wc -l <pids)" = 3 ] || fail "not three processes"
ended 1

begin "standard streams that are closed"
learner 'exit 1'
bin/polyak train --env pendulum --run-dir run --actors 2 <&- >&- 2>&-
code=$?
: >out 2>err
ended 1

begin "a stop"
learner 'mkdir -p run; echo "{}" >run/run.json; trap "exit 0" TERM; while :; do sleep 0.1; done'
in_background
kill -INT $train_pid
wait $train_pid
code=$?
says 'stopped; go on with: polyak train --resume --run-dir run'
ended 1

begin "a stop that is not heard, and another"
learner 'trap "" TERM; while :; do sleep 0.1; done'
in_background
sleep 0.3
kill -TERM $train_pid
sleep 0.5
kill -0 $train_pid 2>/dev/null || fail "it did not wait for the learner"
kill -TERM $train_pid
wait $train_pid
code=$?
says 'stopped, before there was anything to go on with'
ended 1

[ $failures = 0 ] && echo "all as expected"
exit $((failures > 0))
