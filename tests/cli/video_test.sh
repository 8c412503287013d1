#!/usr/bin/env bash
# `polyak eval --video`: what a film holds, that the evaluation does not change by it, and what is
# left of one that fails or is stopped. Without ffmpeg all but the films themselves is tried, with a
# script in its place.
# shellcheck disable=SC2016  # what is quoted is for the scripts that it writes
set -uo pipefail
polyak=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $1"
    sed 's/^/    /' out err
    failures=$((failures + 1))
}

"$polyak" train --env pendulum --run-dir run --total-env-steps 1400 --eval-interval-env-steps 0 \
    >out 2>err </dev/null || fail "no policy to film"
things() { find . -mindepth 1 -maxdepth 1 -printf '%f\n'; }
mkdir tools tools.mp4
: >before
things >before

where=$PATH # ffmpeg is looked for
film() { PATH=$where "$polyak" eval --run-dir run --seed 3 "$@" >out 2>err </dev/null; }

# refused CODE EXCERPT ARGUMENT...: the exit code, one line with the excerpt, no file.
refused() {
    local code=$1 excerpt=$2 got
    shift 2
    film "$@"
    got=$?
    [ "$got" = "$code" ] || fail "$*: exit code $got, not $code"
    [ ! -s out ] || fail "$*: something on stdout"
    [ "$(wc -l <err)" = 1 ] || fail "$*: not one line on stderr"
    grep -qF -- "$excerpt" err || fail "$*: does not say \"$excerpt\""
    left "$*"
}

# Nothing but what was there before, whole or in part.
left() {
    local found
    found=$(things | grep -vxFf before)
    [ -z "$found" ] || fail "$1: left $found"
}

# ffmpeg BODY: the program that is found as ffmpeg. Its last argument is the file.
ffmpeg_is() {
    printf '#!/bin/bash\nfile=${!#}\nfile=${file#file:}\n%s\n' "$1" >tools/ffmpeg
    chmod +x tools/ffmpeg
}

refused 2 'must end in .mp4 or .gif' --video film.avi
refused 2 'must end in .mp4 or .gif' --video .mp4
refused 2 'must be even, not 641 and 480' --video film.mp4 --video-width 641
refused 2 'must be even, not 640 and 33' --video film.gif --video-height 33
refused 2 'out of range' --video film.mp4 --video-width 8
refused 2 'cannot be written: No such file or directory' --video nowhere/film.mp4
refused 2 'this is a directory' --video tools.mp4
where=$work/tools.mp4
refused 1 'ffmpeg is not installed: apt-get install ffmpeg' --video film.mp4

where=$work/tools:$PATH
ffmpeg_is 'echo "first words" >&2; head -c 100000 >"$file"; printf "no luck\n\n" >&2; exit 3'
refused 1 'ffmpeg: no luck' --video film.mp4
ffmpeg_is 'cat >"$file"; exit 3'
refused 1 'ffmpeg failed with exit code 3' --video film.mp4
ffmpeg_is 'head -c 10 >"$file"; kill -SEGV $$'
refused 1 'ffmpeg: it ended in the middle' --video film.mp4

# A film that is there stays as it is until the new one is whole.
echo old >film.mp4
echo film.mp4 >>before
refused 1 'ffmpeg: it ended in the middle' --video film.mp4
[ "$(cat film.mp4)" = old ] || fail "a film that failed took the place of another"
ffmpeg_is 'cat >"$file"'
film --video film.mp4 --video-width 16 --video-height 16 || fail "a sound film"
[ "$(stat -c %s film.mp4)" = $((201 * 16 * 16 * 3)) ] || fail "not the frames of one episode"
left "a sound film"

# A stop: a shell starts what is in the background deaf to the interrupt.
for signal in INT TERM; do
    ffmpeg_is 'echo $$ >'"$work"'/tools/pid; : >"$file"; exec sleep 100'
    rm -f tools/pid
    PATH=$where env --default-signal=INT "$polyak" eval --run-dir run \
        --video stopped.mp4 >out 2>err </dev/null &
    pid=$!
    for _ in $(seq 100); do
        [ -s tools/pid ] && break
        sleep 0.05
    done
    kill -$signal $pid
    wait $pid
    code=$?
    [ $code = $((128 + $(kill -l $signal))) ] || fail "SIG$signal: exit code $code"
    ! kill -0 "$(cat tools/pid)" 2>/dev/null || fail "SIG$signal: ffmpeg is left"
    left "SIG$signal"
done

where=$PATH
if ! command -v ffprobe >/dev/null; then
    echo "SKIPPED: films themselves: ffmpeg is not installed: apt-get install ffmpeg"
else
    # look FILE: width, height, frames, seconds.
    look() {
        ffprobe -v error -count_frames -show_entries stream=width,height,nb_read_frames,duration \
            -of csv=p=0 "$1"
    }
    film --json || fail "an evaluation"
    mv out plain
    film --json --video swing.mp4 --video-episodes 2 || fail "an mp4"
    mv out filmed
    for key in episodes return_mean return_std length_mean; do
        value=$(grep -o "\"$key\":[^,]*" plain)
        grep -qF "$value," filmed || fail "$key is another with a film"
    done
    grep -q '"video_frames":402,"video_frames_per_s":20.0' filmed || fail "the frames are not told"
    [ "$(look swing.mp4)" = "640,480,20.100000,402" ] || fail "swing.mp4: $(look swing.mp4)"
    film --video swing.gif --video-width 64 --video-height 48 || fail "a gif"
    grep -q 'swing.gif: 1 episode, 201 frames, 20 in a second' out || fail "the gif is not told"
    [ "$(look swing.gif)" = "64,48,10.050000,201" ] || fail "swing.gif: $(look swing.gif)"
    film --video all.mp4 --video-episodes 9 --episodes 2 || fail "fewer episodes than wanted"
    [ "$(look all.mp4 | cut -d, -f4)" = 402 ] || fail "not the frames of both episodes"
    rm -f plain filmed swing.mp4 swing.gif all.mp4
    left "films"
fi

[ $failures = 0 ] && echo "all as expected"
exit $((failures > 0))
